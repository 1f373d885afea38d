//! Every check, test and measurement of the repository, as one program.
//!
//! `cargo xtask test` is the one command that a change has to pass; the others are its parts and the measurements.

#![expect(clippy::print_stdout, reason = "what is printed is what was asked for")]

mod bench;
mod fuzz;
mod lint;
mod step;
mod test;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what is missing, then runs every check and test; stops at the first that fails.
    Test {
        /// Verifies the shared store on servers of this program instead: `redis-server`, `valkey-server` or `dragonfly`.
        #[arg(long, value_name = "PATH", conflicts_with = "store_url")]
        store_server: Option<PathBuf>,
        /// Verifies the shared store on this running server instead, as far as that needs no control of it. What is
        /// written there lies below a prefix of its own and is removed.
        #[arg(long, value_name = "URL")]
        store_url: Option<String>,
    },
    /// Checks what the compiler does not: the module graph, the crate graph, lengths, prints, words, links.
    Lint,
    /// Runs the benches in release mode and prints their figures as a Markdown table.
    Bench {
        /// Measures for a moment only: shows that the benches run, not how fast anything is.
        #[arg(long)]
        short: bool,
    },
    /// Runs seeded workloads over every store and checks that no read after a change was given the old value. On one
    /// thread and without events a seed that fails fails again.
    CheckFreshness {
        /// The first seed; each workload takes the next.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// For how many minutes; 0 runs the first seed alone.
        #[arg(long, default_value_t = 1)]
        minutes: u64,
    },
    /// Runs seeded workloads of streams, in this process and over HTTP, and checks that every reader was given one order
    /// and nothing acknowledged was lost. In memory on one thread a seed that fails fails again.
    CheckStreams {
        /// The first seed; each round takes the next.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// For how many minutes; 0 runs the first seed alone.
        #[arg(long, default_value_t = 1)]
        minutes: u64,
    },
    /// Runs several nodes, each a process of its own, over one real server, disturbs all of them, and checks that no read
    /// after a change on whatever node was given the old value. A seed disturbs the same things again.
    CheckNodes {
        /// The first seed; each round takes the next.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// For how many minutes; 0 runs the first seed alone.
        #[arg(long, default_value_t = 1)]
        minutes: u64,
    },
    /// Looks for inputs that break a promise of a decoder, from the kept ones on; needs a C++ compiler.
    Fuzz {
        /// The target; all of them in turn without one.
        target: Option<String>,
        /// For how many minutes in all.
        #[arg(long, default_value_t = 1)]
        minutes: u64,
        /// Adds what reached new places to the kept inputs, and leaves out what is not needed.
        #[arg(long)]
        keep: bool,
        /// Tries what follows from the kept inputs with this seed instead, for all targets: the same each time.
        #[arg(long, conflicts_with_all = ["target", "minutes", "keep"])]
        seed: Option<u32>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Test { store_server: Some(path), .. } => {
            test::verify_store(root(), test::Server::Program(path))
        }
        Command::Test { store_url: Some(url), .. } => test::verify_store(root(), test::Server::Url(url)),
        Command::Test { .. } => test::run(root()),
        Command::Lint => lint::run(root()),
        Command::Bench { short } => bench::run(root(), short),
        Command::CheckStreams { seed, minutes } => test::check_streams(root(), seed, minutes * 60),
        Command::Fuzz { seed: Some(seed), .. } => fuzz::test(root(), seed),
        Command::Fuzz { target, minutes, keep, seed: None } => {
            fuzz::search(root(), target.as_deref(), Duration::from_secs(minutes * 60), keep)
        }
        Command::CheckFreshness { seed, minutes } => test::check_freshness(root(), seed, minutes * 60),
        Command::CheckNodes { seed, minutes } => test::check_nodes(root(), seed, minutes * 60),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a folder of the repository")
}
