//! `rules test`, and `rules apply` for daemons that share a store.

use undercurrent_servers::Setup;

use crate::kit::{Ran, Running, User, text};
use crate::nodes::start;

const EVENT: &str = r#"{"type":"state_update.task","source":"user/me","subject":"state:task-7"}"#;

#[test]
fn an_event_is_tried_against_the_rules_of_the_daemon_and_nothing_is_published() {
    let user = User::new();
    let _daemon = user.serve();
    let tested = user.run(&["rules", "test", EVENT, "--json"]).json();
    assert_eq!(tested["stale"][0]["name"], "state:task-7");
    let status = user.run(&["status", "--json"]).json();
    assert_eq!(tested["rules"], status["rules"]);
    assert!(user.run(&["rules", "test", EVENT]).out.contains("state:task-7"));
    let announced = EVENT.replace("state_update.task", "action.edit");
    assert!(user.run(&["rules", "test", &announced]).out.starts_with("nothing"));
    assert!(!user.run(&["streams"]).out.contains("state"));
}

#[test]
fn rules_in_a_file_are_tried_without_a_daemon() {
    let user = User::new();
    user.write("rules.toml", "[[rule]]\nname = 'mine'\ntypes = ['observation.mine']\nstale = ['tag:mine']\n");
    let event = r#"{"type":"observation.mine","source":"user/me"}"#;
    let ran = user.run(&["rules", "test", event, "--rules", "rules.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "mine  tag:mine\n"), "{ran:?}");
    user.write("rules.toml", "[[rule]]\nname = 'mine'\ntypes = ['action.mine']\nstale = ['tag:mine']\n");
    let ran = user.run(&["rules", "test", event, "--rules", "rules.toml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("rules.toml:3:"), "{ran:?}");
    assert_eq!(user.run(&["rules", "test", "{}", "--rules", "rules.toml"]).code, 2);
}

/// A daemon of a user whose configuration names a store, and rules where the user has written some.
struct Node {
    user: User,
    daemon: Running,
}

impl Node {
    fn start(url: &str, rules: Option<&str>) -> Self {
        let user = configured(url, rules);
        let daemon = user.serve_with(&SERVE);
        Self { user, daemon }
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.user.run(&[&["--url", &self.daemon.url], words].concat())
    }

    fn observe(&self, what: &str) -> Ran {
        self.run(&["publish", "s", "--type", &format!("observation.{what}")])
    }
}

const SERVE: [&str; 4] = ["--config", "undercurrent.toml", "--listen", "127.0.0.1:0"];
const APPLY: [&str; 4] = ["rules", "apply", "--config", "undercurrent.toml"];

fn configured(url: &str, rules: Option<&str>) -> User {
    let user = User::new();
    let data = text(user.home().join("data"));
    let named = if rules.is_some() { "rules = 'rules.toml'\n" } else { "" };
    user.write("undercurrent.toml", format!("data = '{data}'\n{named}[store]\nurl = '{url}'\n"));
    user.write("rules.toml", rules.unwrap_or_default());
    user
}

fn rule(name: &str) -> String {
    format!("[[rule]]\nname = '{name}'\ntypes = ['observation.{name}']\nstale = ['tag:{name}']\n")
}

#[test]
fn rules_that_are_applied_hold_for_daemons_that_run() {
    let server = start(Setup::standalone());
    let [a, b] = [Node::start(&server.url(), None), Node::start(&server.url(), None)];
    let put = || a.run(&["put", "note:k", "v", "--tag", "mine"]).lines().len();
    put();
    b.observe("mine").lines();
    assert_eq!(b.run(&["get", "note:k"]).out, "v", "no rule says so yet");

    let applying = configured(&server.url(), Some(&rule("mine")));
    let applied = applying.run(&APPLY);
    assert!(applied.lines()[0].ends_with("are in force"), "{applied:?}");
    let version = applied.out.split(' ').nth(1).unwrap();
    b.observe("mine").lines();
    for node in [&a, &b] {
        node.run(&["get", "note:k"]).failed(3, "note:k");
    }
    assert_eq!(b.run(&["status", "--json"]).json()["rules"], version);
    let event = r#"{"type":"observation.mine","source":"user/me"}"#;
    assert_eq!(b.run(&["rules", "test", event]).out, "mine  tag:mine\n");
    let doctor = applying.run(&["doctor", "--config", "undercurrent.toml", "--json"]).json();
    assert_eq!(doctor["namespace"]["rules"], version);
    // Once more changes nothing.
    assert_eq!(applying.run(&[&APPLY[..], &["--json"]].concat()).json()["rules"], version);
    put();
    b.observe("mine").lines();
    a.run(&["get", "note:k"]).failed(3, "note:k");
}

#[test]
fn a_daemon_whose_own_rule_is_not_in_force_says_which_and_publishes_nothing() {
    let server = start(Setup::standalone());
    let mine = Node::start(&server.url(), Some(&rule("mine")));
    configured(&server.url(), Some(&rule("other"))).run(&APPLY).lines();
    mine.observe("mine").failed(6, "rule `mine`");
    assert_eq!(mine.run(&["tail", "s", "--no-follow", "--json"]).out, "");
    mine.run(&["invalidate", "note:k"]).lines();
    let another = configured(&server.url(), Some(&rule("mine")));
    another.run(&[&["serve"], &SERVE[..]].concat()).failed(6, "undercurrent rules apply");

    configured(&server.url(), Some(&(rule("other") + &rule("mine")))).run(&APPLY).lines();
    mine.observe("mine").lines();
}

#[test]
fn without_a_shared_store_there_is_nothing_to_apply() {
    User::new().run(&["rules", "apply"]).failed(2, "embedded store");
}
