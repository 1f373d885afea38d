//! `serve`, from start to end, and again.

use std::fs;

use rustix::process::Signal;

use crate::kit::{User, text};

#[test]
fn serve_says_where_it_answers_what_it_watches_and_what_to_try() {
    let user = User::new();
    user.write("README.md", "read me");
    user.write("sub/deeper/a.txt", "a");
    let mut daemon = user.start(&["serve", ".", "--listen", "127.0.0.1:0"]);
    assert!(daemon.line().unwrap().contains(" answers at http://127.0.0.1:"));
    assert_eq!(daemon.line().unwrap(), format!("watching {}", user.project.display()));
    let data = daemon.line().unwrap();
    let data = data.strip_prefix("data in ").unwrap();
    assert!(data.starts_with(&text(user.home().canonicalize().unwrap().join("state"))), "`{data}`");
    assert!(!data.starts_with(&text(&user.project)), "the data lies outside every root");
    assert!(daemon.line().unwrap().contains("export UNDERCURRENT_URL=http://127.0.0.1:"));
    daemon.until("try in another terminal:");
    for _ in 0..2 {
        let example = daemon.line().unwrap();
        let words: Vec<&str> = example.split_whitespace().skip(1).collect();
        let end: &[&str] = if words[0] == "tail" { &["--no-follow"] } else { &[] };
        assert_eq!(user.run(&[&words, end].concat()).code, 0, "`{example}` was said to work");
    }
    assert_eq!(daemon.until("watched: "), format!("watched: {}, 3 directories", user.project.display()));
    user.run(&["publish", "s", "--type", "message", "--data", "\"hello\""]).lines();
    daemon.until_event("message user/me \"hello\"");
    user.write("new.txt", "new");
    daemon.until_event("/new.txt");
}

#[test]
fn serve_can_be_read_by_programs() {
    let user = User::new();
    let mut daemon = user.start(&["serve", "--listen", "127.0.0.1:0", "--json"]);
    let start: serde_json::Value = serde_json::from_str(&daemon.line().unwrap()).unwrap();
    let url = start["url"].as_str().unwrap();
    user.run(&["publish", "s", "--type", "message", "--url", url]).lines();
    let event: serde_json::Value = serde_json::from_str(&daemon.line().unwrap()).unwrap();
    assert_eq!(event["type"], "message");
}

#[test]
fn a_signal_ends_it_cleanly_and_a_second_start_goes_on() {
    let user = User::new();
    user.write("a.txt", "a");
    for (round, signal) in [Signal::TERM, Signal::INT, Signal::HUP].into_iter().enumerate() {
        let mut daemon = user.serve();
        let seq = user.run(&["publish", "s", "--type", "message", "--json"]).json()["seq"].clone();
        assert_eq!(seq, round + 1);
        let mut tail = user.start(&["tail", "s"]);
        (0..=round).for_each(|_| drop(tail.line().unwrap()));
        daemon.send(signal);
        assert_eq!(daemon.wait(), Some(0), "a subscriber does not hold it up");
        daemon.until_told("stopped");
    }
}

#[test]
fn beyond_loopback_nothing_is_listened_on() {
    let user = User::new();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7433"] {
        user.run(&["serve", "--listen", listen]).failed(2, "loopback only");
        let output = user.command(&["serve"]).env("UNDERCURRENT_LISTEN", listen).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
    }
    user.run(&["serve", "--listen", "everywhere"]).failed(2, "expected `127.0.0.1:PORT`");
    assert!(!user.home().join("state").exists(), "a refusal leaves nothing behind");
}

#[test]
fn what_can_not_be_served_is_told() {
    let user = User::new();
    let daemon = user.serve_with(&[".", "--listen", "127.0.0.1:0"]);
    let taken = daemon.url.strip_prefix("http://").unwrap();
    user.run(&["serve", ".", "--listen", "127.0.0.1:0"])
        .failed(6, &format!("served already, at {}", daemon.url));
    user.run(&["serve", "--listen", taken]).failed(6, "is taken");
    user.run(&["serve", "absent"]).failed(2, "`absent`");
    user.run(&["serve", ".", "--data", "data", "--listen", "127.0.0.1:0"]).failed(2, "lies in the root");
    user.run(&["serve", "--store", "mysql://x"]).failed(2, "expected `redis://host:port`");
    user.run(&["serve", "--store", "redis://127.0.0.1:1"]).failed(4, "127.0.0.1:1");
    user.run(&["serve", "--config", "absent.toml"]).failed(2, "absent.toml");
    fs::write(user.project.join("bad.toml"), "watch = ['.']").unwrap();
    user.run(&["serve", "--config", "bad.toml"]).failed(2, "watch");
}

#[test]
fn a_file_says_what_flags_do_not() {
    let user = User::new();
    user.write("sub/a.txt", "a");
    let config = "roots = ['sub']\nlisten = '127.0.0.1:0'\nnamespace = 'mine'\nsecrets = ['hunter2hunter2']";
    user.write("undercurrent.toml", config);
    let daemon = user.serve_with(&["--config", "undercurrent.toml"]);
    let run = |words: &[&str]| user.run(&[words, &["--url", &daemon.url]].concat());
    assert_eq!(run(&["get", "file:sub/a.txt", "--namespace", "mine"]).out, "a");
    assert_eq!(run(&["status", "--json"]).json()["namespace"], "mine");
    run(&["publish", "s", "--type", "message", "--data", "\"it is hunter2hunter2\""]).lines();
    assert!(!run(&["tail", "s", "--no-follow"]).out.contains("hunter2"));
}
