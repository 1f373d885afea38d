//! `tail`.

use std::io::Write;

use crate::kit::{Piped, User};

#[test]
fn history_then_live() {
    let user = User::new();
    let _daemon = user.serve();
    user.run(&["publish", "s", "--type", "message", "--data", "1"]).lines();
    let mut tail = user.start(&["tail", "s"]);
    assert!(tail.line().unwrap().ends_with("message user/me 1"));
    user.run(&["publish", "s", "--type", "plan", "--data", "2"]).lines();
    let line = tail.line().unwrap();
    assert!(line.starts_with("#2 ") && line.ends_with("plan user/me 2"), "`{line}`");
}

#[test]
fn json_is_the_event_and_nothing_else() {
    let user = User::new();
    let _daemon = user.serve();
    let id = user.run(&["publish", "s", "--type", "message", "--json"]).json()["id"].clone();
    let ran = user.run(&["tail", "s", "--no-follow", "--json"]);
    let lines = ran.lines();
    let event: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!((lines.len(), &event["id"]), (1, &id));
    let again =
        user.run(&["tail", "s", "--json", "--from", event["sequence"].as_str().unwrap(), "--no-follow"]);
    assert_eq!(again.lines(), [""; 0], "the cursor is in the event");
}

#[test]
fn limits_and_filters_choose() {
    let user = User::new();
    let _daemon = user.serve();
    let lines = (1..=9).map(|n| format!("{n}\n")).collect::<String>();
    user.run_with_input(&["publish", "s", "--type", "message", "--lines"], lines.as_bytes()).lines();
    user.run(&["publish", "s", "--type", "observation.note", "--source", "agent/7", "--subject", "state:a"])
        .lines();
    assert_eq!(user.run(&["tail", "s", "--limit", "3"]).lines().len(), 3);
    assert_eq!(user.run(&["tail", "s", "--limit", "0"]).lines().len(), 0);
    for filter in [["--type", "observation.*"], ["--source", "agent/7"], ["--subject", "state:a"]] {
        let ran = user.run(&[&["tail", "s", "--no-follow"][..], &filter].concat());
        assert!(ran.lines().len() == 1 && ran.out.starts_with("#10 "), "{filter:?}: {ran:?}");
    }
    assert_eq!(user.run(&["tail", "empty", "--no-follow"]).lines().len(), 0);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let user = User::new();
    let _daemon = user.serve();
    let lines = (1..=2000).map(|n| format!("{n}\n")).collect::<String>();
    user.run_with_input(&["publish", "s", "--type", "message", "--lines"], lines.as_bytes()).lines();
    // While there is more to print, and while nothing happens any more.
    for stream in ["s", "quiet"] {
        user.run(&["publish", "quiet", "--type", "message"]).lines();
        let mut tail = Piped::start(user.command(&["tail", stream]));
        assert!(tail.line().starts_with("#1 "));
        let Piped { child, stdout, .. } = tail;
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8(output.stderr).unwrap()),
            (Some(0), String::new())
        );
    }
}

#[test]
fn a_daemon_that_comes_back_is_followed_on_without_a_hole() {
    let user = User::new();
    let daemon = user.serve();
    let url = daemon.url.clone();
    let listen = url.strip_prefix("http://").unwrap();
    let publish = |data: &str| {
        user.run(&["publish", "s", "--type", "message", "--data", data, "--url", &url]).lines().len()
    };
    publish("1");
    let mut tail = user.start(&["tail", "s", "--url", &url]);
    assert!(tail.line().unwrap().ends_with(" 1"));
    assert_eq!(daemon.end(), Some(0));
    tail.until_told("connecting again");
    let daemon = user.serve_with(&[".", "--listen", listen]);
    publish("2");
    assert!(tail.line().unwrap().ends_with(" 2"));
    tail.until_told("connected again");
    daemon.crash();
    tail.until_told("connecting again");
    let _daemon = user.serve_with(&[".", "--listen", listen]);
    publish("3");
    assert!(tail.line().unwrap().ends_with(" 3"));
}

#[test]
fn what_others_publish_does_not_control_the_terminal() {
    let user = User::new();
    let _daemon = user.serve();
    let mut publish = Piped::start(user.command(&["publish", "s", "--type", "message", "--lines"]));
    writeln!(publish.stdin.take().unwrap(), "\"\u{9b}31m\"").unwrap();
    publish.child.wait().unwrap();
    let ran = user.run(&["tail", "s", "--no-follow"]);
    assert!(ran.lines()[0].ends_with("\"\u{fffd}31m\""), "{ran:?}");
}

#[test]
fn several_streams_and_what_was_made_stale_are_tailed() {
    let user = User::new();
    let _daemon = user.serve();
    for (stream, subject) in [("sessions/1", "state:a"), ("other", "state:b"), ("sessions/2", "state:c")] {
        let words = ["publish", stream, "--type", "state_update.task", "--subject", subject, "--data", "{}"];
        assert_eq!(user.run(&words).code, 0);
    }
    let ran = user.run(&["tail", "sessions/*", "--no-follow"]);
    let lines = ran.lines();
    assert!(lines.len() == 2 && lines[0].starts_with("sessions/1 ") && lines[1].starts_with("sessions/2 "));
    let ran = user.run(&["tail", "$invalidations", "--no-follow", "--json"]);
    assert!(ran.lines().iter().all(|line| line.contains("\"type\":\"cache_update\"")), "{ran:?}");
    assert!(
        ran.out.contains("\"name\":\"state:c\"") && ran.out.contains("\"stream\":\"sessions/2\""),
        "{ran:?}"
    );
    user.run(&["tail", "a*b"]).failed(2, "pattern");
}

#[test]
fn an_ephemeral_event_is_seen_live_and_not_kept() {
    let user = User::new();
    let _daemon = user.serve();
    let publish = |more: &[&str]| {
        let words = ["publish", "s", "--type", "message", "--data", "\"token\""];
        user.run(&[&words, more].concat())
    };
    assert_eq!(publish(&["--ephemeral"]).out, "given to 0 and not kept\n");
    publish(&[]);
    let mut tail = user.start(&["tail", "s", "--ephemeral"]);
    tail.until("#1 ");
    // The mark between history and live is not shown.
    while publish(&["--ephemeral"]).out != "given to 1 and not kept\n" {}
    let told = std::thread::scope(|scope| {
        let line = scope.spawn(|| tail.until("~ "));
        while !line.is_finished() {
            publish(&["--ephemeral"]);
        }
        line.join().unwrap()
    });
    assert!(told.contains("message"), "{told}");
    assert_eq!(user.run(&["tail", "s", "--no-follow"]).lines().len(), 1);
    publish(&["--ephemeral", "--expected-seq", "1"]).failed(2, "cannot be used with");
}
