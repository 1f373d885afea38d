//! Looks at all states of the models and says what holds.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use undercurrent_model::check::{Finite, exhaust};
use undercurrent_model::runs;

/// Looks at all states of the freshness protocol within bounds.
#[derive(Parser)]
struct Arguments {
    /// Look within larger bounds: this takes minutes, and some gigabytes.
    #[arg(long)]
    large: bool,
    /// How many threads to use.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let memory = run("memory", runs::memory(arguments.large), arguments.threads);
    let dependencies = run("dependencies", runs::dependencies(arguments.large), arguments.threads);
    let shared = run("shared", runs::shared(arguments.large), arguments.threads);
    if memory && dependencies && shared { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run<M: Finite>(model: &str, runs: Vec<(&str, M)>, threads: usize) -> bool {
    let mut out = std::io::stdout().lock();
    let mut all = true;
    for (name, bounded) in runs {
        let report = exhaust(bounded, threads);
        all &= report.holds();
        // A reader that has gone away ends nothing: the exit code says what was found.
        let _ = writeln!(out, "{model}: {name}: {report}");
    }
    all
}
