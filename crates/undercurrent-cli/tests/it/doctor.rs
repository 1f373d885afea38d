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
    doctor(&[]).failed(1, "is damaged at byte ");
    user.run(&["doctor", "--data", "nowhere"]).failed(1, "`nowhere/log` could not be listed");
}
