//! The one command: every check and test of the repository.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::step::Step;
use crate::{fuzz, tools};

/// The seed of the inputs that decoders are given: the same for everybody, so that a test run fails by the change alone.
const FUZZING: u32 = 1;

/// Runs all steps in order, the quick ones first; the first that fails ends it.
pub(crate) fn run(root: &Path) -> Result<()> {
    tools::install_what_is_missing(root)?;
    steps().iter().try_for_each(|step| step.run(root))?;
    fuzz::test(root, FUZZING)
}

/// A server that the shared store is verified on.
#[derive(Debug)]
pub(crate) enum Server {
    /// A program that is started as often as it is needed.
    Program(PathBuf),
    /// One that runs already and is not disturbed.
    Url(String),
}

/// Runs everything that concerns the shared store against a server of the caller's choice, and nothing else.
///
/// What does not apply to that server is said by name on standard error, by the test that it concerns.
pub(crate) fn verify_store(root: &Path, server: Server) -> Result<()> {
    tools::install_what_is_missing(root)?;
    let (name, value) = match server {
        // A name alone is looked for in `PATH`; the tests run in other folders than the caller.
        Server::Program(path) if path.components().count() > 1 => {
            let path = std::path::absolute(&path).context("the folder of now is not known")?;
            ("UNDERCURRENT_STORE_SERVER", path.display().to_string())
        }
        Server::Program(name) => ("UNDERCURRENT_STORE_SERVER", name.display().to_string()),
        Server::Url(url) => ("UNDERCURRENT_STORE_URL", url),
    };
    store_steps().into_iter().try_for_each(|step| step.with_env(name, &value).run(root))
}

/// What concerns the shared store: its contract and its faults, the history checker, many nodes as processes.
fn store_steps() -> Vec<Step> {
    vec![
        Step::tests("servers", "--package undercurrent-servers"),
        Step::tests("store", "--package undercurrent --lib store::dragonfly"),
        Step::tests("checker", "--release --package undercurrent-check"),
        Step::tests("nodes", "--release --package undercurrent-nodes"),
    ]
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

/// Runs several nodes over one server under the history checker.
pub(crate) fn check_nodes(root: &Path, seed: u64, seconds: u64) -> Result<()> {
    let words =
        format!("run --locked --release --package undercurrent-nodes -- --seed {seed} --seconds {seconds}");
    Step::cargo("nodes", &words).run(root)
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
                "test --locked --workspace --exclude undercurrent-check --exclude undercurrent-nodes {}",
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
        Step::cargo("nodes", "run --locked --release --package undercurrent-nodes -- --seconds 80"),
        // Only libraries: the binary has the name of the engine, and their pages would be written to one place. With
        // all that is private, since nothing of this is published: whoever reads the pages works on it.
        Step::cargo("docs", "doc --locked --workspace --no-deps --lib --document-private-items")
            .with_env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"),
        Step::cargo("example", "run --locked --package undercurrent --example embed"),
        Step::cargo("example", "run --locked --package undercurrent --example loader"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_verified_by_its_contract_the_checker_and_many_nodes() {
        let steps = store_steps().into_iter().map(|step| step.to_string());
        let names: Vec<_> =
            steps.filter_map(|step| Some(step.split_once("--package ")?.1.to_owned())).collect();
        let all = ["undercurrent-servers", "undercurrent --lib store::dragonfly", "undercurrent-check"];
        assert_eq!(names, [&all[..], &["undercurrent-nodes"]].concat());
    }
}
