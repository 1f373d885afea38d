//! `streams`.

use serde_json::json;

use crate::kit::User;

#[test]
fn a_stream_is_made_listed_and_deleted() {
    let user = User::new();
    let _daemon = user.serve();
    let made =
        user.run(&["streams", "create", "s", "--max-age", "1d", "--max-bytes", "none", "--json"]).json();
    assert_eq!((&made["max_age_s"], &made["durability"]), (&json!(86_400), &json!("durable")));
    user.run(&["streams", "create", "s", "--max-count", "many"]).failed(2, "`many` is no number of events");
    user.run(&["streams", "create", "s", "--durability", "memory"]).failed(6, "delete it first");
    user.run(&["publish", "s", "--type", "message"]).lines();
    let listed = user.run(&["streams"]);
    let of_stream = |line: &&str| line.starts_with("s ") && line.contains("durable  from 1  keeps 24 h");
    assert!(listed.lines().iter().any(of_stream), "{listed:?}");
    user.run(&["streams", "rm", "s"]).failed(2, "--yes");
    assert!(user.run(&["streams", "rm", "s", "--yes"]).out.contains("s is deleted"));
    user.run(&["streams", "rm", "s", "--yes"]).failed(3, "there is no stream `s`");
    assert!(!user.run(&["streams", "--json"]).out.contains("\"stream\":\"s\""));
}
