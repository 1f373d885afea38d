//! Rules about files as text: how long they may be, which words are not used, and that links lead somewhere.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Violation;

/// The most lines that a Rust file may have. It is a bound; a file is split when it grows a second idea.
const LONGEST: usize = 800;

/// Words that are not written anywhere: marks of unfinished work, and praise.
const WORDS: [(&str, &str); 10] = [
    ("FIXME", "mend it"),
    ("XXX", "say what it is"),
    ("HACK", "mend it, or say why it is right"),
    ("TODO", "do it"),
    ("blazing", "give a figure"),
    ("blazingly", "give a figure"),
    ("seamless", "say what happens"),
    ("seamlessly", "say what happens"),
    ("effortless", "say what it takes"),
    ("effortlessly", "say what it takes"),
];

/// Endings of type names that say nothing.
const ENDINGS: [&str; 8] = ["Manager", "Helper", "Helpers", "Util", "Utils", "Common", "Impl", "Info"];

/// Looks at every text file of the repository.
pub(super) fn check(root: &Path) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for file in list(root)? {
        // The words stand in the tables above.
        if file.ends_with("xtask/src/lint/files.rs") {
            continue;
        }
        let text = read(&file)?;
        let more = match file.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => [too_long(&text), type_names(&text)].concat(),
            Some("md") => dead_links(&file, &text),
            _ => Vec::new(),
        };
        let found = words(&text).into_iter().chain(more);
        violations.extend(found.map(|(line, text)| Violation { file: file.clone(), line, text }));
    }
    Ok(violations)
}

/// Returns a line about the lengths of the Rust files.
pub(super) fn lengths(files: &[PathBuf]) -> Result<String> {
    let mut lengths = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        lengths.push((read(file)?.lines().count(), file));
    }
    lengths.sort_unstable();
    let Some((longest, file)) = lengths.last() else { return Ok("no Rust files".to_owned()) };
    let median = lengths[lengths.len() / 2].0;
    let file = file.file_name().unwrap_or_default().display();
    Ok(format!(
        "{} Rust files, half of them up to {median} lines; the longest, {file}, has {longest}",
        lengths.len()
    ))
}

/// Returns the text files of the repository, in order.
pub(super) fn list(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let hidden = name.starts_with('.') && !matches!(name.as_ref(), ".ci" | ".cargo");
            let is_text =
                || [".rs", ".md", ".toml", ".sh"].iter().any(|end| name.ends_with(end)) || name == "run";
            match entry.file_type()? {
                kind if kind.is_dir() && !hidden && name != "target" => folders.push(path),
                kind if kind.is_file() && !hidden && is_text() => files.push(path),
                _ => {}
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{} can not be read", file.display()))
}

/// What is wrong, and in which line.
type Problem = (usize, String);

fn too_long(text: &str) -> Vec<Problem> {
    let lines = text.lines().count();
    let problem = || (LONGEST + 1, format!("the file has {lines} lines, and at most {LONGEST} are allowed"));
    (lines > LONGEST).then(problem).into_iter().collect()
}

fn words(text: &str) -> Vec<Problem> {
    each_word(text, |_, word| {
        let (word, instead) = WORDS.iter().find(|(known, _)| *known == word)?;
        Some(format!("`{word}` is not written here: {instead}"))
    })
}

/// Finds types whose names say nothing.
fn type_names(text: &str) -> Vec<Problem> {
    let defines = |line: &str, word: &str| {
        ["struct ", "enum ", "trait ", "type "]
            .iter()
            .any(|keyword| line.contains(&format!("{keyword}{word}")))
    };
    each_word(text, |line, word| {
        let found = ENDINGS.iter().any(|ending| word.ends_with(ending)) && defines(line, word);
        found.then(|| format!("`{word}` says nothing: name what it is"))
    })
}

fn each_word(text: &str, check: impl Fn(&str, &str) -> Option<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        problems.extend(words.filter_map(|word| check(line, word)).map(|problem| (index + 1, problem)));
    }
    problems
}

/// Finds links of a Markdown file to files that are not there.
fn dead_links(file: &Path, text: &str) -> Vec<Problem> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for link in line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains(':') && !folder.join(path).exists() {
                problems.push((index + 1, format!("the link `{link}` leads nowhere")));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(problems: &[Problem]) -> Vec<(usize, &str)> {
        problems.iter().map(|(line, text)| (*line, text.as_str())).collect()
    }

    #[test]
    fn a_file_may_be_long_but_not_too_long() {
        assert!(too_long(&"x\n".repeat(LONGEST)).is_empty());
        assert_eq!(too_long(&"x\n".repeat(LONGEST + 1)).len(), 1);
    }

    #[test]
    fn a_word_of_the_list_is_found_as_a_word() {
        let text = "fine\n// FIXME: later\nXXXL, HACKER and a todo are other words\na blazing start";
        let found = words(text);
        assert_eq!(
            texts(&found),
            [
                (2, "`FIXME` is not written here: mend it"),
                (4, "`blazing` is not written here: give a figure")
            ]
        );
    }

    #[test]
    fn a_type_that_says_nothing_is_found_where_it_is_defined() {
        let found = type_names(
            "struct StreamManager;\nlet a: StreamManager;\nenum Information {}\npub trait IoUtil {}",
        );
        assert_eq!(
            texts(&found),
            [
                (1, "`StreamManager` says nothing: name what it is"),
                (4, "`IoUtil` says nothing: name what it is")
            ]
        );
    }

    #[test]
    fn a_link_has_to_lead_somewhere() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("there.md"), "").unwrap();
        let text = "[a](there.md#part) [b](gone.md)\n[c](https://a.example/x) [d](#here) ![e](../gone.png)";
        let found = dead_links(&folder.path().join("a.md"), text);
        assert_eq!(
            texts(&found),
            [(1, "the link `gone.md` leads nowhere"), (2, "the link `../gone.png` leads nowhere")]
        );
    }

    #[test]
    fn what_is_built_and_what_is_hidden_is_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["a.rs", "target/b.rs", ".git/c.md", ".ci/run", "d/e.md", "f.png"] {
            let file = folder.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let files = list(folder.path()).unwrap();
        let files: Vec<_> = files.iter().map(|file| file.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(files, [".ci/run", "a.rs", "d/e.md"].map(Path::new));
    }
}
