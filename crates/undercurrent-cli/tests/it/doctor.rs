//! `doctor`.

use serde_json::json;

use crate::kit::{User, text};

#[test]
fn a_data_directory_is_looked_at_and_damage_is_named_with_its_place() {
    let user = User::new();
    let data = user.home().join("data");
    let serve = ["serve", "--data", &text(&data), "--listen", "127.0.0.1:0"].map(str::to_owned);
    let words: Vec<_> = serve.iter().skip(1).map(String::as_str).collect();
    let daemon = user.serve_with(&words);
    let url = daemon.url.clone();
    user.run(&["--url", &url, "publish", "s", "--type", "message"]).lines();
    let doctor = |more: &[&str]| user.run(&[&["doctor", "--data", &text(&data)], more].concat());
    doctor(&[]).failed(6, "in use by another process");
    daemon.crash();
    let crashed = doctor(&[]);
    assert!(
        crashed.out.contains("every record is whole") && crashed.out.contains("new epoch"),
        "{crashed:?}"
    );
    assert_eq!(user.serve_with(&words).end(), Some(0));
    let whole = doctor(&["--json"]).json();
    assert_eq!(
        (&whole["closed"], &whole["starts"], &whole["findings"]),
        (&json!(true), &json!(2), &json!([]))
    );
    assert_eq!(whole["streams"][0]["tail"], "0000000000000001.0000000000000001");

    let segment = data.join("log/0000000000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let damaged = doctor(&[]);
    assert_eq!(damaged.code, 1);
    assert!(damaged.out.contains("damage    `log/0000000000000000.seg`, byte "), "{damaged:?}");
    assert!(
        damaged.err.contains("places of the log are damaged") && damaged.err.contains("--salvage"),
        "{damaged:?}"
    );
    let again = doctor(&["--repair", "--json"]);
    assert_eq!(again.code, 1);
    let again: serde_json::Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((&again["sound"], &again["findings"][0]["kind"]), (&json!(false), &json!("damage")));
    user.run(&["doctor", "--data", "nowhere"]).failed(1, "`nowhere/log` could not be listed");
}

#[test]
fn the_events_of_a_damaged_log_are_taken_out_and_imported_elsewhere() {
    let user = User::new();
    let data = user.home().join("data");
    let daemon = user.serve_with(&["--data", &text(&data), "--listen", "127.0.0.1:0"]);
    for n in 0..5 {
        let published = ["--url", &daemon.url, "publish", "s", "--type", "message", "--id", &n.to_string()];
        user.run(&published).lines();
    }
    assert_eq!(daemon.end(), Some(0));
    let segment = data.join("log/0000000000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let third = bytes.windows(9).position(|part| part == b"\"id\":\"2\",".get(..9).unwrap()).unwrap();
    bytes[third] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let salvaged = user.run(&["doctor", "--data", &text(&data), "--salvage"]);
    assert!(salvaged.err.contains("4 events lie in whole records"), "{salvaged:?}");
    let to = user.serve_with(&["--data", &text(user.home().join("to")), "--listen", "127.0.0.1:0"]);
    let imported = user.run_with_input(&["--url", &to.url, "import", "--json"], &salvaged.bytes).json();
    assert_eq!(imported, json!({"published": 4, "known": 0}));
}
