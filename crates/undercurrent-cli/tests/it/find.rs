//! Which daemon a command finds.

use std::fs;

use crate::kit::{User, text};

#[test]
fn a_second_project_just_works() {
    let user = User::new();
    user.write("one/a.txt", "one");
    user.write("two/sub/a.txt", "two");
    let (one, two) = (user.project.join("one"), user.project.join("two"));
    // Both want the default port: at most one gets it.
    let first = user.serve_with(&[&text(&one)]);
    let second = user.serve_with(&[&text(&two)]);
    assert_ne!(first.url, second.url);
    for (dir, expected) in [(one.clone(), "one"), (two.join("sub"), "two")] {
        let output = user.command(&["get", "file:a.txt"]).current_dir(dir).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
    }
    let named =
        user.command(&["status"]).current_dir(&one).env("UNDERCURRENT_URL", &second.url).output().unwrap();
    assert!(
        String::from_utf8_lossy(&named.stdout).contains(&second.url),
        "what is named goes before what is found"
    );
}

#[test]
fn the_innermost_root_decides() {
    let user = User::new();
    user.write("inner/a.txt", "a");
    let outer = user.serve();
    let inner = user.serve_with(&["inner", "--listen", "127.0.0.1:0"]);
    let status = |dir: &str| {
        let output = user.command(&["status"]).current_dir(user.project.join(dir)).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(status("inner").contains(&inner.url));
    assert!(status(".").contains(&outer.url));
    assert_eq!(inner.end(), Some(0));
    assert!(status("inner").contains(&outer.url), "what has ended is not found");
}

#[test]
fn what_a_crash_left_behind_misleads_nobody() {
    let user = User::new();
    let daemon = user.serve();
    let files = || fs::read_dir(user.home().join("state/undercurrent/daemons")).unwrap().count();
    let listen = daemon.url.strip_prefix("http://").unwrap().to_owned();
    daemon.crash();
    assert_eq!(files(), 1, "the crash left its file");
    // Somebody else has the port now.
    let other = User::new();
    let _other = other.serve_with(&[".", "--listen", &listen]);
    let ran = user.run(&["status"]);
    assert!(!ran.out.contains(&listen), "{ran:?}");
    let daemon = user.serve();
    assert_eq!(files(), 1, "the next daemon of the same data takes it away");
    assert!(user.run(&["status"]).out.contains(&daemon.url));
    assert_eq!(daemon.end(), Some(0));
    assert_eq!(files(), 0);
}
