//! Runs workloads until the time is over, and says which seed broke a promise.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use undercurrent_check::judge::judge;
use undercurrent_check::workload::{Size, run};

/// Checks that no read after a change returns the old value.
#[derive(Parser)]
struct Arguments {
    /// The first seed; each run takes the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For how many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

fn main() -> ExitCode {
    let Arguments { seed, seconds } = Arguments::parse();
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut runs, mut operations) = (0, 0);
    let mut judging = Duration::ZERO;
    let mut out = std::io::stdout().lock();
    while Instant::now() < until {
        let history = run(seed + runs, Size::default());
        let start = Instant::now();
        let violations = judge(&history);
        judging += start.elapsed();
        runs += 1;
        operations += history.len();
        if let Some(first) = violations.first() {
            let seed = seed + runs - 1;
            let _ = writeln!(out, "seed {seed}: {} violations, the first: {first:?}", violations.len());
            return ExitCode::FAILURE;
        }
    }
    let rate = operations as f64 / judging.as_secs_f64();
    let _ = writeln!(
        out,
        "{runs} runs, {operations} operations, no violation; judged {rate:.0} operations a second"
    );
    ExitCode::SUCCESS
}
