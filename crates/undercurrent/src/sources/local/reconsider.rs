//! What is watched when the patterns of a directory have changed.

use std::path::{Path, PathBuf};

use super::change::Found;
use super::ignored::Patterns;
use super::scan::Scan;
use super::tree::{Skip, Tree, keys_below};

impl Tree {
    /// Reads the patterns of a directory anew, for what is placed from here on.
    pub(super) fn renew_patterns(&mut self, dir: &Path, found: &mut Found) {
        let Some(node) = self.nodes.get_mut(dir) else { return };
        let was_repo = node.patterns.is_repo;
        node.patterns = Patterns::read(dir);
        if was_repo != node.patterns.is_repo {
            // What lies below belongs to another repository from now on.
            self.repos_around(dir).for_each(|repo| found.push_repo(repo));
        }
        self.note_linked(dir);
    }

    /// Stops watching what the patterns of a directory now ignore, and has scanned what they no longer do.
    ///
    /// What is no longer watched is made stale after that: an entry from before would be vouched for by nobody. A
    /// change above a root is seen at its next walk.
    pub(super) fn reconsider(&mut self, dir: &Path, found: &mut Found) {
        for path in self.now_ignored(dir) {
            self.forget_below(&path);
            self.skipped.insert(path.clone(), Skip::Ignored);
            found.push_tree(&path);
        }
        for path in keys_below(&self.skipped, dir) {
            if self.skipped.get(&path) == Some(&Skip::Ignored) && !self.is_ignored(&path) {
                self.skipped.remove(&path);
                self.scans.push_back(Scan::new(&path, false));
            }
        }
    }

    /// Returns the watched directories below one that are ignored now, without those below them.
    fn now_ignored(&self, dir: &Path) -> Vec<PathBuf> {
        let mut ignored: Vec<PathBuf> = Vec::new();
        for path in keys_below(&self.nodes, dir) {
            let is_below = ignored.last().is_some_and(|above| path.starts_with(above));
            if path != dir && !is_below && self.git_dir_around(&path).is_none() && self.is_ignored(&path) {
                ignored.push(path);
            }
        }
        ignored
    }
}
