//! Daemons that share a store: to a client they are one.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::json;
use tokio::runtime::Runtime;
use undercurrent_servers::{Server, Setup};

use crate::kit::{Ran, Running, User, text};

/// A password that nobody may be shown.
const PASSWORD: &str = "hunter2OfTheStore";

/// Runs what waits for a server, from tests that wait for processes.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    RUNTIME.block_on(future)
}

pub(crate) fn start(setup: Setup) -> Server {
    wait(Server::start(setup)).unwrap()
}

/// A user with a daemon that uses a store.
struct Node {
    user: User,
    data: PathBuf,
    daemon: Running,
}

impl Node {
    fn start(url: &str, workspace: &str) -> Self {
        let user = User::new();
        let data = user.home().join("data");
        let daemon = serve(&user, &data, url, workspace);
        Self { user, data, daemon }
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.user.run(&[&["--url", &self.daemon.url], words].concat())
    }

    fn follow(&self, words: &[&str]) -> Running {
        self.user.start(&[&["--url", &self.daemon.url], words].concat())
    }
}

fn serve(user: &User, data: &Path, url: &str, workspace: &str) -> Running {
    let words =
        [".", "--listen", "127.0.0.1:0", "--data", &text(data), "--store", url, "--workspace", workspace];
    user.serve_with(&words)
}

fn two(server: &Server) -> [Node; 2] {
    [Node::start(&server.url(), "a"), Node::start(&server.url(), "b")]
}

#[test]
fn what_is_published_at_one_daemon_is_read_and_followed_at_another() {
    let server = start(Setup::standalone());
    let [a, b] = two(&server);
    for text in ["1", "2"] {
        a.run(&["publish", "sessions/1", "--type", "message", "--data", text]).lines();
    }
    let history = b.run(&["tail", "sessions/1", "--no-follow", "--json"]);
    assert_eq!(history.lines().len(), 2);
    assert_eq!(b.run(&["tail", "sessions/1", "--limit", "1", "--json"]).lines().len(), 1);

    let mut one = b.follow(&["tail", "sessions/1", "--json"]);
    let mut all = b.follow(&["tail", "sessions/*", "--from", "beginning", "--json"]);
    let mut moved = b.follow(&["tail", "$invalidations", "--from", "beginning", "--json"]);
    for _ in 0..2 {
        one.line().unwrap();
        all.line().unwrap();
    }
    let state = [
        "publish",
        "sessions/2",
        "--type",
        "state_update.task",
        "--subject",
        "state:t",
        "--data",
        "{\"n\":3}",
    ];
    a.run(&state).lines();
    a.run(&["publish", "sessions/1", "--type", "message", "--data", "4"]).lines();
    one.until_event("\"data\":4");
    all.until_event("{\"n\":3}");
    all.until_event("\"data\":4");
    moved.until_event("state:t");
    assert_eq!(b.run(&["get", "state:t"]).out, "{\"n\":3}");
    let explained = b.run(&["explain", "state:t"]);
    assert!(
        explained.out.contains("state_update.task") && explained.out.contains("sessions/2"),
        "{explained:?}"
    );
}

#[test]
fn what_one_daemon_puts_or_invalidates_another_answers_and_is_woken_by() {
    let server = start(Setup::standalone());
    let [a, b] = two(&server);
    a.run(&["put", "note:k", "first"]).lines();
    assert_eq!(b.run(&["get", "note:k"]).out, "first");
    // Whether it waits already does not matter: it is given the version that stands, or woken.
    let version = b.run(&["get", "note:k", "--json"]).json()["version"].as_str().unwrap().to_owned();
    let mut known = b.follow(&["wait", "note:k", "--version", &version, "--timeout", "50s"]);
    a.run(&["put", "note:k", "second"]).lines();
    assert_eq!(known.wait(), Some(0));
    assert_eq!(b.run(&["get", "note:k"]).out, "second");
    a.run(&["invalidate", "note:k"]).lines();
    b.run(&["get", "note:k"]).failed(3, "note:k");
}

#[test]
fn streams_and_sessions_are_those_of_all_and_of_one() {
    let server = start(Setup::standalone());
    let [a, b] = two(&server);
    a.run(&["streams", "create", "kept", "--max-count", "5"]).lines();
    assert!(b.run(&["streams"]).out.contains("kept"));
    b.run(&["streams", "rm", "kept", "--yes"]).lines();
    assert!(!a.run(&["streams"]).out.contains("kept"));

    a.run(&["put", "note:k", "1"]).lines();
    for node in [&a, &b] {
        node.run(&["get", "note:k", "--session", "s"]).lines();
    }
    assert_eq!(b.run(&["changes", "s", "--ack", "--json"]).json()["changes"], json!([]));
    a.run(&["put", "note:k", "2"]).lines();
    assert_eq!(b.run(&["changes", "s", "--ack", "--json"]).json()["changes"][0]["key"], "note:k");
    // Acknowledged there, and not here.
    assert_eq!(a.run(&["changes", "s", "--json"]).json()["changes"][0]["key"], "note:k");
    let elsewhere = a.run(&["changes", "other", "--json"]).json();
    assert!(elsewhere["incomplete"].is_string(), "{elsewhere}");
    let Node { user, data, daemon } = b;
    assert_eq!(daemon.end(), Some(0));
    let daemon = serve(&user, &data, &server.url(), "b");
    let b = Node { user, data, daemon };
    let after = b.run(&["changes", "s", "--json"]).json();
    assert_eq!((&after["changes"], &after["incomplete"]), (&json!([]), &json!(null)), "{after}");
}

#[test]
fn one_daemon_dies_and_the_other_goes_on() {
    let server = start(Setup::standalone());
    let [a, b] = two(&server);
    a.user.write("f", "of a");
    b.user.write("f", "of b");
    assert_eq!(a.run(&["get", "file:f"]).out, "of a");
    assert_eq!(b.run(&["get", "file:f"]).out, "of b");
    a.run(&["publish", "s", "--type", "message", "--data", "1"]).lines();
    let Node { user, data, daemon } = a;
    daemon.crash();
    b.run(&["publish", "s", "--type", "message", "--data", "2"]).lines();
    assert_eq!(b.run(&["tail", "s", "--no-follow", "--json"]).lines().len(), 2);
    let a = Node { daemon: serve(&user, &data, &server.url(), "a"), user, data };
    assert_eq!(a.run(&["tail", "s", "--no-follow", "--json"]).lines().len(), 2);
    assert_eq!(a.run(&["get", "file:f"]).out, "of a");
}

#[test]
fn without_its_store_a_daemon_says_so_and_what_it_has_is_still_shown() {
    let server = start(Setup::standalone());
    let a = Node::start(&server.url(), "a");
    a.run(&["put", "note:k", "v"]).lines();
    assert_eq!(a.run(&["get", "note:k"]).out, "v");
    server.kill();
    a.run(&["publish", "s", "--type", "message"]).failed(4, "");
    a.run(&["get", "note:k"]).failed(4, "");
    assert_eq!(a.run(&["get", "note:k", "--level", "local"]).out, "v");
    let refused = a.user.run(&[
        "serve",
        "--data",
        &text(a.user.home().join("d")),
        "--store",
        &server.url(),
        "--listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(refused.code, 4, "{refused:?}");
}

#[test]
fn two_daemons_do_not_share_a_data_directory() {
    let server = start(Setup::standalone());
    let a = Node::start(&server.url(), "a");
    let again = ["serve", "--data", &text(&a.data), "--store", &server.url(), "--listen", "127.0.0.1:0"];
    let refused = a.user.run(&again);
    assert!(refused.code == 6 && refused.err.contains("in use by another process"), "{refused:?}");
}

#[test]
fn no_text_shows_the_password_of_a_store() {
    let server = start(Setup::standalone().password(PASSWORD));
    let url = server.url();
    assert!(url.contains(PASSWORD));
    let user = User::new();
    let data = text(user.home().join("data"));
    let daemon = user.start(&["serve", "--data", &data, "--store", &url, "--listen", "127.0.0.1:0"]);
    let mut daemon = daemon;
    let first = daemon.until("undercurrent");
    let place = daemon.until("data in");
    daemon.url = first.split_whitespace().last().unwrap().to_owned();
    let status = user.run(&["--url", &daemon.url, "status"]);
    let doctor = user.run(&["doctor", "--store", &url]);
    let wrong = url.replace(PASSWORD, "anotherPassword");
    let denied = user.run(&["doctor", "--store", &wrong]);
    for shown in [&first, &place, &status.out, &status.err, &doctor.out, &doctor.err, &denied.err] {
        assert!(!shown.contains(PASSWORD) && !shown.contains("anotherPassword"), "{shown}");
    }
    assert_eq!((status.code, doctor.code, denied.code), (0, 0, 1), "{denied:?}");
    for bad in [
        "redis",
        "http://a",
        "redis://",
        "rediss://a,b",
        "unix://a",
        "redis+sentinel://a",
        "redis+cluster://a/1",
        "redis://a/3",
    ] {
        let bad = bad.replacen("://", &format!("://:{PASSWORD}@"), 1);
        for command in ["serve", "doctor"] {
            let refused = user.run(&[command, "--store", &bad]);
            assert!(refused.code == 2 && !refused.err.contains(PASSWORD), "`{bad}`: {refused:?}");
            assert!(refused.err.contains("redis://host:port"), "{refused:?}");
        }
    }
}

#[test]
fn doctor_says_what_a_store_is_and_what_that_means() {
    let server = start(Setup::standalone());
    let doctor = |more: &[&str]| User::new().run(&[&["doctor", "--store", &server.url()], more].concat());
    let before = doctor(&["--json"]).json();
    assert_eq!((&before["namespace"], &before["refused"]), (&json!(null), &json!(null)));
    let keys: i64 = wait(server.command(&["DBSIZE"])).unwrap();
    assert_eq!(keys, 0, "a look writes nothing");

    let a = Node::start(&server.url(), "a");
    a.run(&["publish", "s", "--type", "message", "--data", "1"]).lines();
    a.run(&["put", "note:k", "v"]).lines();
    let after = doctor(&["--json"]).json();
    assert_eq!(after["namespace"]["format"], "undercurrent/2");
    assert_eq!((&after["denied"], &after["parts_complete"]), (&json!([]), &json!(true)));
    let rules = after["namespace"]["rules"].as_str();
    assert!(rules.is_some_and(|rules| !rules.is_empty()), "{after}");
    let part =
        |name: &str| after["parts"].as_array().unwrap().iter().find(|one| one["part"] == name).cloned();
    for name in ["control", "last", "log", "streams", "context", "tables"] {
        let part = part(name).unwrap_or_else(|| panic!("nothing of `{name}`: {after}"));
        assert!(part["bytes"].as_u64().unwrap() > 0 && part["entries"].as_u64().unwrap() > 0, "{part}");
    }
    assert_eq!(part("other"), None, "{after}");
    let said = doctor(&[]);
    assert!(
        said.out.contains("acknowledgements say `memory`") && said.out.contains("no replicas"),
        "{said:?}"
    );
    assert_eq!(said.code, 0);
}

#[test]
fn doctor_refuses_what_serve_refuses() {
    let evicts =
        start(Setup::standalone().option("maxmemory", "50mb").option("maxmemory-policy", "allkeys-lru"));
    let refused = User::new().run(&["doctor", "--store", &evicts.url()]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("set noeviction") && refused.out.contains("allkeys-lru"), "{refused:?}");

    let lacks = ["~*", "+@all", "-xtrim", "-zrank"];
    let limited = start(Setup::standalone().user("node", "secret", &lacks));
    let refused = User::new().run(&["doctor", "--store", &limited.url(), "--json"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let found: serde_json::Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!(found["denied"], json!(["XTRIM", "ZRANK"]));
    assert!(refused.err.contains("+xtrim +zrank"), "{refused:?}");

    let taken = start(Setup::standalone());
    let () = wait(taken.command(&["SET", "{uc:default}:control", "mine"])).unwrap();
    let refused = User::new().run(&["doctor", "--store", &taken.url()]);
    assert!(refused.code == 1 && refused.err.contains("another program"), "{refused:?}");
    User::new().run(&["doctor", "--store", "redis://127.0.0.1:1"]).failed(4, "127.0.0.1:1");
}
