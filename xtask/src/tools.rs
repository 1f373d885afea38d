//! What the checks need beyond Rust, and how it gets onto the machine.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::step::Step;

/// A program that tests or checks run, and the Debian package that brings it.
///
/// The servers listen on ports of their own: what Debian may start as a service on port 6379 is never used. `setpriv`
/// ends a server with the test that started it.
const PROGRAMS: [(&str, &str); 4] =
    [("git", "git"), ("redis-server", "redis-server"), ("setpriv", "util-linux"), ("c++", "g++")];

/// Parts of a Rust toolchain that the checks run, and the cargo command that shows whether they are there.
const COMPONENTS: [(&str, &str); 2] = [("rustfmt", "fmt"), ("clippy", "clippy")];

/// Installs programs with apt-get as root, and parts of the toolchain with rustup.
///
/// # Errors
///
/// Fails where it can not install what is missing, and names the command that does.
pub(crate) fn install_what_is_missing(root: &Path) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<_> =
        PROGRAMS.iter().filter(|(program, _)| !on_path(program)).map(|(_, package)| *package).collect();
    for step in package_steps(&missing, on_path("apt-get"), is_root()?)? {
        step.run(root)?;
    }
    let missing: Vec<_> =
        COMPONENTS.iter().filter(|(_, word)| !answers(word)).map(|(name, _)| *name).collect();
    for step in component_steps(&missing, on_path("rustup"))? {
        step.run(root)?;
    }
    Ok(())
}

fn package_steps(missing: &[&str], has_apt: bool, is_root: bool) -> Result<Vec<Step>> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let packages = missing.join(" ");
    if !has_apt {
        bail!("missing: {packages}; install it with your system's package manager, then run this again");
    }
    if !is_root {
        bail!("missing: {packages}; run this, then try again: sudo apt-get install --yes {packages}");
    }
    let words = ["install", "--yes", "--no-install-recommends"].iter().chain(missing);
    let install = Step::new("install", "apt-get", words.map(|&word| word.to_owned()).collect());
    let update = Step::new("install", "apt-get", vec!["update".to_owned()]);
    Ok(vec![update, install.with_env("DEBIAN_FRONTEND", "noninteractive")])
}

fn component_steps(missing: &[&'static str], has_rustup: bool) -> Result<Vec<Step>> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    if !has_rustup {
        let names = missing.join(" and ");
        bail!(
            "missing: {names}; install it from where your Rust toolchain came from (Debian: rustfmt, rust-clippy)"
        );
    }
    let words = ["component", "add"].iter().chain(missing).map(|&word| word.to_owned());
    Ok(vec![Step::new("install", "rustup", words.collect())])
}

/// Says whether cargo has a subcommand.
fn answers(word: &str) -> bool {
    let status =
        Command::new("cargo").args([word, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Says whether this process may install packages.
fn is_root() -> Result<bool> {
    let process = std::fs::metadata("/proc/self").context("`/proc` is not mounted")?;
    Ok(process.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(steps: Result<Vec<Step>>) -> String {
        match steps {
            Ok(steps) => steps.iter().map(Step::to_string).collect::<Vec<_>>().join("; "),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn nothing_is_installed_where_nothing_is_missing() {
        assert_eq!(commands(package_steps(&[], false, false)), "");
        assert_eq!(commands(component_steps(&[], false)), "");
    }

    #[test]
    fn root_installs_and_others_are_told_the_command() {
        let install = "DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends git";
        assert_eq!(commands(package_steps(&["git"], true, true)), format!("apt-get update; {install}"));
        let told = commands(package_steps(&["git"], true, false));
        assert!(told.ends_with("sudo apt-get install --yes git"), "{told}");
        let told = commands(package_steps(&["git"], false, true));
        assert!(told.contains("your system's package manager"), "{told}");
    }

    #[test]
    fn rustup_adds_parts_of_the_toolchain() {
        assert_eq!(
            commands(component_steps(&["rustfmt", "clippy"], true)),
            "rustup component add rustfmt clippy"
        );
        assert!(commands(component_steps(&["clippy"], false)).contains("rust-clippy"));
    }
}
