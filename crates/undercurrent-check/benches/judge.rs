//! How quickly the judge judges, on a history of ten million reads, each of two leaves, that keeps every promise.
//!
//! The peer is a plain pass that adds up what was seen: what looking at the history costs. `--short` takes a hundredth.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]

use std::hint::black_box;
use std::time::Instant;

use undercurrent_check::dice::Random;
use undercurrent_check::history::{Leaf, Operation, Promise, Seen, is_absent};
use undercurrent_check::judge::judge;

/// How many leaves there are, and after how many reads the next one is written.
const LEAVES: u64 = 100;
const READS_A_WRITE: u64 = 20;

fn main() {
    let short = std::env::args().any(|argument| argument == "--short");
    let reads = if short { 100_000 } else { 10_000_000 };
    let history = history(reads);
    let begin = Instant::now();
    black_box(sum(black_box(&history)));
    let peer = begin.elapsed();
    let begin = Instant::now();
    let violations = judge(black_box(&history));
    let ours = begin.elapsed();
    assert!(violations.is_empty(), "{:?}", violations[0]);
    let rate = |time: std::time::Duration| reads as f64 / time.as_secs_f64() / 1e6;
    println!("| work | ours | peer | ratio | goal |");
    println!("|---|---|---|---|---|");
    println!(
        "| judging {reads} reads in a history of {} operations | {:.1} million reads/s | {:.1} million reads/s | {:.2} | ≥ 1 million reads/s |",
        history.len(),
        rate(ours),
        rate(peer),
        ours.as_secs_f64() / peer.as_secs_f64()
    );
}

/// Reads of two leaves each while all leaves are written in turn, each write announced.
fn history(reads: u64) -> Vec<Operation> {
    let mut random = Random::new(1);
    let mut versions = vec![0; LEAVES as usize];
    let mut history = Vec::with_capacity((reads + 2 * (reads / READS_A_WRITE)) as usize + 2);
    let mut time = 0;
    for number in 0..reads {
        if number % READS_A_WRITE == 0 {
            let leaf = random.below(LEAVES) as Leaf;
            versions[leaf as usize] += 1;
            let version = versions[leaf as usize];
            history.push(Operation::Write { leaf, version, begin: time, end: time + 1 });
            history.push(Operation::Announce { leaf, version, end: time + 2 });
            time += 3;
        }
        let promise = [Promise::Announced, Promise::Written, Promise::Instant][random.below(3) as usize];
        let saw = |leaf: Leaf| {
            let version = versions[leaf as usize];
            (leaf, if is_absent(version) { Seen::Absent } else { Seen::Version(version) })
        };
        let first = random.below(LEAVES - 1) as Leaf;
        history.push(Operation::Read {
            promise,
            saw: vec![saw(first), saw(first + 1)],
            begin: time,
            end: time + 1,
        });
        time += 2;
    }
    history
}

fn sum(history: &[Operation]) -> u64 {
    let versions = history.iter().flat_map(|operation| match operation {
        Operation::Read { saw, .. } => saw.as_slice(),
        _ => &[],
    });
    versions.map(|(_, seen)| if let Seen::Version(version) = seen { *version } else { 0 }).sum()
}
