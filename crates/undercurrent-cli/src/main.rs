//! The binary `undercurrent`: daemon and command line.
//!
//! Owns the words of the commands, what they print, and their exit codes. Promises that results, and nothing else, are
//! on stdout. Never decides anything that the daemon decides.

mod args;
mod commands;
mod daemons;
mod failure;
mod input;
mod keys;
mod line;
mod output;
mod settings;
mod target;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;

use args::{Args, Command};
use failure::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("UNDERCURRENT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let json = args.global.json;
    match run(args) {
        Ok(code) => code,
        Err(failure) => failure.tell(json),
    }
}

fn run(args: Args) -> Result<ExitCode, Failure> {
    // A request needs one thread; the daemon takes all.
    let mut builder = match args.command {
        Command::Serve(_) => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    let runtime =
        builder.enable_all().build().map_err(|error| Failure::internal(format!("no runtime: {error}")))?;
    let ended = runtime.block_on(commands::run(args));
    // What still waits for stdin or the disk is not waited for.
    runtime.shutdown_background();
    ended
}
