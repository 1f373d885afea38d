//! The figures of `docs/benchmarks.md`: each as a ratio to a peer measured in the same run.
//!
//! Peer and subject take turns in short rounds, and the median of the rounds' ratios is printed, so that a machine
//! whose speed drifts does not decide the result. `--short` takes fewer rounds; `--only hit`, `--only freshness`,
//! `--only append`, `--only fanout` and `--only start` take one part.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]

mod append;
mod fanout;
mod freshness;
mod hit;
mod start;

use undercurrent::event_stream::Outgoing;
use undercurrent::types::Data;
use undercurrent::{Durability, Event};

fn main() {
    if start::open_if_told() {
        return;
    }
    let short = std::env::args().any(|argument| argument == "--short");
    println!("| work | ours | peer | ratio (median of rounds) | goal |");
    println!("|---|---|---|---|---|");
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("hit") {
        hit::run(if short { 15 } else { 101 });
    }
    if wanted("freshness") {
        freshness::run(if short { 5 } else { 51 });
    }
    if wanted("append") {
        append::run(if short { 5 } else { 31 });
    }
    if wanted("fanout") {
        fanout::run(if short { 5 } else { 51 });
    }
    if wanted("start") {
        start::run(if short { 100_000 } else { 10_000_000 }, 10_000);
    }
}

/// Returns a message to a stream, with a text of so many bytes.
fn message(stream: &str, len: usize, durability: Durability) -> Outgoing {
    let event = Event::new("message".parse().expect("a type"), "agent/7".parse().expect("a source"));
    let data = format!("\"{}\"", "x".repeat(len));
    Outgoing {
        stream: stream.parse().expect("a name"),
        event: event.with_data(Data::from_json(data.as_bytes()).expect("data")),
        durability: Some(durability),
        expected_seq: None,
    }
}

/// Prints one row.
fn row(work: &str, ours: &str, peer: &str, ratio: f64, goal: &str) {
    println!("| {work} | {ours} | {peer} | {ratio:.2} | {goal} |");
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
