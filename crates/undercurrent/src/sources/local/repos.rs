//! Which repositories a change concerns.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::change::{Change, Found, What};
use super::tree::Tree;

impl Tree {
    /// Returns the repositories at and above a path, nearest first, the one around the root included.
    pub(super) fn repos_around<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Path> {
        let root = self.root_of(path).map(|place| &self.roots[place]);
        let within = path
            .ancestors()
            .take_while(move |dir| root.is_some_and(|root| dir.starts_with(&root.root.path)))
            .filter(|dir| self.nodes.get(*dir).is_some_and(|node| node.patterns.is_repo));
        within.chain(root.and_then(|root| root.outer_repo.as_deref()))
    }

    /// Returns the `.git` that a path is or lies in, if it does so below its root.
    pub(super) fn git_dir_around<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let root = &self.roots[self.root_of(path)?].root.path;
        let within = path.ancestors().take_while(|dir| *dir != root);
        within.filter(|dir| dir.file_name().is_some_and(|name| name == ".git")).last()
    }

    /// Adds the repositories whose state lies, or may lie, at a path.
    pub(super) fn add_repos_kept_at(&self, path: &Path, repos: &mut BTreeSet<PathBuf>) {
        if let Some(repo) = self.git_dir_around(path).and_then(Path::parent) {
            repos.insert(repo.to_owned());
        }
        for (git_dir, repo) in &self.linked {
            if path.starts_with(git_dir) {
                repos.insert(repo.clone());
            }
        }
    }

    /// Tells that the state of repositories has changed, once for each.
    pub(super) fn push_git_changes(&self, repos: BTreeSet<PathBuf>, found: &mut Found) {
        for repo in repos {
            self.repos_around(&repo).filter(|outer| *outer != repo).for_each(|outer| found.push_repo(outer));
            found.changes.push(Change { path: repo.clone(), what: What::Git, repo: Some(repo) });
        }
    }
}
