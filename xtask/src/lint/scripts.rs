//! Rules for scripts that run on Redis, Valkey and Dragonfly alike, as far as their text shows it.
//!
//! The tests run on Redis, whose Lua 5.1 allows much that the Lua 5.4 of Dragonfly refuses or does otherwise; so what a
//! test can not see is a rule here. What only a run shows (keys that are touched undeclared) is watched by the test kit.

mod lua;
mod meaning;
mod parts;
mod rules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Violation, files};
use rules::{Problem, problems};

/// Commands by which a client runs a script and which crash or are missing on some server.
const CLIENT: [&str; 5] = ["EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", "FUNCTION"];

/// Looks at every script in a folder named `scripts`, and at the Rust files beside such folders.
pub(super) fn check(root: &Path) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for folder in folders(&root.join("crates"))? {
        violations.extend(check_folder(&folder)?);
        let beside = folder.parent().context("a folder of scripts lies in a folder")?;
        for file in files::list(beside)? {
            if file.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
                let found = clients(&text);
                violations.extend(found.into_iter().map(|(line, text)| Violation {
                    file: file.clone(),
                    line,
                    text,
                }));
            }
        }
    }
    Ok(violations)
}

/// Returns the folders with scripts.
fn folders(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                let is_scripts = entry.file_name() == "scripts" && !lua_files(&entry.path())?.is_empty();
                if is_scripts { found.push(entry.path()) } else { open.push(entry.path()) }
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn lua_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "lua") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Checks the scripts of a folder, each with all that it is put together from.
fn check_folder(folder: &Path) -> Result<Vec<Violation>> {
    let scripts = parts::read(folder)?;
    // What is wrong in a part is found with every script that has it, and said once.
    let mut found = BTreeSet::new();
    for file in lua_files(folder)? {
        let is_used =
            scripts.iter().flatten().any(|name| file.file_stem().is_some_and(|stem| stem == &**name));
        if !is_used {
            found.insert((file, 1, "no script is put together from this file".to_owned()));
        }
    }
    for names in &scripts {
        let mut text = String::new();
        // The files, and the last line of each.
        let mut ends = Vec::new();
        for name in names {
            let file = folder.join(name).with_extension("lua");
            text += &std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            ends.push((file, text.lines().count()));
        }
        for (line, text) in problems(&text) {
            let place = ends.iter().position(|(_, end)| line <= *end).unwrap_or(ends.len() - 1);
            let before = place.checked_sub(1).map_or(0, |before| ends[before].1);
            found.insert((ends[place].0.clone(), line - before, text));
        }
    }
    Ok(found.into_iter().map(|(file, line, text)| Violation { file, line, text }).collect())
}

/// Finds commands in Rust texts that no client sends.
fn clients(text: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for name in CLIENT {
            if line.contains(&format!("\"{name}\"")) {
                found.push((index + 1, format!("`{name}` is missing on some server, or crashes it")));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
