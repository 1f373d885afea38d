//! Rules, looked at without a daemon.

use serde_json::Value;

use crate::kit::User;

const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"local/p","type":"observation.file_change","subject":"file:/r/a"}"#;

#[test]
fn an_event_is_tested_against_the_rules_without_a_daemon() {
    let user = User::new();
    user.write("u.toml", "rules = 'mine.toml'");
    user.write("mine.toml", "[[rule]]\nname = 'mine'\ntypes = ['observation.*']\nstale = ['tag:mine']");
    let ran = user.run(&["rules", "test", EVENT, "--config", "u.toml", "--json"]);
    let stale: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let names: Vec<_> = stale.as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["file:/r/a", "dir:/r", "tag:mine"]);
    assert_eq!((&stale[0]["rule"], &stale[0]["file"]), (&"file_change".into(), &"shipped.toml".into()));
    assert_eq!((&stale[2]["rule"], &stale[2]["file"]), (&"mine".into(), &"mine.toml".into()));

    let shipped = user.run_with_input(&["rules", "test"], EVENT.as_bytes());
    assert_eq!(shipped.code, 0);
    assert!(shipped.out.contains("dir:/r") && !shipped.out.contains("tag:mine"), "{shipped:?}");
    user.run(&["rules", "test", "{}"]).failed(2, "");

    let printed = user.run(&["rules", "print", "--config", "u.toml"]);
    assert!(printed.out.contains("name = \"mine\""), "{printed:?}");
}

#[test]
fn a_bad_rule_is_refused_with_file_line_and_column() {
    let user = User::new();
    user.write("u.toml", "rules = 'mine.toml'");
    user.write("mine.toml", "[[rule]]\nname = 'x'\ntypes = ['ok', 'a*b']\nstale = ['tag:mine']");
    for words in [&["rules", "test", EVENT][..], &["rules", "print"], &["serve"]] {
        let ran = user.run(&[words, &["--config", "u.toml"]].concat());
        ran.failed(2, "mine.toml:3:16: `a*b` has a `*` that is not at its end");
    }
}
