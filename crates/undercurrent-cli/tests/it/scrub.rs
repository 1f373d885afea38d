//! `scrub`.

use std::path::Path;

use serde_json::json;

use crate::kit::User;

const SECRET: &str = "correct-horse-battery";

/// Says whether a file below a directory has the secret.
fn is_below(dir: &Path) -> bool {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths = entries.collect::<Vec<_>>().into_iter();
    paths.any(|path| match path.is_dir() {
        true => is_below(&path),
        false => {
            let bytes = std::fs::read(&path).unwrap();
            bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())
        }
    })
}

#[test]
fn a_secret_that_was_stored_is_gone_and_its_event_is_where_it_was() {
    let user = User::new();
    let daemon = user.serve();
    let data = json!({ "token": SECRET }).to_string();
    user.run(&["publish", "s", "--type", "message", "--data", &data]).lines();
    user.run(&["put", "state:t", &data]).lines();
    assert!(user.run(&["get", "state:t"]).out.contains(SECRET));
    let state = user.home().join("state");
    assert!(is_below(&state));

    user.run(&["scrub", SECRET]).failed(2, "as `-` for stdin");
    user.run_with_input(&["scrub", "-"], b"short\n").failed(2, "5 bytes");
    let report = user.run_with_input(&["scrub", "-", "--json"], format!("{SECRET}\n").as_bytes()).json();
    assert_eq!((&report["commits"], &report["states"]), (&json!(2), &json!(1)), "{report}");
    let marks = "*".repeat(SECRET.len());
    let event = user.run(&["tail", "s", "--no-follow", "--json"]).json();
    assert_eq!((&event["data"]["token"], &event["id"].is_string()), (&json!(marks), &true));
    assert!(user.run(&["get", "state:t"]).out.contains(&marks));
    assert!(user.run(&["tail", "system", "--no-follow"]).out.contains("system.scrub"));
    assert!(!is_below(&state));

    drop(daemon);
    let _daemon = user.serve();
    assert!(user.run(&["get", "state:t"]).out.contains(&marks));
}
