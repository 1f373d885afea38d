//! Words, exit codes, and what is on which stream.

use crate::kit::User;

#[test]
fn help_shows_examples_and_exit_codes() {
    let user = User::new();
    let help = user.run(&["--help"]);
    assert_eq!(help.code, 0);
    for part in ["Examples:", "undercurrent serve .", "Exit codes:", "UNDERCURRENT_URL"] {
        assert!(help.out.contains(part), "`{part}` is missing in {}", help.out);
    }
    for command in ["serve", "publish", "tail", "get"] {
        assert!(user.run(&[command, "--help"]).out.contains("Examples:"), "`{command}`");
    }
}

#[test]
fn no_daemon_is_told_at_once_with_the_way_to_start_one() {
    let user = User::new();
    for words in [
        &["status"][..],
        &["get", "file:a"],
        &["tail", "s"],
        &["publish", "s", "--type", "message"],
        &["put", "note:a", "x"],
    ] {
        let ran = user.run(&[words, &["--url", "http://127.0.0.1:1"]].concat());
        ran.failed(4, "no daemon answers at http://127.0.0.1:1");
        assert!(ran.err.contains("undercurrent serve ."), "{ran:?}");
    }
}

#[test]
fn the_exit_code_says_what_kind_of_failure_it_is() {
    let user = User::new();
    let _daemon = user.serve();
    user.write("a.txt", "a");
    let elsewhere = "00000000deadbeef.0000000000000001";
    let cases: [(&[&str], i32, &str); 16] = [
        (&[], 2, "Usage"),
        (&["frobnicate"], 2, "frobnicate"),
        (&["get"], 2, "KEY"),
        (&["get", "a.txt"], 2, "file:a.txt"),
        (&["get", "file:a.txt", "--level", "best"], 2, "not a level"),
        (&["get", "file:a.txt", "--after", "x"], 2, "not a token"),
        (&["get", "file:absent"], 3, "is not there"),
        (&["get", "note:a"], 3, "--ticket"),
        (&["get", "file:/etc/passwd"], 7, "denied"),
        (&["get", "file:../outside"], 7, "denied"),
        (&["put", "file:a.txt", "x"], 2, "loaded from its source"),
        (&["publish", "s", "--type", "nonsense"], 2, "first word is not known"),
        (&["publish", "a b", "--type", "message"], 2, "not a stream name"),
        (&["publish", "s", "--type", "message", "--data", "hello"], 2, "in quotes"),
        (&["publish", "s", "--type", "message", "--expected-seq", "3"], 6, "seq 0"),
        (&["tail", "s", "--from", elsewhere], 3, "--from"),
    ];
    for (words, code, message) in cases {
        let ran = user.run(words);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{words:?}: {ran:?}");
        assert!(ran.err.contains(message), "{words:?}: {ran:?}");
    }
    let streams = user.run(&["streams"]);
    assert!(
        streams.lines().iter().all(|line| line.starts_with("local/")),
        "nothing was left behind: {streams:?}"
    );
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let user = User::new();
    let _daemon = user.serve();
    let ran = user.run(&["get", "file:/etc/passwd", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (7, ""));
    let body: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((&body["code"], &body["retryable"]), (&"denied".into(), &false.into()));
}

#[test]
fn another_namespace_is_not_found() {
    let user = User::new();
    let daemon = user.serve();
    user.run(&["status", "--url", &daemon.url, "--namespace", "other"]).failed(3, "`other`");
    assert_eq!(user.run(&["status", "--url", &daemon.url, "--namespace", "default"]).code, 0);
}
