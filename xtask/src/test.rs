//! The one command: every check and test of the repository.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::step::Step;
use crate::{fuzz, tools};

/// How long all decoders together are searched.
const FUZZING: Duration = Duration::from_secs(54);

/// Runs all steps in order, the quick ones first; the first that fails ends it.
pub(crate) fn run(root: &Path) -> Result<()> {
    tools::install_what_is_missing(root)?;
    steps().iter().try_for_each(|step| step.run(root))?;
    fuzz::run(root, None, FUZZING, false)
}

/// Runs seeded workloads under the history checker.
pub(crate) fn check_freshness(root: &Path, seed: u64, seconds: u64) -> Result<()> {
    let words =
        format!("run --locked --release --package undercurrent-check -- --seed {seed} --seconds {seconds}");
    Step::cargo("freshness", &words).run(root)
}

/// Runs seeded workloads of streams under their own judge.
pub(crate) fn check_streams(root: &Path, seed: u64, seconds: u64) -> Result<()> {
    let words = format!(
        "run --locked --release --package undercurrent-check -- --streams --seed {seed} --seconds {seconds}"
    );
    Step::cargo("streams", &words).run(root)
}

/// The crates that `cargo test` tests by itself.
const SHIPPED: [&str; 5] =
    ["undercurrent-types", "undercurrent", "undercurrent-client", "undercurrent-server", "undercurrent-cli"];

fn exclude(package: &str) -> String {
    format!("--exclude {package}")
}

fn steps() -> Vec<Step> {
    vec![
        Step::cargo("format", "fmt --all --check"),
        Step::cargo("lint", "xtask lint"),
        Step::cargo("clippy", "clippy --locked --workspace --all-targets -- -D warnings"),
        // What ships, by itself: the checker switches a feature of the engine on, which must not be part of that.
        Step::cargo("tests", "test --locked"),
        Step::cargo(
            "checks",
            &format!(
                "test --locked --workspace --exclude undercurrent-check {}",
                SHIPPED.map(exclude).join(" ")
            ),
        ),
        // Optimised: what is found by many seeds is found in seconds.
        Step::cargo("checker", "test --locked --release --package undercurrent-check"),
        Step::cargo("freshness", "run --locked --release --package undercurrent-check -- --seconds 60"),
        Step::cargo(
            "streams",
            "run --locked --release --package undercurrent-check -- --streams --seconds 20",
        ),
        // Only libraries: the binary has the name of the engine, and their pages would be written to one place. With
        // all that is private, since nothing of this is published: whoever reads the pages works on it.
        Step::cargo("docs", "doc --locked --workspace --no-deps --lib --document-private-items")
            .with_env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"),
        Step::cargo("example", "run --locked --package undercurrent --example embed"),
        Step::cargo("example", "run --locked --package undercurrent --example loader"),
    ]
}
