//! Checks what several nodes, each a process of its own, answer over one server.
//!
//! A round has one seed: it starts a server and two to four [`nodes`], lets go wrong what the seed says (the server, the
//! ways to it, the nodes themselves), ends them, and judges what all of them recorded. Times are those of the machine's
//! monotonic clock, so what one node announced is demanded of every read that began later on another.
//!
//! A seed says what goes wrong and when; how the processes interleave is the machine's.

mod nodes;
mod round;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use undercurrent_check::dice;
use undercurrent_check::history::Operation;
use undercurrent_check::judge::judge;
use undercurrent_check::workload::{Process, switch_off_named};

/// Checks that no read after a change returns the old value, on whatever node.
#[derive(Parser)]
struct Arguments {
    /// The first seed; each round takes the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For how many seconds; one round is run in any case.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How long a round takes, in seconds.
    #[arg(long, default_value_t = 10)]
    round: u64,
    /// How many nodes; two to four by the seed, where nothing is given.
    #[arg(long)]
    nodes: Option<usize>,
    /// Without this step of the protocol: what is to be noticed then.
    #[arg(long)]
    without: Option<String>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// Is one of the nodes: this program starts itself with it.
    #[command(hide = true)]
    Node {
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        start: u64,
        #[arg(long)]
        node: usize,
        #[arg(long)]
        nodes: usize,
        #[arg(long)]
        url: String,
        #[arg(long)]
        prefix: String,
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        disturbed: bool,
        #[arg(long)]
        without: Option<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match arguments.part {
        Some(Part::Node { seed, start, node, nodes, url, prefix, dir, disturbed, without }) => {
            nodes::end_with_the_coordinator();
            if without.is_some_and(|name| !switch_off_named(&name)) {
                return ExitCode::FAILURE;
            }
            dice::seed(seed ^ (node as u64 + 1) << 48 ^ start << 32);
            let place = (url, prefix);
            runtime.block_on(Process { seed, node, nodes, place, dir, disturbed }.work());
            ExitCode::SUCCESS
        }
        None => check(&arguments, &runtime),
    }
}

fn check(arguments: &Arguments, runtime: &tokio::runtime::Runtime) -> ExitCode {
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let (mut rounds, mut reads, mut changes, mut faults) = (0, 0, 0, 0);
    let mut out = std::io::stdout().lock();
    while rounds == 0 || Instant::now() < until {
        let seed = arguments.seed + rounds;
        let count = arguments.nodes.unwrap_or(2 + (seed % 3) as usize);
        let time = Duration::from_secs(arguments.round);
        let told = match runtime.block_on(round::run(seed, count, time, arguments.without.as_deref())) {
            Ok(told) => told,
            Err(error) => {
                let _ = writeln!(out, "seed {seed}: no round could be run: {error}");
                return ExitCode::FAILURE;
            }
        };
        let violations = judge(&told.history);
        if let Some(first) = violations.first() {
            let _ = writeln!(
                out,
                "seed {seed} with {count} nodes broke {} promises; the first: {first:?}\n\
                 the read: {:?}\n\
                 what was known of the leaf: {:#?}\n\
                 what went wrong before: {:#?}\n\
                 to repeat it: cargo xtask check-nodes --seed {seed} --minutes 0",
                violations.len(),
                told.history[first.read()],
                first.known_before(&told.history),
                told.before(first.read()),
            );
            return ExitCode::FAILURE;
        }
        let read = told.history.iter().filter(|one| matches!(one, Operation::Read { .. })).count();
        let _ = writeln!(out, "seed {seed}: {count} nodes, {read} reads, {} faults", told.faults.len());
        let _ = out.flush();
        reads += read;
        changes += told.history.len() - read;
        faults += told.faults.len();
        rounds += 1;
    }
    let _ = writeln!(
        out,
        "{rounds} seeds, {reads} reads, {changes} changes, {faults} faults: no promise was broken"
    );
    ExitCode::SUCCESS
}
