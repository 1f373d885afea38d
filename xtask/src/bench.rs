//! The measurements, as Markdown for `docs/benchmarks.md`.
//!
//! A bench is a program in `crates/<crate>/benches/` with `harness = false`, a file or a folder with `main.rs`. It
//! prints a table on stdout, each figure as a ratio to a peer measured in the same run, and with `--short` measures for
//! a moment only.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Prints command and machine, then runs every bench, one after the other.
pub(crate) fn run(root: &Path, short: bool) -> Result<()> {
    let benches = find(root)?;
    ensure!(!benches.is_empty(), "there are no benches in `crates/*/benches/`");
    println!("Command: `cargo xtask bench{}`  ", if short { " --short" } else { "" });
    println!("Machine: {}\n", machine());
    for (package, name) in &benches {
        let mut command = Command::new("cargo");
        command.args(["bench", "--quiet", "--locked", "--package", package, "--bench", name]);
        if short {
            command.args(["--", "--short"]);
        }
        let status = command.current_dir(root).status().context("`cargo bench` can not be run")?;
        ensure!(status.success(), "the bench `{name}` of `{package}` failed");
    }
    Ok(())
}

/// Returns the benches, each with its crate, in order.
fn find(root: &Path) -> Result<Vec<(String, String)>> {
    let mut benches = Vec::new();
    for folder in std::fs::read_dir(root.join("crates"))? {
        let folder = folder?;
        let Ok(files) = std::fs::read_dir(folder.path().join("benches")) else { continue };
        for file in files {
            let file = file?.path();
            let is_source = file.extension().is_some_and(|extension| extension == "rs");
            if is_source || file.join("main.rs").is_file() {
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
        for file in [
            "a/benches/two.rs",
            "a/benches/one/main.rs",
            "a/benches/one/part.rs",
            "a/benches/x.md",
            "b/src/lib.rs",
        ] {
            let file = root.path().join("crates").join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let found = find(root.path()).unwrap();
        assert_eq!(found, [("a".to_owned(), "one".to_owned()), ("a".to_owned(), "two".to_owned())]);
    }
}
