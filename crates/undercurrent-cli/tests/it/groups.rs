//! `groups` and `work`.

use std::io::Write;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::kit::{Piped, Ran, User};

fn publish(user: &User, ids: &[&str]) {
    for id in ids {
        user.run(&["publish", "s", "--type", "message", "--id", id, "--data", &format!("\"{id}\"")]).lines();
    }
}

fn lag(user: &User) -> Value {
    user.run(&["groups", "show", "g", "--json"]).json()["lag"].clone()
}

#[test]
fn a_group_is_made_worked_on_by_hand_and_deleted() {
    let user = User::new();
    let _daemon = user.serve();
    publish(&user, &["1", "2", "3"]);
    let made =
        user.run(&["groups", "create", "g", "--stream", "s", "--lease", "5m", "--backoff", "0s", "--json"]);
    assert_eq!((&made.json()["lag"], &made.json()["lease_ms"]), (&json!(3), &json!(300_000)));
    user.run(&["groups", "create", "g", "--stream", "t"]).failed(6, "stream `s`, not `t`");
    user.run(&["groups", "create", "h"]).failed(2, "needs a stream");
    user.run(&["groups", "fetch", "h"]).failed(3, "there is no group `h`");
    let first = user.run(&["groups", "fetch", "g", "--json"]).json();
    let lease = first["lease"].as_str().unwrap();
    assert_eq!((&first["event"]["id"], &first["deliveries"]), (&json!("1"), &json!(1)));
    assert!(user.run(&["groups", "nack", "g", lease, "--reason", "not yet"]).out.contains("1 done"));
    user.run(&["groups", "ack", "g", lease]).failed(6, "event 1 is not out now");
    let again = user.run(&["groups", "fetch", "g", "--max", "9", "--wait", "60s"]);
    let leases: Vec<_> =
        again.lines().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(leases.len(), 3);
    user.run(&["groups", "ack", "g", lease]).failed(6, "was given again");
    assert!(user.run(&["groups", "extend", "g", &leases[0], "--by", "10m"]).out.contains("1 done"));
    assert!(user.run(&["groups", "ack", "g", &leases[0], &leases[1]]).out.contains("2 done"));
    assert!(user.run(&["groups", "term", "g", &leases[2], "--reason", "no use"]).out.contains("1 done"));
    let dead = user.run(&["tail", "s/dead", "--no-follow", "--json"]).json();
    assert_eq!((&dead["data"]["reason"], &dead["data"]["event"]["id"]), (&json!("no use"), &json!("3")));
    let listed = user.run(&["groups"]);
    assert!(listed.out.starts_with("g  s  lag 0  out 0  waiting 0  held 0  dead 1"), "{listed:?}");
    assert!(user.run(&["groups", "show", "g"]).out.contains("dead letters   1 in s/dead"));
    user.run(&["groups", "rm", "g"]).failed(2, "--yes");
    assert!(user.run(&["groups", "rm", "g", "--yes"]).out.contains("g is deleted"));
    user.run(&["groups", "rm", "g", "--yes"]).failed(3, "there is no group `g`");
}

#[test]
fn a_command_is_run_for_each_event_and_its_exit_status_acknowledges_it() {
    let user = User::new();
    let _daemon = user.serve();
    publish(&user, &["good", "bad", "worse"]);
    user.run(&["groups", "create", "g", "--stream", "s", "--backoff", "0s", "--max-deliveries", "2"]).lines();
    let script = r#"read -r event
        case "$event" in
            *'"id":"good"'*) echo "$UNDERCURRENT_GROUP $UNDERCURRENT_SEQ $UNDERCURRENT_DELIVERIES" ;;
            *'"id":"bad"'*) exit 3 ;;
            *) exit 65 ;;
        esac"#;
    let words =
        ["work", "s", "--group", "g", "--no-follow", "--term-status", "65", "--jobs", "2", "--", "sh", "-c"];
    let ran = user.run(&[&words[..], &[script]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (0, "g 1 1\n"), "{ran:?}");
    assert!(ran.err.contains("event 2: exit status 3"), "{ran:?}");
    assert!(ran.err.contains("event 3: exit status 65; it is a dead letter"), "{ran:?}");
    let dead = user.run(&["tail", "s/dead", "--no-follow", "--json"]);
    let mut reasons: Vec<String> = Vec::new();
    for line in dead.lines() {
        let letter: Value = serde_json::from_str(line).unwrap();
        reasons.push(format!("{} {}", letter["data"]["event"]["id"], letter["data"]["reason"]));
    }
    reasons.sort();
    assert_eq!(reasons, [r#""bad" "exit status 3""#, r#""worse" "exit status 65""#]);
    assert_eq!(lag(&user), json!(0));
    user.run(&["work", "s", "--group", "g", "--no-follow", "--", "/no/such/program"]).lines();
}

#[test]
fn a_member_that_is_ended_gives_back_what_its_command_did_not_do() {
    let user = User::new();
    let _daemon = user.serve();
    publish(&user, &["1"]);
    user.write("go", "");
    let script = "echo begun; trap 'exit 1' TERM; while test -e go; do sleep 0.05; done; exit 1";
    let mut work = user.start(&["work", "s", "--group", "g", "--", "sh", "-c", script]);
    work.until("begun");
    work.send(Signal::TERM);
    std::fs::remove_file(user.project.join("go")).unwrap();
    assert_eq!(work.wait(), Some(0));
    // At once, and as if it had not been given.
    let again = user.run(&["groups", "fetch", "g", "--json"]).json();
    assert_eq!((&again["seq"], &again["deliveries"]), (&json!(1), &json!(1)));
}

#[test]
fn a_program_says_on_stdin_what_becomes_of_the_events_on_stdout() {
    let user = User::new();
    let _daemon = user.serve();
    publish(&user, &["1", "2", "3"]);
    let mut work = Piped::start(user.command(&["work", "s", "--group", "g", "--jobs", "2"]));
    let mut next = || -> Value { serde_json::from_str(&work.line()).unwrap() };
    let (first, second) = (next(), next());
    assert_eq!((&first["event"]["data"], &second["event"]["data"]), (&json!("1"), &json!("2")));
    let mut stdin = work.stdin.take().unwrap();
    let lease = |delivery: &Value| delivery["lease"].as_str().unwrap().to_owned();
    writeln!(stdin, "{}", lease(&first)).unwrap();
    let third: Value = serde_json::from_str(&work.line()).unwrap();
    assert_eq!(third["event"]["data"], json!("3"));
    writeln!(stdin, "what\nack 9:9\nterm {} it makes no sense", lease(&second)).unwrap();
    drop(stdin);
    let ran = Ran::of(work.child.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("`what` is passed over"), "{ran:?}");
    assert!(ran.err.contains("event 9 has not been given"), "{ran:?}");
    let dead = user.run(&["tail", "s/dead", "--no-follow", "--json"]).json();
    assert_eq!(dead["data"]["reason"], json!("it makes no sense"));
    // What was out at the end was given back.
    let again = user.run(&["groups", "fetch", "g", "--json"]).json();
    assert_eq!((&again["seq"], &again["deliveries"]), (&json!(3), &json!(1)));
}
