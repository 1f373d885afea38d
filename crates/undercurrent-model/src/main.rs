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
    /// Look at this model alone: `memory`, `dependencies` or `shared`.
    #[arg(long, value_parser = ["memory", "dependencies", "shared"])]
    model: Option<String>,
    /// How many threads to use.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Arguments { large, threads, model } = arguments;
    let asked = |name: &str| model.as_deref().is_none_or(|model| model == name);
    let memory = !asked("memory") || run("memory", runs::memory(large), threads);
    let dependencies = !asked("dependencies") || run("dependencies", runs::dependencies(large), threads);
    let shared = !asked("shared") || run("shared", runs::shared(large), threads);
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
