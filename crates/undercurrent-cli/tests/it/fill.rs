//! The example `fill.py` against a daemon.

use std::path::Path;
use std::process::{Command, Output};

use crate::kit::User;

fn fill(url: &str, key: &str, command: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/fill.py");
    let mut python = Command::new("python3");
    python.arg(script).args([url, key]).args(command);
    python.output().expect("python3 is there")
}

#[test]
fn a_script_fills_a_key_and_a_stale_ticket_is_refused() {
    let user = User::new();
    let daemon = user.serve();
    let filled = fill(&daemon.url, "note:a", &["echo", "one"]);
    assert!(filled.status.success(), "{filled:?}");
    assert_eq!(user.run(&["get", "note:a"]).out, "one\n");
    let again = fill(&daemon.url, "note:a", &["echo", "two"]);
    assert_eq!((again.status.code(), again.stdout.as_slice()), (Some(0), &b"one\n"[..]), "{again:?}");

    // The key goes stale while the value is made.
    let binary = env!("CARGO_BIN_EXE_undercurrent");
    let slow = format!("'{binary}' invalidate note:b --url {} >/dev/null && echo old", daemon.url);
    let refused = fill(&daemon.url, "note:b", &["sh", "-c", &slow]);
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(6), &b""[..]), "{refused:?}");
    user.run(&["get", "note:b"]).failed(3, "--ticket");
}
