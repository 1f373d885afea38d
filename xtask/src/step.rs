//! One command of many, with a header and its time.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// A command that a person could run as well.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    env: Vec<(&'static str, String)>,
    program: &'static str,
    args: Vec<String>,
}

impl Step {
    /// Makes the step that runs cargo with these words.
    pub(crate) fn cargo(name: &'static str, words: &str) -> Self {
        Self::new(name, "cargo", words.split(' ').map(str::to_owned).collect())
    }

    /// Makes a step.
    pub(crate) fn new(name: &'static str, program: &'static str, args: Vec<String>) -> Self {
        Self { name, env: Vec::new(), program, args }
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
        let status = Command::new(self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .status()
            .with_context(|| format!("`{}` can not be run", self.program))?;
        let took = began.elapsed().as_secs_f64();
        if !status.success() {
            bail!("{} failed after {took:.1} s; to repeat it alone: {self}", self.name);
        }
        println!("    {}: {took:.1} s", self.name);
        Ok(())
    }
}

/// Writes the command as a shell takes it.
impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str(self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
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
    fn a_failing_step_names_the_command_to_repeat() {
        let step = Step::new("truth", "false", vec!["a b".to_owned()]);
        let error = step.run(Path::new(".")).unwrap_err().to_string();
        assert!(error.starts_with("truth failed") && error.ends_with("alone: false 'a b'"), "{error}");
    }
}
