//! The figures of `docs/benchmarks.md`: each as a ratio to a peer measured in the same run.
//!
//! Peer and subject take turns in short rounds, and the median of the rounds' ratios is printed, so that a machine
//! whose speed drifts does not decide the result. `--short` takes fewer rounds; `--only NAME` takes one part: `hit`,
//! `freshness`, `append`, `hop`, `catch_up`, `flat`, `group`, `fanout` or
//! `start`.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]

mod append;
mod catch_up;
mod fanout;
mod flat;
mod freshness;
mod group;
mod hit;
mod hop;
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
        append::run(if short { 3 } else { 31 });
    }
    if wanted("hop") {
        hop::run(if short { 5 } else { 51 });
    }
    if wanted("catch_up") {
        catch_up::run(if short { 3 } else { 21 }, if short { 50_000 } else { 500_000 });
    }
    if wanted("flat") {
        flat::run(if short { 5 } else { 51 }, if short { 100_000 } else { 10_000_000 });
    }
    if wanted("group") {
        group::run(if short { 5 } else { 31 }, 80);
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

/// Returns a directory beside the program, since the one for temporary files may lie in memory.
fn beside_the_program() -> tempfile::TempDir {
    let program = std::env::current_exe().expect("a path");
    tempfile::tempdir_in(program.parent().expect("a directory")).expect("a directory")
}

/// The times of subject and peer, round by round.
#[derive(Default)]
struct Turns {
    ours: Vec<f64>,
    peers: Vec<f64>,
    ratios: Vec<f64>,
}

impl Turns {
    fn add(&mut self, our: f64, peer: f64) {
        self.ours.push(our);
        self.peers.push(peer);
        self.ratios.push(our / peer);
    }

    /// Returns the medians of our time, the peer's, and their ratio.
    fn medians(mut self) -> (f64, f64, f64) {
        (median(&mut self.ours), median(&mut self.peers), median(&mut self.ratios))
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
