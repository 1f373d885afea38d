//! Several nodes as processes of their own, over a server that is disturbed.

use std::process::Command;

#[test]
fn no_promise_is_broken_between_processes() {
    let run = Command::new(env!("CARGO_BIN_EXE_undercurrent-nodes"))
        .args(["--seed", "1", "--seconds", "24", "--round", "8"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}");
    // Reads were made, and not by one node alone.
    let last = said.lines().last().unwrap();
    let reads: u64 = last.split(' ').nth(2).unwrap().parse().unwrap();
    assert!(reads > 500, "{said}");
}
