//! One command of many, with a header and its time.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// A command that a person could run as well.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    env: Vec<(&'static str, String)>,
    program: &'static str,
    args: Vec<String>,
    /// Fails where `cargo test` with these words would run nothing.
    tests: bool,
}

impl Step {
    /// Makes the step that runs cargo with these words.
    pub(crate) fn cargo(name: &'static str, words: &str) -> Self {
        Self::new(name, "cargo", words.split(' ').map(str::to_owned).collect())
    }

    /// Makes a step.
    pub(crate) fn new(name: &'static str, program: &'static str, args: Vec<String>) -> Self {
        Self { name, env: Vec::new(), program, args, tests: false }
    }

    /// Makes the step that tests what some words of `cargo test` name, and that fails where they name no test: a filter
    /// that nothing fits would pass.
    pub(crate) fn tests(name: &'static str, words: &str) -> Self {
        Self { tests: true, ..Self::cargo(name, &format!("test --locked {words}")) }
    }

    /// Sets a variable of the environment.
    pub(crate) fn with_env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    /// Runs the command in a folder, with a header before it and its time behind it.
    ///
    /// # Errors
    ///
    /// Fails when the command does, and names the command to repeat.
    pub(crate) fn run(&self, folder: &Path) -> Result<()> {
        println!("\n==> {}: {self}", self.name);
        let began = Instant::now();
        if self.tests && !self.names_a_test(folder)? {
            bail!("{}: no test is named by: {self}", self.name);
        }
        let status = self.command(folder).status();
        let status = status.with_context(|| format!("`{}` can not be run", self.program))?;
        let took = began.elapsed().as_secs_f64();
        if !status.success() {
            bail!("{} failed after {took:.1} s; to repeat it alone: {self}", self.name);
        }
        println!("    {}: {took:.1} s", self.name);
        Ok(())
    }
}

impl Step {
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(self.program);
        command.args(&self.args).current_dir(folder);
        command.envs(self.env.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// Builds the tests and asks them for their names.
    fn names_a_test(&self, folder: &Path) -> Result<bool> {
        let mut command = self.command(folder);
        command.args(["--", "--list"]).stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("`{}` can not be run", self.program))?;
        // A build that fails has said so; the step itself then fails as well.
        Ok(!output.status.success() || lists_a_test(&String::from_utf8_lossy(&output.stdout)))
    }
}

fn lists_a_test(listed: &str) -> bool {
    listed.lines().any(|line| line.ends_with(": test"))
}

/// Writes the command as a shell takes it, without a password.
impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(&without_password(value)))?;
        }
        f.write_str(self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

/// Takes the password out of a URL.
fn without_password(value: &str) -> String {
    let parts = value.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)));
    let Some((scheme, (credentials, place))) = parts else { return value.to_owned() };
    let user = credentials.split_once(':').map_or("", |(user, _)| user);
    format!("{scheme}://{user}:PASSWORD@{place}")
}

fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:,+".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_written_as_a_shell_takes_it() {
        let step = Step::cargo("doc", "doc --no-deps").with_env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(step.to_string(), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }

    #[test]
    fn a_password_is_not_written() {
        let step = Step::cargo("t", "test").with_env("URL", "redis://me:secret@h:1");
        assert_eq!(step.to_string(), "URL='redis://me:PASSWORD@h:1' cargo test");
        assert_eq!(without_password("redis://secret@h:1"), "redis://:PASSWORD@h:1");
        assert_eq!(without_password("/usr/bin/redis-server"), "/usr/bin/redis-server");
    }

    #[test]
    fn a_filter_that_fits_no_test_is_noticed() {
        assert!(lists_a_test("store::a: test\n\n1 test, 0 benchmarks\n"));
        assert!(!lists_a_test("\n0 tests, 0 benchmarks\n"));
    }

    #[test]
    fn a_failing_step_names_the_command_to_repeat() {
        let step = Step::new("truth", "false", vec!["a b".to_owned()]);
        let error = step.run(Path::new(".")).unwrap_err().to_string();
        assert!(error.starts_with("truth failed") && error.ends_with("alone: false 'a b'"), "{error}");
    }
}
