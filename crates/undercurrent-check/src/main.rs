//! Runs workloads until the time is over, and says which seed broke a promise: of reads of context, or of streams.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use undercurrent_check::history::Operation;
use undercurrent_check::judge::judge;
use undercurrent_check::plans::{PLANS, Plan, SHARED};
use undercurrent_check::streams;
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
    /// Appends to streams and reads of them instead.
    #[arg(long)]
    streams: bool,
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
    let Arguments { seed, seconds, streams, shared, plan: only, without } = Arguments::parse();
    let plans = if shared { &SHARED[..] } else { &PLANS[..] };
    if let Some(name) = without.filter(|name| !switch_off_named(name)) {
        let _ = writeln!(std::io::stderr(), "no step is called `{name}`");
        return ExitCode::FAILURE;
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    if streams {
        return check_streams(seed, until);
    }
    check_reads(plans, only.as_deref(), seed, until)
}

/// Checks that every reader of a stream is given one order, and nothing acknowledged is lost.
fn check_streams(seed: u64, until: Instant) -> ExitCode {
    let (mut rounds, mut operations) = (0, 0);
    let mut out = std::io::stdout().lock();
    while rounds == 0 || Instant::now() < until {
        for plan in &streams::plans::PLANS {
            let history = streams::workload::run(plan, seed + rounds, streams::workload::Size::default());
            if let Some(first) = streams::judge::judge(&history).first() {
                let (seed, name) = (seed + rounds, plan.name);
                let _ = writeln!(
                    out,
                    "seed {seed} of `{name}` broke a promise: {first:?}\n\
                     what was answered: {:?}\n\
                     to repeat it: cargo xtask check-streams --seed {seed} --minutes 0",
                    history[first.at()]
                );
                return ExitCode::FAILURE;
            }
            operations += history.len();
        }
        rounds += 1;
    }
    let _ =
        writeln!(out, "{rounds} seeds, {operations} appends, reads and deliveries: no promise was broken");
    ExitCode::SUCCESS
}

fn check_reads(plans: &[Plan], only: Option<&str>, seed: u64, until: Instant) -> ExitCode {
    let (mut rounds, mut reads, mut changes) = (0, 0, 0);
    let mut out = std::io::stdout().lock();
    while rounds == 0 || Instant::now() < until {
        for plan in plans.iter().filter(|plan| only.is_none_or(|name| name == plan.name)) {
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
