//! The figures of a store that many nodes share: each as a ratio to raw commands on the same server in the same run.
//!
//! A server is started for the run. Peer and subject take turns in short rounds; the median of the rounds' ratios is
//! printed with the quartiles beside it, since a round trip of a busy machine says little by itself. `--short` takes
//! fewer rounds; `--only reads`, `--only fills`, `--only changes`, `--only batches` and `--only idle` take one part.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]

mod batches;
mod changes;
mod fills;
mod idle;
mod node;
mod reads;
mod turns;

use std::time::Duration;

use undercurrent_servers::{Server, Setup};

fn main() {
    let short = std::env::args().any(|argument| argument == "--short");
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let rounds = |short_one, long_one| if short { short_one } else { long_one };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let server = Server::start(Setup::standalone()).await.expect("a server");
        println!("| work | ours | peer | ratio (median of rounds, quartiles) | goal |");
        println!("|---|---|---|---|---|");
        if wanted("reads") {
            reads::run(&server, rounds(7, 41)).await;
        }
        if wanted("fills") {
            fills::run(&server, rounds(5, 21)).await;
        }
        if wanted("changes") {
            changes::run(&server, rounds(5, 21)).await;
        }
        if wanted("batches") {
            batches::run(&server, rounds(5, 31)).await;
        }
        if wanted("idle") {
            idle::run(&server, Duration::from_secs(if short { 3 } else { 20 })).await;
        }
    });
}

/// Prints one row.
fn row(work: &str, ours: &str, peer: &str, ratio: &str, goal: &str) {
    println!("| {work} | {ours} | {peer} | {ratio} | {goal} |");
}
