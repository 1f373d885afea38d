//! Several nodes as processes of their own, over a server that is disturbed.

#![expect(clippy::unwrap_used, reason = "what can not go on fails the test, in its helpers too")]

use std::process::Command;

/// Runs rounds, and returns how many reads there were, and how many appends and deliveries.
fn check(more: &[&str]) -> (u64, u64) {
    let run = Command::new(env!("CARGO_BIN_EXE_undercurrent-nodes")).args(more).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}");
    let last = said.lines().last().unwrap();
    let number = |word: &str| {
        let before = last.split(word).next().unwrap();
        before.split(' ').next_back().unwrap().parse().unwrap()
    };
    (number(" reads"), number(" appends and"))
}

#[test]
fn no_promise_is_broken_between_processes() {
    let (reads, of_stream) =
        check(&["--seed", "1", "--seconds", "24", "--round", "8", "--finding", "address"]);
    // Not by one node alone.
    assert!(reads > 500 && of_stream > 500, "{reads} reads, {of_stream} appends and deliveries");
}

#[test]
fn no_promise_is_broken_where_the_server_is_found_by_way_of_others() {
    for finding in ["cluster", "sentinels"] {
        check(&["--seed", "1", "--seconds", "1", "--round", "8", "--finding", finding]);
    }
}
