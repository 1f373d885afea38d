//! What the compiler does not check: who may use whom, how long a file may be, what is written, and what a script of a
//! store may do.

mod crates;
mod files;
mod modules;
mod picture;
mod prints;
mod scripts;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// A place that breaks a rule.
#[derive(Debug)]
struct Violation {
    file: PathBuf,
    line: usize,
    text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.text)
    }
}

/// Checks the whole repository and prints the report.
///
/// # Errors
///
/// Fails when a rule is broken, after printing every place.
pub(crate) fn run(root: &Path) -> Result<()> {
    let files = files::list(root)?;
    println!("{}", files::lengths(&files)?);
    let violations = check(root)?;
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => Ok(()),
        1 => bail!("one place breaks a rule"),
        n => bail!("{n} places break a rule"),
    }
}

fn check(root: &Path) -> Result<Vec<Violation>> {
    let mut violations = crates::check(root)?;
    violations.extend(modules::check(&root.join("crates/undercurrent"))?);
    violations.extend(prints::check(&root.join("crates"))?);
    violations.extend(scripts::check(root)?);
    violations.extend(files::check(root)?);
    for violation in &mut violations {
        if let Ok(short) = violation.file.strip_prefix(root) {
            violation.file = short.to_owned();
        }
    }
    Ok(violations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_keeps_its_own_rules() {
        let violations = check(crate::root()).unwrap();
        let lines: Vec<_> = violations.iter().map(Violation::to_string).collect();
        assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
    }
}
