use bytes::Bytes;
use undercurrent_types::{Data, EventSource, EventType, Key};

use super::*;

fn event(ty: &str, subject: &str, extensions: &[(&str, &str)]) -> Event {
    let ty = EventType::try_from(ty).unwrap();
    let event = Event::new(ty, EventSource::try_from("local/work").unwrap());
    let event = if subject.is_empty() { event } else { event.with_subject(subject) };
    extensions.iter().fold(event, |event, (name, value)| event.with_extension(name, value).unwrap())
}

#[track_caller]
fn check(rules: &RuleSet, event: &Event, expected: &[&str]) {
    let names: Vec<String> = rules.names(event).iter().map(Name::to_string).collect();
    assert_eq!(names, expected, "from `{}` about {:?} with {:?}", event.ty, event.subject, event.extensions);
}

#[test]
fn the_shipped_rules_say_what_an_event_makes_stale() {
    let rules = RuleSet::shipped();
    let repo = ("repo", "/r");
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        ("observation.file_change", "file:/r/a", &[repo], &["file:/r/a", "dir:/r", "tag:repo:/r"]),
        ("observation.file_change", "file:/r/a", &[], &["file:/r/a", "dir:/r"]),
        ("observation.file_change", "context:file:/r/x/../a/", &[], &["file:/r/a", "dir:/r"]),
        ("observation.file_change", "file:/a", &[], &["file:/a", "dir:/"]),
        ("observation.file_change", r"file:/r/\xff/a", &[], &[r"file:/r/\xff/a", r"dir:/r/\xff"]),
        ("observation.file_change", "file:/", &[], &["file:/"]),
        ("observation.file_change", "", &[repo], &["tag:repo:/r"]),
        ("observation.file_change", "a.txt", &[repo], &["tag:repo:/r"]),
        (
            "observation.directory_change",
            "dir:/r/a/new",
            &[("movedfrom", "/r/b/old"), repo],
            &[
                "dir:/r/a/new",
                "tag:tree:/r/a/new",
                "tag:tree:/r/b/old",
                "dir:/r/a",
                "dir:/r/b",
                "dir:/r/b/old",
                "tag:repo:/r",
            ],
        ),
        ("observation.directory_change", "dir:/r/a", &[], &["dir:/r/a", "tag:tree:/r/a", "dir:/r"]),
        (
            "observation.directory_change",
            "dir:/r/a",
            &[("movedfrom", "/r/b"), ("movedfromrepo", "/q"), repo],
            &[
                "dir:/r/a",
                "tag:tree:/r/a",
                "tag:tree:/r/b",
                "dir:/r",
                "dir:/r/b",
                "tag:repo:/r",
                "tag:repo:/q",
            ],
        ),
        ("observation.directory_change", "dir:/", &[], &["dir:/", "tag:tree:/"]),
        ("observation.git_change", "git:/r#head", &[repo], &["tag:repo:/r"]),
        ("observation.git_change", "git:/r#head", &[], &[]),
        ("observation.git", "git:/r#head", &[], &["tag:repo:/r"]),
        ("observation.git", "git:/r#head", &[("repo", "/q")], &["tag:repo:/q", "tag:repo:/r"]),
        ("observation.git", "file:/r/a", &[repo], &["tag:repo:/r"]),
        ("observation.git", "file:/r/a", &[], &[]),
        ("observation.edit", "file:/r/a", &[repo], &["file:/r/a", "dir:/r", "tag:repo:/r"]),
        ("observation.edit", "state:x", &[], &["state:x"]),
        ("system.resync", "", &[("scope", "local:/r")], &["scope:local:/r"]),
        ("system.resync", "", &[], &[]),
        ("system.resync", "", &[("scope", "")], &[]),
        ("state_update", "state:task-7", &[], &["state:task-7"]),
        ("state_update.pod", "k8s:c/pods/ns/n", &[], &["k8s:c/pods/ns/n"]),
        ("state_update.check", "ci:github/o/r#status@abc", &[], &["ci:github/o/r#status@abc"]),
        ("state_update", "no key", &[], &[]),
        ("state_update", "tag:x", &[], &[]),
        ("state_update", "", &[], &[]),
        // What says nothing about a source makes nothing stale.
        ("message", "file:/r/a", &[repo], &[]),
        ("observation", "file:/r/a", &[repo], &[]),
        ("observation.file_changes", "file:/r/a", &[repo], &[]),
        ("action.edit", "file:/r/a", &[repo], &[]),
        ("dev.cdevents.build.finished", "file:/r/a", &[repo], &[]),
    ];
    for (ty, subject, extensions, expected) in cases {
        check(&rules, &event(ty, subject, extensions), expected);
    }
}

#[test]
fn one_path_has_one_name() {
    let rules = RuleSet::shipped();
    for repo in ["/r/a", "/r/a/", "//r//a", "/r/./b/../a", r"/r/\x61"] {
        check(&rules, &event("observation.git_change", "", &[("repo", repo)]), &["tag:repo:/r/a"]);
    }
}

#[test]
fn an_added_rule_stands_behind_the_shipped_ones() {
    let text = r#"
        [[rule]]
        name = "schema"
        types = ["observation.file_change"]
        sources = ["local/*"]
        subjects = ["file:/r/schema/*"]
        stale = ["command:schema", "tag:generated", "tag:of:{subject}", "tag:n:{number}", "file:/r/a"]

        [[rule]]
        name = "everything"
        types = ["*"]
        stale = ["tag:any"]
    "#;
    let rules = RuleSet::from_toml(text, "rules.toml").unwrap();
    let subject = "file:/r/schema/a";
    let dir = "dir:/r/schema";
    let event = event("observation.file_change", subject, &[]).with_extension("number", 7).unwrap();
    let expected = [
        subject,
        dir,
        "command:schema",
        "tag:generated",
        "tag:of:file:/r/schema/a",
        "tag:n:7",
        "file:/r/a",
        "tag:any",
    ];
    check(&rules, &event, &expected);
    let by: Vec<&str> = rules.matches(&event).iter().map(|(rule, _)| *rule).collect();
    assert_eq!(by[..3], ["file_change", "file_change", "schema"]);

    let mut elsewhere = event;
    elsewhere.source = EventSource::try_from("agent/7").unwrap();
    check(&rules, &elsewhere, &[subject, dir, "tag:any"]);
}

#[test]
fn an_action_makes_nothing_stale_whatever_a_rule_says() {
    let text = "[[rule]]\nname = 'all'\ntypes = ['*', 'act*']\nstale = ['{subject}', 'tag:any']\n";
    let rules = RuleSet::from_toml(text, "rules.toml").unwrap();
    check(&rules, &event("action.edit", "file:/r/a", &[]), &[]);
    check(&rules, &event("action", "file:/r/a", &[]), &[]);
    check(&rules, &event("message", "file:/r/a", &[]), &["file:/r/a", "tag:any"]);
}

#[test]
fn a_name_made_twice_is_there_once() {
    let text = "[[rule]]\nname = 'again'\ntypes = ['state_update']\nstale = ['{subject}', 'state:a']\n";
    let rules = RuleSet::from_toml(text, "rules.toml").unwrap();
    let event = event("state_update", "state:a", &[]);
    check(&rules, &event, &["state:a"]);
    assert_eq!(rules.matches(&event).len(), 3);
}

#[test]
fn a_bad_rule_is_refused_with_file_line_and_reason() {
    let rule = |fields: &str| format!("# mine\n[[rule]]\nname = 'x'\n{fields}\n");
    let cases = [
        ("[[rule]]\nname = 'x'\ntypes = [".to_owned(), 3, ""),
        ("[[rules]]\n".to_owned(), 1, "unknown field `rules`"),
        ("\n[[rule]]\nname = 'x'\nstale = ['tag:x']\n".to_owned(), 2, "missing field `types`"),
        (rule("type = ['message']"), 4, "unknown field `type`"),
        (rule("types = 'message'\nstale = ['tag:x']"), 4, "expected a sequence"),
        (rule("types = []\nstale = ['tag:x']"), 4, "`types` of rule `x` is empty"),
        (rule("types = ['message']\nstale = []"), 5, "`stale` of rule `x` is empty"),
        (rule("types = ['message', '']\nstale = ['tag:x']"), 4, "a pattern is empty"),
        (rule("types = [\n'message',\n'a*b']\nstale = ['tag:x']"), 6, "not at its end"),
        (rule("types = ['action.edit']\nstale = ['tag:x']"), 4, "makes nothing stale"),
        (rule("types = ['action']\nstale = ['tag:x']"), 4, "makes nothing stale"),
        (rule("types = ['action*']\nstale = ['tag:x']"), 4, "makes nothing stale"),
        (rule("types = ['message']\nstale = ['tag:{Repo}']"), 5, "`{Repo}` is no variable"),
        (rule("types = ['message']\nstale = ['tag:{id}']"), 5, "`{id}` is no variable"),
        (rule("types = ['message']\nstale = ['tag:{repo']"), 5, "without its `}`"),
        (rule("types = ['message']\nstale = ['tag:repo}']"), 5, "without its `{`"),
        (rule("types = ['message']\nstale = ['{repo}']"), 5, "gives no name"),
        (rule("types = ['message']\nstale = ['{subject}/x']"), 5, "gives no name"),
        (rule("types = ['message']\nstale = ['Tag:{repo}']"), 5, "gives no name"),
        (rule("types = ['message']\nstale = ['']"), 5, "gives no name"),
        (rule("types = ['message']\nstale = ['file:a']"), 5, "not absolute"),
        (rule("types = ['message']\nstale = ['unwatched:/r']"), 5, "in doubt as it is"),
        (
            "[[rule]]\nname = 'edit'\ntypes = ['a.b']\nstale = ['tag:x']".to_owned(),
            2,
            "a rule `edit` already",
        ),
        ("[[rule]]\nname = 'a b'\ntypes = ['a.b']\nstale = ['tag:x']".to_owned(), 2, "no name of a rule"),
    ];
    for (text, line, reason) in cases {
        let error = RuleSet::from_toml(&text, "my.toml").unwrap_err();
        assert!(error.to_string().starts_with(&format!("my.toml:{line}:")), "from\n{text}\ncame `{error}`");
        assert!(error.reason.contains(reason), "from\n{text}\ncame `{error}`");
    }
}

#[test]
fn a_refusal_names_the_column_in_characters() {
    let cases = [
        ("[[rule]]\nname = 'x'\ntypes = ['ok', 'a*b']\nstale = ['tag:x']", (3, 16)),
        ("[[rule]]\nname = 'x'\ntypes = ['é', 'a*b']\nstale = ['tag:x']", (3, 15)),
        ("[[rule]]\n  name = 'a b'\ntypes = ['a.b']\nstale = ['tag:x']", (2, 10)),
        ("[[rule]]\nname = 'x'\n  type = []", (3, 3)),
    ];
    for (text, place) in cases {
        let error = RuleSet::from_toml(text, "my.toml").unwrap_err();
        assert_eq!((error.line, error.column), place, "from\n{text}\ncame `{error}`");
        assert!(error.to_string().starts_with(&format!("my.toml:{}:{}: ", place.0, place.1)));
    }
}

#[test]
fn the_version_is_that_of_the_rules_and_not_of_their_text() {
    let shipped = RuleSet::shipped();
    assert_eq!(RuleSet::from_toml("# nothing\n", "a.toml").unwrap().version(), shipped.version());
    let one = "[[rule]]\nname = 'x'\ntypes = ['a.b']\nstale = ['tag:x']\n";
    let same = "# spaced\n[[rule]]\n  stale = [ 'tag:x' ]\n  types = ['a.b']\n  name = 'x'\n";
    let version = |text: &str| RuleSet::from_toml(text, "a.toml").unwrap().version();
    assert_eq!(version(one), version(same));
    assert_ne!(version(one), shipped.version());
    assert_ne!(version(one), version(&one.replace("tag:x", "tag:y")));
    let moved = one.replace("types", "sources = ['a.b']\ntypes");
    assert_ne!(version(one), version(&moved));
}

#[test]
fn the_latest_state_is_the_data_byte_for_byte() {
    let json = |text: &str| Some(Data::from_json(text.as_bytes()).unwrap());
    let binary = |bytes: &'static [u8]| Some(Data::Binary(bytes.into()));
    type Expected<'a> = Option<(&'a str, Option<&'a [u8]>)>;
    let cases: Vec<(&str, &str, Option<Data>, Expected<'_>)> = vec![
        (
            "state_update",
            "state:a",
            json(r#"{"b": 1.0, "a":[ ]}"#),
            Some(("state:a", Some(br#"{"b": 1.0, "a":[ ]}"#))),
        ),
        ("state_update.x", "context:state:a", json("0"), Some(("state:a", Some(b"0")))),
        (
            "state_update",
            "ci:github/o/r#status@1",
            json("\"null\""),
            Some(("ci:github/o/r#status@1", Some(b"\"null\""))),
        ),
        ("state_update", "state:a", binary(b"\xff\0"), Some(("state:a", Some(b"\xff\0")))),
        ("state_update", "state:a", binary(b""), Some(("state:a", Some(b"")))),
        ("state_update", "state:a", json(" null "), Some(("state:a", None))),
        ("state_update", "state:a", None, Some(("state:a", None))),
        ("state_update", "file:/a", json("1"), None),
        ("state_update", "k8s:c/pods/n/p", json("1"), None),
        ("state_update", "not a key", json("1"), None),
        ("state_update", "", json("1"), None),
        ("observation.state", "state:a", json("1"), None),
        ("action.state", "state:a", json("1"), None),
    ];
    for (ty, subject, data, expected) in cases {
        let mut event = event(ty, subject, &[]);
        event.data = data;
        let expected =
            expected.map(|(key, state)| (Key::parse(key).unwrap(), state.map(Bytes::copy_from_slice)));
        assert_eq!(latest(&event), expected, "from `{ty}` about `{subject}`");
    }
}

#[test]
fn a_set_of_rules_is_made_again_from_its_canonical_text() {
    let text = r#"
        [[rule]]
        name = "mine"
        types = ["observation.*"]
        sources = ["ci/*"]
        subjects = ["file:/r/*"]
        stale = ["tag:generated", "report:{path}", "{subject}", "dir:{parent of movedfrom}"]"#;
    let rules = RuleSet::from_toml(text, "mine.toml").unwrap();
    let again = RuleSet::from_canonical(&rules.canonical()).unwrap();
    assert_eq!((&again, again.version()), (&rules, rules.version()));
    for bad in ["{}", "[\"a\",[],[],[],[\"{nobody knows this}\"]]", "[\"a\",[\"a*b\"],[],[],[]]"] {
        assert!(RuleSet::from_canonical(bad).is_err(), "`{bad}`");
    }
}

#[test]
fn a_set_lacks_what_another_has_and_it_does_not() {
    let with = |text: &str| RuleSet::from_toml(text, "mine.toml").unwrap();
    let rule = |name: &str, stale: &str| {
        format!("[[rule]]\nname = '{name}'\ntypes = ['message']\nstale = ['{stale}']\n")
    };
    let (shipped, one) = (RuleSet::shipped(), with(&rule("a", "tag:1")));
    let both = with(&(rule("b", "tag:2") + &rule("a", "tag:1")));
    let another = with(&rule("a", "tag:2"));
    let lacks = |set: &RuleSet, other: &RuleSet| set.lacks(other).map(|rule| rule.name().to_owned());
    assert_eq!((lacks(&one, &shipped), lacks(&both, &one)), (None, None));
    assert_eq!(lacks(&shipped, &one), Some("a".to_owned()));
    assert_eq!(lacks(&another, &one), Some("a".to_owned()), "its name is the same, and nothing else");
}
