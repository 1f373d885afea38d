//! Which directories git ignores.

use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::workspace::git_dirs;

/// The patterns that one directory brings for what lies below it.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    /// Its `.gitignore`.
    own: Option<Box<Gitignore>>,
    /// Where it is a repository: that repository's `info/exclude`, which yields to every `.gitignore`.
    exclude: Option<Box<Gitignore>>,
    /// Whether it is a repository, at which the patterns of the directories above end.
    pub(super) is_repo: bool,
}

impl Patterns {
    /// Reads the patterns of a directory. A file that can not be read, or a line that is no pattern, ignores nothing.
    pub(super) fn read(dir: &Path) -> Self {
        let is_repo = dir.join(".git").symlink_metadata().is_ok();
        let exclude = || git_dirs(dir).last().and_then(|git_dir| compile(dir, &git_dir.join("info/exclude")));
        Self { own: compile(dir, &dir.join(".gitignore")), exclude: is_repo.then(exclude).flatten(), is_repo }
    }

    /// Reads the patterns of the directories above a root, nearest first, up to its repository; none where the root is
    /// a repository itself or lies in none.
    pub(super) fn read_above(root: &Path) -> Vec<Self> {
        let is_repo = |dir: &Path| dir.join(".git").symlink_metadata().is_ok();
        let Some(repo) = root.ancestors().find(|dir| is_repo(dir)) else { return Vec::new() };
        root.ancestors().skip(1).take_while(|dir| dir.starts_with(repo)).map(Self::read).collect()
    }
}

/// The patterns of the user for all repositories, which yield to all others.
pub(super) fn of_user() -> Gitignore {
    // The base is never a prefix of what is matched, so that a pattern with a slash counts from each repository.
    GitignoreBuilder::new("").build_global().0
}

/// Says whether a directory is ignored by the patterns of the directories above it, nearest first.
pub(super) fn is_ignored<'a>(
    dir: &Path,
    above: impl Iterator<Item = (&'a Path, &'a Patterns)>,
    of_user: &Gitignore,
) -> bool {
    let mut excludes = None;
    for (at, patterns) in above {
        if let Some(verdict) = patterns.own.as_deref().and_then(|own| verdict(&own.matched(dir, true))) {
            return verdict;
        }
        if patterns.is_repo {
            excludes = Some((at, patterns));
            break;
        }
    }
    let Some((repo, patterns)) = excludes else { return false };
    if let Some(verdict) = patterns.exclude.as_deref().and_then(|own| verdict(&own.matched(dir, true))) {
        return verdict;
    }
    dir.strip_prefix(repo).is_ok_and(|dir| of_user.matched(dir, true).is_ignore())
}

fn verdict<T>(matched: &Match<T>) -> Option<bool> {
    match matched {
        Match::None => None,
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
    }
}

fn compile(base: &Path, file: &PathBuf) -> Option<Box<Gitignore>> {
    if !file.is_file() {
        return None;
    }
    let mut builder = GitignoreBuilder::new(base);
    builder.add(file);
    builder.build().ok().filter(|patterns| !patterns.is_empty()).map(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_nearest_pattern_decides_and_the_repository_ends_the_search() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in ["r/.git/info", "r/a/b", "r/a/nested/.git"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        fs::write(at("r/.gitignore"), "target/\n/a/only-here\nfile-only\n*.out\n").unwrap();
        fs::write(at("r/a/.gitignore"), "!target\n[\n").unwrap();
        fs::write(at("r/.git/info/exclude"), "excluded\n!x.out\n").unwrap();
        let is_ignored = |path: &str| {
            let path = at(path);
            let patterns: Vec<_> =
                path.ancestors().skip(1).take(8).map(|dir| (dir.to_owned(), Patterns::read(dir))).collect();
            super::is_ignored(
                &path,
                patterns.iter().map(|(dir, patterns)| (dir.as_path(), patterns)),
                &Gitignore::empty(),
            )
        };
        for (path, expected) in [
            ("r/target", true),
            ("r/b/target", true),
            ("r/a/target", false),
            ("r/a/b/target", false),
            ("r/a/only-here", true),
            ("r/a/b/only-here", false),
            ("r/excluded", true),
            ("r/x.out", true),
            ("r/a/nested/excluded", false),
            ("r/src", false),
            ("beside/target", false),
        ] {
            assert_eq!(is_ignored(path), expected, "{path}");
        }
    }

    #[test]
    fn patterns_above_a_root_count_up_to_its_repository() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("repo/a/root");
        fs::create_dir_all(&root).unwrap();
        assert_eq!(Patterns::read_above(&root).len(), 0);
        fs::create_dir(dir.path().join("repo/.git")).unwrap();
        assert_eq!(Patterns::read_above(&root).len(), 2);
        fs::create_dir(root.join(".git")).unwrap();
        assert_eq!(Patterns::read_above(&root).len(), 0);
    }
}
