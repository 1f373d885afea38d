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
use undercurrent_check::deliveries;
use undercurrent_check::dice;
use undercurrent_check::history::Operation;
use undercurrent_check::judge::judge;
use undercurrent_check::site::Finding;
use undercurrent_check::workload::{Process, switch_off_named};
use undercurrent_servers::ServerError;

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
    /// How the nodes find their server: each round as the seed says, where nothing is given.
    #[arg(long)]
    finding: Option<Finding>,
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
    let (mut rounds, mut reads, mut changes, mut deliveries, mut faults) = (0, 0, 0, 0, 0);
    let mut out = std::io::stdout().lock();
    while rounds == 0 || Instant::now() < until {
        let seed = arguments.seed + rounds;
        let count = arguments.nodes.unwrap_or(2 + (seed % 3) as usize);
        let time = Duration::from_secs(arguments.round);
        // Most rounds have proxies, which more can go wrong with.
        let finding = arguments.finding.unwrap_or(match seed % 6 {
            3 => Finding::Cluster,
            5 => Finding::Sentinels,
            _ => Finding::Address,
        });
        let run = round::run(seed, count, time, finding, arguments.without.as_deref());
        let told = match runtime.block_on(run) {
            Ok(told) => told,
            Err(error) if is_not_applicable(&*error) => {
                let _ = writeln!(out, "seed {seed}: {error}");
                rounds += 1;
                continue;
            }
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
                 the read, on node {}: {:?}\n\
                 what was known of the leaf: {:#?}\n\
                 who read it before: {}\n\
                 what went wrong before: {:#?}\n\
                 to repeat it: cargo xtask check-nodes --seed {seed} --minutes 0",
                violations.len(),
                told.node_of(first.read()),
                told.history[first.read()],
                first.known_before(&told.history),
                told.reads_before(first.read()).iter().map(|one| format!("\n  {one:?}")).collect::<String>(),
                told.before(first.read()),
            );
            return ExitCode::FAILURE;
        }
        let (members, end) = &told.told;
        let violations = deliveries::judge(members, end);
        if let Some(first) = violations.first() {
            let _ = writeln!(
                out,
                "seed {seed} with {count} nodes broke {} promises of a stream; the first: {first:?}\n\
                 what went wrong: {:#?}\n\
                 to repeat it: cargo xtask check-nodes --seed {seed} --minutes 0",
                violations.len(),
                told.faults,
            );
            return ExitCode::FAILURE;
        }
        let read = told.history.iter().filter(|one| matches!(one, Operation::Read { .. })).count();
        let of_stream: usize = members.iter().map(Vec::len).sum();
        let _ = writeln!(
            out,
            "seed {seed}: {count} nodes by {finding:?}, {read} reads, {of_stream} appends and deliveries, {} faults",
            told.faults.len()
        );
        let _ = out.flush();
        deliveries += of_stream;
        reads += read;
        changes += told.history.len() - read;
        faults += told.faults.len();
        rounds += 1;
    }
    let _ = writeln!(
        out,
        "{rounds} seeds, {reads} reads, {changes} changes, {deliveries} appends and deliveries, {faults} faults: no promise was broken"
    );
    ExitCode::SUCCESS
}

/// Says whether there is no such server here, which is no failure of what is checked.
fn is_not_applicable(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(ServerError::NotApplicable(_)))
}
