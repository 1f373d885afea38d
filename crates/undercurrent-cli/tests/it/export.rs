//! `export` and `import`.

use serde_json::{Value, json};

use crate::kit::{Ran, Running, User, text};

/// The lines without what a commit assigns.
fn without_place(exported: &Ran) -> Vec<Value> {
    let lines = exported.lines();
    let read = lines.iter().map(|line| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        let event_ = event.as_object_mut().unwrap();
        assert!(event_.remove("sequence").is_some() && event_.remove("position").is_some());
        event
    });
    read.collect()
}

/// A daemon without roots whose data lies in a directory of the home.
fn daemon(user: &User, data: &str) -> Running {
    user.serve_with(&["--data", &text(user.home().join(data)), "--listen", "127.0.0.1:0"])
}

fn publish_some(user: &User, url: &str) {
    let publish = |more: &[&str]| user.run(&[&["--url", url, "publish"], more].concat()).lines().len();
    publish(&["sessions/1", "--type", "message", "--data", "{\"n\": 1.0}", "--id", "a"]);
    publish(&["sessions/2", "--type", "message", "--data", "plain", "--content-type", "text/plain"]);
    publish(&["sessions/1", "--type", "observation.note", "--source", "agent/7", "--id", "a"]);
    publish(&["tasks", "--type", "state_update.task", "--subject", "state:t", "--data", "[7]"]);
    publish(&["sessions/1", "--type", "message", "--data", "\"\\u00e4 \\n\""]);
    let own =
        json!({"specversion": "1.0", "id": "own", "source": "agent/7", "type": "message", "stream": "own"});
    let ran = user.run_with_input(&["--url", url, "publish", "tasks", "--lines"], own.to_string().as_bytes());
    assert_eq!(ran.lines().len(), 1);
}

#[test]
fn what_was_exported_is_imported_as_it_was_and_a_second_time_adds_nothing() {
    let user = User::new();
    let (from, to) = (daemon(&user, "from"), daemon(&user, "to"));
    publish_some(&user, &from.url);
    let exported = user.run(&["--url", &from.url, "export"]);
    assert_eq!(exported.lines().len(), 6);
    let import = || user.run_with_input(&["--url", &to.url, "import", "--json"], &exported.bytes).json();
    assert_eq!(import(), json!({"published": 6, "known": 0}));
    let again = || without_place(&user.run(&["--url", &to.url, "export"]));
    assert_eq!(again(), without_place(&exported));
    assert_eq!(import(), json!({"published": 0, "known": 6}));
    assert_eq!(again(), without_place(&exported));
    assert_eq!(user.run(&["--url", &to.url, "get", "state:t"]).out, "[7]");

    let sessions = user.run(&["--url", &from.url, "export", "sessions/*"]);
    assert_eq!(sessions.lines().len(), 4);
    assert_eq!(user.run(&["--url", &from.url, "export", "tasks"]).lines().len(), 2);
    user.run(&["--url", &from.url, "export", "$invalidations"]).failed(2, "no stream");
}

#[test]
fn an_import_that_broke_off_goes_on_between_what_others_published() {
    let user = User::new();
    let to = daemon(&user, "to");
    let line = |n: usize| {
        let event = json!({"stream": "s", "specversion": "1.0", "id": n.to_string(), "source": "agent/7", "type": "message"});
        format!("{event}\n")
    };
    let whole: String = (0..1500).map(line).collect();
    let import = |lines: &str| user.run_with_input(&["--url", &to.url, "import"], lines.as_bytes());
    let broken: String =
        (0..700).map(line).chain(["{\"stream\":\"s\"}\n".to_owned()]).chain((701..900).map(line)).collect();
    let refused = import(&broken);
    refused.failed(2, "`specversion` is missing");
    assert!(refused.err.contains("line 701; 700 events are published"), "{refused:?}");
    user.run(&["--url", &to.url, "publish", "s", "--type", "message"]).lines();
    assert_eq!(import(&whole).out, "800 events published, 700 were there already\n");
    let ids = without_place(&user.run(&["--url", &to.url, "export", "s"]));
    let ids: Vec<_> =
        ids.iter().filter(|event| event["source"] == "agent/7").map(|event| event["id"].as_str()).collect();
    let expected: Vec<_> = (0..1500).map(|n: usize| n.to_string()).collect();
    assert_eq!(ids, expected.iter().map(|id| Some(id.as_str())).collect::<Vec<_>>());
}

#[test]
fn a_data_directory_is_exported_without_a_daemon_and_not_while_one_has_it() {
    let user = User::new();
    let data = text(user.home().join("from"));
    let from = daemon(&user, "from");
    publish_some(&user, &from.url);
    let exported = user.run(&["--url", &from.url, "export"]);
    user.run(&["export", "--data", &data]).failed(6, "in use by another process");
    assert_eq!(from.end(), Some(0));
    assert_eq!(without_place(&user.run(&["export", "--data", &data])), without_place(&exported));
    assert_eq!(user.run(&["export", "tasks", "--data", &data]).lines().len(), 2);
    user.run(&["export", "--data", "nowhere"]).failed(3, "`nowhere` is no data directory");
    assert!(!user.project.join("nowhere").exists());
}
