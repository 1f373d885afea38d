//! Runs workloads until the time is over, and says which seed broke a promise.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use undercurrent_check::history::Operation;
use undercurrent_check::judge::{Violation, judge};
use undercurrent_check::plans::{PLANS, SHARED};
use undercurrent_check::workload::{Size, run};

/// Checks that no read after a change returns the old value.
#[derive(Parser)]
struct Arguments {
    /// The first seed; each round takes the next, over every store, on one thread and on many.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For how many seconds; one round is run in any case.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Over a real server that several nodes share, instead of in one process.
    #[arg(long)]
    shared: bool,
    /// Only the plan of this name.
    #[arg(long)]
    plan: Option<String>,
}

fn main() -> ExitCode {
    let Arguments { seed, seconds, shared, plan: only } = Arguments::parse();
    let plans = if shared { &SHARED[..] } else { &PLANS[..] };
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut rounds, mut reads, mut changes) = (0, 0, 0);
    let mut out = std::io::stdout().lock();
    while rounds == 0 || Instant::now() < until {
        for plan in plans.iter().filter(|plan| only.as_ref().is_none_or(|name| name == plan.name)) {
            let history = run(plan, seed + rounds, Size::default());
            if let Some(first) = judge(&history).first() {
                let (seed, name) = (seed + rounds, plan.name);
                let _ = writeln!(
                    out,
                    "seed {seed} of `{name}` broke a promise: {first:?}\n\
                     the read: {:?}\n\
                     what was known of the leaf: {:#?}\n\
                     to repeat it: cargo xtask check-freshness --seed {seed} --minutes 0",
                    history[first.read()],
                    known_before(&history, first),
                );
                return ExitCode::FAILURE;
            }
            let read = history.iter().filter(|one| matches!(one, Operation::Read { .. })).count();
            reads += read;
            changes += history.len() - read;
        }
        rounds += 1;
    }
    let _ = writeln!(out, "{rounds} seeds, {reads} reads, {changes} changes: no promise was broken");
    ExitCode::SUCCESS
}

/// Returns the last changes of the leaf that a violation is about, before the read ended.
fn known_before<'a>(history: &'a [Operation], violation: &Violation) -> Vec<&'a Operation> {
    let Some(about) = violation.leaf() else { return Vec::new() };
    let Operation::Read { end: until, .. } = history[violation.read()] else { return Vec::new() };
    let is_about = |one: &&Operation| match **one {
        Operation::Write { leaf, begin, .. } => leaf == about && begin < until,
        Operation::Announce { leaf, end: at, .. } | Operation::Visible { leaf, at, .. } => leaf == about && at < until,
        Operation::Read { .. } => false,
    };
    let all: Vec<_> = history.iter().filter(is_about).collect();
    all[all.len().saturating_sub(8)..].to_vec()
}
