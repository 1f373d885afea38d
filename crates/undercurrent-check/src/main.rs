//! Runs workloads until the time is over, and says which seed broke a promise.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use undercurrent_check::history::Operation;
use undercurrent_check::judge::judge;
use undercurrent_check::plans::{PLANS, SHARED};
use undercurrent_check::workload::{Size, run, switch_off_named};

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
    /// Without this step of the protocol: what is to be noticed then.
    #[arg(long)]
    without: Option<String>,
}

fn main() -> ExitCode {
    let Arguments { seed, seconds, shared, plan: only, without } = Arguments::parse();
    let plans = if shared { &SHARED[..] } else { &PLANS[..] };
    if let Some(name) = without.filter(|name| !switch_off_named(name)) {
        let _ = writeln!(std::io::stderr(), "no step is called `{name}`");
        return ExitCode::FAILURE;
    }
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
                    first.known_before(&history),
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
