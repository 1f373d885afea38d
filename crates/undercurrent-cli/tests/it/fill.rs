//! Filling from outside, with the script in `examples/`.

use std::process::Command;

use crate::kit::{Ran, User};

/// Runs the script in the project of a user, with this command to make the value.
fn fill(user: &User, url: &str, key: &str, command: &str) -> Ran {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/fill.py");
    let mut python = Command::new("python3");
    python.args([script, key, "sh", "-c", command]).current_dir(&user.project).env("UNDERCURRENT_URL", url);
    Ran::of(python.output().expect("python3 is there: the examples are tested with it"))
}

#[test]
fn a_script_fills_a_key_once() {
    let user = User::new();
    let daemon = user.serve();
    for _ in 0..2 {
        let ran = fill(&user, &daemon.url, "summary:readme", "echo made >> log; echo text");
        assert_eq!((ran.code, ran.out.as_str()), (0, "text\n"), "{ran:?}");
    }
    assert_eq!(std::fs::read_to_string(user.project.join("log")).unwrap(), "made\n");
    user.run(&["invalidate", "summary:readme"]);
    assert_eq!(fill(&user, &daemon.url, "summary:readme", "echo newer").out, "newer\n");
}

#[test]
fn a_stale_ticket_is_refused() {
    let user = User::new();
    let daemon = user.serve();
    // What the value is made from changes while it is made.
    let command = format!("echo old; {} invalidate summary:readme >&2", env!("CARGO_BIN_EXE_undercurrent"));
    let ran = fill(&user, &daemon.url, "summary:readme", &command);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("not kept"), "{ran:?}");
    assert_eq!(user.run(&["get", "summary:readme"]).code, 3);
}
