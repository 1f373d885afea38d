//! `publish`.

use std::io::Write;

use serde_json::{Value, json};

use crate::kit::{Piped, User};

fn events(user: &User, stream: &str) -> Vec<Value> {
    let ran = user.run(&["tail", stream, "--no-follow", "--json"]);
    ran.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_event_has_what_was_said_and_what_goes_without_saying() {
    let user = User::new();
    user.write("note.json", "{\n  \"a\": 1\n}");
    let _daemon = user.serve();
    let ack = user.run(&["publish", "s", "--type", "message", "--json"]).json();
    assert_eq!((&ack["seq"], &ack["durability"]), (&json!(1), &json!("durable")));
    user.run(&["publish", "s", "--type", "observation.note", "--data", "@note.json", "--source", "agent/7"])
        .lines();
    user.run_with_input(
        &["publish", "s", "--type", "message", "--data", "-", "--subject", "file:note.json"],
        b"-1",
    )
    .lines();
    user.run(&["publish", "s", "--type", "message", "--data", "plain", "--content-type", "text/plain"])
        .lines();
    let events = events(&user, "s");
    assert_eq!((&events[0]["id"], &events[0]["source"]), (&ack["id"], &json!("user/me")));
    assert!(events[0]["time"].is_string() && events[0].get("data").is_none());
    assert_eq!((&events[1]["data"], &events[1]["source"]), (&json!({"a": 1}), &json!("agent/7")));
    assert_eq!(events[2]["data"], -1);
    assert_eq!(events[2]["subject"], format!("file:{}/note.json", user.project.display()));
    assert_eq!(
        (&events[3]["data_base64"], &events[3]["datacontenttype"]),
        (&json!("cGxhaW4="), &json!("text/plain"))
    );
}

#[test]
fn an_id_is_published_once() {
    let user = User::new();
    let _daemon = user.serve();
    let words = ["publish", "s", "--type", "message", "--id", "one", "--expected-seq", "0"];
    let first = user.run(&words);
    assert!(first.out.starts_with("s #1  durable  token "), "{first:?}");
    let again = user.run(&["publish", "s", "--type", "message", "--id", "one", "--json"]).json();
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(1), &json!(true)));
    user.run(&["publish", "s", "--type", "message.other", "--id", "one"]).failed(6, "`one`");
    let event = serde_json::to_vec(
        &json!({"specversion": "1.0", "id": "two", "source": "agent/7", "type": "message"}),
    )
    .unwrap();
    for again in [false, true] {
        let ran = user.run_with_input(&["publish", "s", "--lines", "--json"], &event);
        assert_eq!(ran.json()["duplicate"] == true, again);
    }
    assert_eq!(events(&user, "s").len(), 2);
}

#[test]
fn every_line_of_stdin_is_an_event() {
    let user = User::new();
    let _daemon = user.serve();
    let lines: String = (0..1000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let ran = user.run_with_input(
        &["publish", "s", "--type", "observation.log", "--lines", "--json"],
        lines.as_bytes(),
    );
    let seqs: Vec<u64> = ran
        .lines()
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=1000).collect::<Vec<_>>());
    let events = events(&user, "s");
    assert!(events.iter().enumerate().all(|(n, event)| event["data"]["n"] == n));
}

#[test]
fn a_line_is_published_when_it_comes() {
    let user = User::new();
    let _daemon = user.serve();
    let mut publish = Piped::start(user.command(&["publish", "s", "--type", "message", "--lines"]));
    let mut stdin = publish.stdin.take().unwrap();
    for n in 1..=3 {
        writeln!(stdin, "{n}").unwrap();
        assert!(
            publish.line().starts_with(&format!("s #{n} ")),
            "the acknowledgement comes before the next line"
        );
    }
    drop(stdin);
    assert!(publish.child.wait().unwrap().success());
}

#[test]
fn a_bad_line_is_named_and_those_before_it_are_published() {
    let user = User::new();
    let _daemon = user.serve();
    let ran = user.run_with_input(&["publish", "s", "--type", "message", "--lines"], b"1\n\n2\n{\n3\n");
    assert_eq!((ran.code, ran.out.lines().count()), (2, 2));
    assert!(ran.err.contains("line 4 of stdin; 2 events"), "{ran:?}");
    let mut whole = String::new();
    for id in ["a", "b"] {
        whole +=
            &format!("{}\n", json!({"specversion": "1.0", "id": id, "source": "agent/7", "type": "message"}));
    }
    whole += "{\"specversion\":\"1.0\"}\n";
    let ran = user.run_with_input(&["publish", "t", "--lines"], whole.as_bytes());
    assert_eq!((ran.code, ran.out.lines().count()), (2, 2));
    assert!(ran.err.contains("`id` is missing") && ran.err.contains("line 3"), "{ran:?}");
}

#[test]
fn over_the_quota_one_event_fails_and_lines_wait_and_go_on() {
    let user = User::new();
    user.write("uc.toml", "[quota]\nevents = 1000\nburst = '0ms'");
    let _daemon = user.serve_with(&[".", "--listen", "127.0.0.1:0", "--config", "uc.toml"]);
    let lines: String = (0..600).map(|n| format!("{n}\n")).collect();
    let ran = user.run_with_input(&["publish", "s", "--type", "message", "--lines"], lines.as_bytes());
    assert_eq!(ran.lines().len(), 600);
    let other = ["publish", "s", "--type", "message", "--source", "agent/7"];
    let lines: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    // No file of acknowledgements is read: the first batch is enough to be over the quota for some time.
    let mut piped = Piped::start(user.command(&[&other[..], &["--lines"]].concat()));
    let mut stdin = piped.stdin.take().unwrap();
    let writing = std::thread::spawn(move || drop(stdin.write_all(lines.as_bytes())));
    piped.line();
    let refused = loop {
        let ran = user.run(&other);
        if ran.code != 0 {
            break ran;
        }
    };
    refused.failed(4, "is over its quota of 1000 events a second");
    piped.child.kill().unwrap();
    piped.child.wait().unwrap();
    writing.join().unwrap();
}

#[test]
fn what_became_of_an_event_can_be_asked_by_its_id() {
    let user = User::new();
    let _daemon = user.serve();
    user.run(&["outcome", "s", "one"]).failed(3, "`one` of `user/me` is not known");
    let ack = user.run(&["publish", "s", "--type", "message", "--id", "one"]).out;
    assert_eq!(user.run(&["outcome", "s", "one"]).out, ack);
    let asked = user.run(&["outcome", "s", "one", "--source", "user/me", "--json"]).json();
    assert_eq!((&asked["state"], &asked["ack"]["seq"]), (&json!("published"), &json!(1)));
    let unknown = user.run(&["outcome", "s", "two", "--json"]);
    assert_eq!(unknown.code, 3);
    let unknown: Value = serde_json::from_str(&unknown.out).unwrap();
    assert_eq!((&unknown["state"], &unknown["window"]["seconds"]), (&json!("not_known"), &json!(600)));
}
