//! `rules test`.

use crate::kit::User;

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
