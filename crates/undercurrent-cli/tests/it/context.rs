//! `get`, `put`, `check`, `invalidate`, `explain`, and what operators ask.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::kit::User;

#[test]
fn get_prints_exactly_the_bytes() {
    let user = User::new();
    let _daemon = user.serve();
    for bytes in [&b""[..], b"a", b"a\n", b"\0\xff\x1b[0m\r\n", &[7; 300_000]] {
        user.write("sub/a b.bin", bytes);
        let ran = user.run(&["get", "file:sub/a b.bin"]);
        assert!(ran.bytes == bytes, "{} bytes became {}", bytes.len(), ran.bytes.len());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    }
}

#[test]
fn paths_are_taken_from_the_current_directory() {
    let user = User::new();
    user.write("sub/a.txt", "a");
    let _daemon = user.serve();
    let below = |words: &[&str]| {
        let output = user.command(words).current_dir(user.project.join("sub")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for key in ["file:a.txt", "file:./a.txt", "file:../sub/a.txt", "context:file:a.txt"] {
        assert_eq!(below(&["get", key]), "a", "`{key}`");
    }
    assert!(below(&["get", "dir:."]).contains("a.txt"));
    assert!(below(&["get", "dir:.."]).contains("sub"));
    let name = OsStr::from_bytes(b"a\xffb");
    fs::write(user.project.join(name), "odd").unwrap();
    let mut key = b"file:".to_vec();
    key.extend_from_slice(name.as_bytes());
    let output = user.command(&["get"]).arg(OsStr::from_bytes(&key)).output().unwrap();
    assert_eq!(output.stdout, b"odd");
}

#[test]
fn json_says_why_a_value_may_be_trusted() {
    let user = User::new();
    user.write("a.txt", "a");
    let _daemon = user.serve();
    let got = user.run(&["get", "file:a.txt", "--json"]).json();
    assert_eq!(got["value"], "a");
    for part in ["version", "age_ms", "level", "why", "because", "token"] {
        assert!(!got[part].is_null(), "`{part}` is missing in {got}");
    }
    let absent = user.run(&["get", "file:absent", "--json"]);
    assert_eq!(absent.code, 3);
    assert!(absent.out.contains("\"exists\":false"), "{absent:?}");
}

#[test]
fn a_version_guards_an_edit() {
    let user = User::new();
    user.write("a.txt", "a");
    let _daemon = user.serve();
    let version = user.run(&["get", "file:a.txt", "--json"]).json()["version"].as_str().unwrap().to_owned();
    assert_eq!(user.run(&["check", "file:a.txt", "--version", &version]).code, 0);
    let unchanged = user.run(&["get", "file:a.txt", "--if-version", &version]);
    assert_eq!((unchanged.code, unchanged.out.as_str(), unchanged.err.as_str()), (0, "", "unchanged\n"));
    user.write("a.txt", "b");
    user.run(&["check", "file:a.txt", "--version", &version]).failed(6, "read it again");
    let diff = user.run(&["get", "file:a.txt", "--if-version", &version]).out;
    assert!(diff.contains("-a\n") && diff.contains("+b\n"), "{diff}");
    let unknown = "0".repeat(64);
    let whole = user.run(&["get", "file:a.txt", "--if-version", &unknown]);
    assert!(whole.out == "b" && whole.err.contains("not known"), "{whole:?}");
    let told = user.run(&["get", "file:a.txt", "--if-version", &version, "--json"]).json();
    assert_eq!((&told["state"], &told["context"]["value"]), (&"changed".into(), &"b".into()));
    fs::remove_file(user.project.join("a.txt")).unwrap();
    user.run(&["get", "file:a.txt", "--if-version", &version]).failed(3, "not there");
    user.run(&["check", "file:a.txt", "--version", &version]).failed(6, "");
    user.run(&["put", "note:a", "x"]);
    let version = user.run(&["get", "note:a", "--json"]).json()["version"].as_str().unwrap().to_owned();
    assert_eq!(
        user.run(&["check", "note:a", "--version", &version]).code,
        0,
        "what no source can be asked about"
    );
}

#[test]
fn wait_ends_with_the_change_or_the_time() {
    let user = User::new();
    let _daemon = user.serve();
    user.run(&["put", "note:a", "1"]).lines();
    let version = user.run(&["get", "note:a", "--json"]).json()["version"].as_str().unwrap().to_owned();
    user.run(&["wait", "note:a", "--timeout", "1ms"]).failed(5, "did not change");
    let mut command = user.command(&["wait", "note:a", "--version", &version, "--timeout", "10m"]);
    let waiting = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    user.run(&["put", "note:a", "2"]).lines();
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success());
    let now = user.run(&["get", "note:a", "--json"]).json();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), now["version"].as_str().unwrap());
}

#[test]
fn what_is_put_is_got_until_it_is_invalidated() {
    let user = User::new();
    let _daemon = user.serve();
    user.write("value.bin", b"\xff\0");
    for (words, input, expected) in [
        (&["put", "note:a", "text"][..], &b""[..], &b"text"[..]),
        (&["put", "note:a", "-"], b"from stdin", b"from stdin"),
        (&["put", "note:a"], b"from stdin too", b"from stdin too"),
        (&["put", "note:a", "@value.bin"], b"", b"\xff\0"),
    ] {
        let put = user.run_with_input(words, input);
        assert_eq!(put.code, 0, "{put:?}");
        let got = user.run(&["get", "note:a", "--after", put.out.trim()]);
        assert_eq!(got.bytes, expected, "{words:?}");
    }
    let token = user.run(&["invalidate", "note:a", "note:b", "--tag", "mine"]);
    assert_eq!(token.lines().len(), 1);
    user.run(&["get", "note:a", "--after", token.out.trim()]).failed(3, "note:a");
    user.run(&["put", "note:a", "@absent"]).failed(2, "`absent` can not be read");
    let miss = user.run(&["get", "note:a"]);
    let ticket = miss.err.split_whitespace().last().unwrap().trim_end_matches('`').to_owned();
    assert_eq!(user.run(&["put", "note:a", "filled", "--ticket", &ticket]).code, 0);
    assert_eq!(user.run(&["get", "note:a"]).out, "filled");
}

#[test]
fn what_was_made_from_a_file_is_put_with_it() {
    let user = User::new();
    user.write("a.txt", "a");
    let _daemon = user.serve();
    let version = user.run(&["get", "file:a.txt", "--json"]).json()["version"].as_str().unwrap().to_owned();
    let input = format!("file:a.txt={version}");
    let put = ["put", "note:sum", "one", "--input", &input, "--tag", "mine", "--ttl", "10m"];
    user.run(&put).lines();
    assert_eq!(user.run(&["get", "note:sum"]).out, "one");
    user.write("a.txt", "b");
    user.run(&put).failed(6, "a.txt");
    user.run(&["put", "note:sum", "one", "--input", "file:a.txt"]).failed(2, "KEY=VERSION");
}

#[test]
fn a_state_is_what_the_last_event_about_it_says() {
    let user = User::new();
    let _daemon = user.serve();
    user.run(&["put", "state:task-7", r#"{"done":false}"#]).lines();
    let words = ["publish", "tasks", "--type", "state_update.task", "--subject", "state:task-7", "--data"];
    user.run(&[&words[..], &[r#"{"done":true}"#]].concat()).lines();
    assert_eq!(user.run(&["get", "state:task-7"]).out, r#"{"done":true}"#);
    let explained = user.run(&["explain", "state:task-7"]);
    assert!(
        explained.out.contains("state_update.task") && explained.out.contains("in tasks at"),
        "{explained:?}"
    );
    assert_eq!(user.run(&["explain", "state:task-7", "--json"]).json()["key"], "state:task-7");
}

#[test]
fn operators_are_told_what_is_going_on() {
    let user = User::new();
    let daemon = user.serve();
    user.run(&["publish", "s", "--type", "message"]).lines();
    assert!(user.run(&["status"]).out.contains(&daemon.url));
    assert_eq!(user.run(&["status", "--json"]).json()["store"], "writable");
    assert!(user.run(&["sources"]).out.starts_with("local/project"));
    assert_eq!(user.run(&["sources", "--json"]).json()[0]["name"], "local/project");
    for words in [&["streams"][..], &["streams", "ls"]] {
        assert!(
            user.run(words).lines().iter().any(|line| line.starts_with("s ") && line.contains("  durable  "))
        );
    }
    assert!(user.run(&["streams", "--json"]).json().is_array());
}

#[test]
fn a_session_is_told_once_more_and_once_only_what_has_changed() {
    let user = User::new();
    user.write("a.txt", "a");
    user.write("b.txt", "b");
    let _daemon = user.serve();
    assert_eq!(user.run(&["get", "file:a.txt", "--session", "agent-7"]).out, "a");
    let by_environment = user.command(&["get", "file:b.txt"]).env("UNDERCURRENT_SESSION", "agent-7").output();
    assert_eq!(by_environment.unwrap().stdout, b"b");
    let unchanged = user.run(&["changes", "agent-7"]).out;
    assert_eq!(unchanged, "Nothing that session agent-7 was given has changed.\n");
    user.write("b.txt", "new");
    let notice = user.run(&["changes", "agent-7"]).out;
    assert!(notice.starts_with("1 thing") && notice.contains("/b.txt"), "{notice}");
    assert_eq!(user.run(&["changes", "agent-7", "--ack"]).out, notice);
    assert_eq!(user.run(&["changes", "agent-7", "--ack"]).out, unchanged);
    assert_eq!(user.run(&["changes", "agent-7", "--json"]).json()["changes"], serde_json::json!([]));
    assert!(user.run(&["changes", "other"]).out.contains("nothing is remembered of this session"));
    user.run(&["changes", "a b"]).failed(2, "session name");
}
