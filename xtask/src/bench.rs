//! The measurements, as a Markdown table.
//!
//! A bench is a program `crates/<crate>/benches/<name>.rs` with `harness = false`. It prints its figures on stdout,
//! one table row each: `| work | here | beside it | ratio | goal | met |`, both sides measured in the same run.
//! All else it prints on stderr. With `--short` it measures for a moment only.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const COLUMNS: [&str; 6] = ["work", "here", "beside it", "ratio", "goal", "met"];

/// Runs every bench, one after the other, and prints command, machine and rows.
pub(crate) fn run(root: &Path, short: bool) -> Result<()> {
    let benches = find(root)?;
    if benches.is_empty() {
        bail!("there are no benches: `crates/*/benches/` has no files");
    }
    println!("Command: `cargo xtask bench{}`", if short { " --short" } else { "" });
    println!("Machine: {}\n", machine());
    println!("| {} |", COLUMNS.join(" | "));
    println!("|{}", " --- |".repeat(COLUMNS.len()));
    for (package, name) in &benches {
        run_one(root, package, name, short)?;
    }
    Ok(())
}

fn run_one(root: &Path, package: &str, name: &str, short: bool) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["bench", "--quiet", "--locked", "--package", package, "--bench", name]);
    if short {
        command.args(["--", "--short"]);
    }
    let mut child = command
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("the bench `{name}` can not be run"))?;
    let output = child.stdout.take().context("the output of a bench is a pipe")?;
    for line in BufReader::new(output).lines() {
        let line = line.with_context(|| format!("the bench `{name}` printed what is no text"))?;
        if is_row(&line) {
            println!("{line}");
        } else {
            eprintln!("{line}");
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "the bench `{name}` of `{package}` failed");
    Ok(())
}

fn is_row(line: &str) -> bool {
    line.starts_with("| ") && line.ends_with(" |") && line.split(" | ").count() == COLUMNS.len()
}

/// Returns the benches, each with its crate, in order.
fn find(root: &Path) -> Result<Vec<(String, String)>> {
    let mut benches = Vec::new();
    for folder in std::fs::read_dir(root.join("crates"))? {
        let folder = folder?;
        let Ok(files) = std::fs::read_dir(folder.path().join("benches")) else { continue };
        for file in files {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "rs") {
                let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                benches.push((folder.file_name().to_string_lossy().into_owned(), name));
            }
        }
    }
    benches.sort_unstable();
    Ok(benches)
}

/// Returns what figures depend on, as far as this system says it.
fn machine() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor =
        field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    let rust = Command::new("rustc").arg("--version").output();
    let rust =
        rust.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    format!("{processor}, {cores} cores, {memory} memory, Linux {}, {}", kernel.trim(), rust.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benches_are_found_by_their_files() {
        let root = tempfile::tempdir().unwrap();
        for file in ["a/benches/two.rs", "a/benches/one.rs", "a/benches/notes.md", "b/src/lib.rs"] {
            let file = root.path().join("crates").join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let found = find(root.path()).unwrap();
        assert_eq!(found, [("a".to_owned(), "one".to_owned()), ("a".to_owned(), "two".to_owned())]);
    }

    #[test]
    fn a_row_has_all_columns() {
        assert!(is_row("| hit at `fresh` | 40 ns | 31 ns | 1.29 | ≤ 1.5 | yes |"));
        assert!(!is_row("| hit at `fresh` | 40 ns |"));
        assert!(!is_row("warming up"));
    }
}
