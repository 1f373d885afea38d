//! Looks for inputs that break a promise of a decoder, with libFuzzer on the stable toolchain.
//!
//! What was found to reach new places in earlier runs on this machine lies in `target/fuzz`, what is kept for everybody
//! in `crates/undercurrent-fuzz/corpus`.
//!
//! A test run and a search are two things. The first tries the same inputs each time, so that it says something of the
//! change and nothing of chance; the second finds what nobody has thought of.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::step::Step;

const CRATE: &str = "crates/undercurrent-fuzz";
const PROGRAM: &str = "target/release/undercurrent-fuzz";
/// The longest input that is tried.
const LONGEST: usize = 4096;
/// The longest that is kept, so that the repository stays small.
const LONGEST_KEPT: usize = 1024;
/// How the names of inputs begin that once broke a promise: they stay, whatever else reaches the same places.
const MENDED: &str = "mended-";
/// How long one input may take, in seconds. They take far below a millisecond; a machine may stand still for a while.
const SLOWEST: u64 = 30;
/// How many inputs of each target a test run tries, unless the time is over before.
const TRIED: u64 = 1_000_000;
/// How long a test run takes at most for each target, in seconds, on a machine however slow: that tries fewer, in the same
/// order.
const LONGEST_TRIED: u64 = 10;

/// Tries inputs of every target that are made from the kept ones with this seed: the same on the same tree.
pub(crate) fn test(root: &Path, seed: u32) -> Result<()> {
    build(root).run(root)?;
    targets(root)?.iter().try_for_each(|name| steady(root, name, seed))
}

/// Searches all targets or one, for this time in all; with `keep`, what reached new places joins the corpus.
pub(crate) fn search(root: &Path, target: Option<&str>, time: Duration, keep: bool) -> Result<()> {
    let mut targets = targets(root)?;
    if let Some(wanted) = target {
        let known = targets.join(", ");
        targets.retain(|name| name == wanted);
        ensure!(!targets.is_empty(), "there is no target `{wanted}`: the targets are {known}");
    }
    build(root).run(root)?;
    let seconds = (time.as_secs() / targets.len() as u64).max(1);
    for name in &targets {
        on_from_what_is_known(root, name, seconds)?;
        if keep {
            merge(root, name)?;
        }
    }
    Ok(())
}

/// Builds the program that searches: only the project's own crates are built anew. The checker is named beside it so that
/// what both depend on is built once.
fn build(root: &Path) -> Step {
    let wrapper = format!("build.rustc-workspace-wrapper='{}'", root.join(CRATE).join("rustc.sh").display());
    let words = "build --locked --release --package undercurrent-check --package undercurrent-fuzz \
                 --bin undercurrent-fuzz --features undercurrent-fuzz/search --config";
    let args = words.split(' ').map(str::to_owned).chain([wrapper]).collect();
    Step::new("fuzz", "cargo", args)
}

fn steady(root: &Path, name: &str, seed: u32) -> Result<()> {
    let args = [
        format!("-seed={seed}"),
        format!("-runs={TRIED}"),
        format!("-max_total_time={LONGEST_TRIED}"),
        // Neither how far a run has come nor the addresses that it compared say what is tried next.
        "-len_control=0".to_owned(),
        "-use_cmp=0".to_owned(),
    ];
    let kept = kept(root, name).display().to_string();
    attempt(root, name, |options| {
        program(options.into_iter().chain(args).collect(), name).with_env("UNDERCURRENT_FUZZ_STEADY", &kept)
    })
}

/// Every search has another seed, which libFuzzer names.
fn on_from_what_is_known(root: &Path, name: &str, seconds: u64) -> Result<()> {
    let (kept, found) = (kept(root, name), found(root, name));
    std::fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
    let folders = [&found, &kept].map(|folder| folder.display().to_string());
    let args = [
        format!("-max_total_time={seconds}"),
        // Small inputs first: as ever, which a mutator of one's own would switch off.
        "-len_control=100".to_owned(),
        "-print_final_stats=1".to_owned(),
    ];
    attempt(root, name, |options| program(options.into_iter().chain(args).chain(folders).collect(), name))
}

/// Runs the program with the options that hold for every run.
fn attempt(root: &Path, name: &str, step: impl FnOnce(Vec<String>) -> Step) -> Result<()> {
    let prefix = root.join("target/fuzz").join(format!("{name}-"));
    std::fs::create_dir_all(root.join("target/fuzz"))?;
    let options = vec![
        format!("-max_len={LONGEST}"),
        format!("-timeout={SLOWEST}"),
        format!("-artifact_prefix={}", prefix.display()),
        "-verbosity=0".to_owned(),
    ];
    if let Err(error) = step(options).run(root) {
        bail!(
            "{error:#}; `{name}` breaks a promise: the input is named above. Mend it, and keep the input as `{}/{MENDED}…`, \
             where `cargo test --package undercurrent-fuzz` tries it from then on",
            kept(root, name).display()
        );
    }
    Ok(())
}

/// Has the corpus be the smallest inputs that reach everything that is known to be reached.
fn merge(root: &Path, name: &str) -> Result<()> {
    let (kept, found) = (kept(root, name), found(root, name));
    let merged = root.join("target/fuzz").join(format!("{name}.merged"));
    if merged.exists() {
        std::fs::remove_dir_all(&merged)?;
    }
    std::fs::create_dir_all(&merged)?;
    let folders = [&merged, &kept, &found].map(|folder| folder.display().to_string());
    // As few as reach every place; how often each is reached does not count.
    let options = ["-set_cover_merge=1", "-use_counters=0", "-verbosity=0"].map(str::to_owned);
    let options = options.into_iter().chain([format!("-max_len={LONGEST_KEPT}")]);
    program(options.chain(folders).collect(), name).run(root)?;
    for file in std::fs::read_dir(&kept)? {
        let file = file?;
        if !file.file_name().to_string_lossy().starts_with(MENDED) {
            std::fs::remove_file(file.path())?;
        }
    }
    for file in std::fs::read_dir(&merged)? {
        let file = file?;
        std::fs::copy(file.path(), kept.join(file.file_name()))?;
    }
    Ok(())
}

fn program(args: Vec<String>, target: &str) -> Step {
    Step::new("fuzz", PROGRAM, args).with_env("UNDERCURRENT_FUZZ_TARGET", target)
}

fn kept(root: &Path, name: &str) -> PathBuf {
    root.join(CRATE).join("corpus").join(name)
}

fn found(root: &Path, name: &str) -> PathBuf {
    root.join("target/fuzz").join(name)
}

/// Returns the targets: each has a folder in the corpus.
fn targets(root: &Path) -> Result<Vec<String>> {
    let corpus = root.join(CRATE).join("corpus");
    let mut names = Vec::new();
    for folder in std::fs::read_dir(&corpus).with_context(|| corpus.display().to_string())? {
        names.push(folder?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}
