//! Looking at what the watcher named, and saying what has changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::change::{Change, DirChange, FileChange, Found, What};
use super::scan::Scan;
use super::touched::{Entry, Touched};
use super::tree::{Skip, There, Tree, keys_below};

impl Tree {
    /// Says whether a batch can be told without asking the file system: files in known directories, and nothing else.
    pub(super) fn is_plain(&self, batch: &[Touched]) -> bool {
        batch.iter().all(|one| {
            !self.must_look(one)
                && !self.roots.iter().any(|root| root.root.path == one.path)
                && brings_patterns(&one.path).is_none()
        })
    }

    /// Looks at every path of a batch. New directories are left to [`Tree::scan`], which comes before anything else.
    pub(super) fn look(&mut self, batch: &[Touched]) -> Found {
        let mut found = Found::default();
        let mut repos = BTreeSet::new();
        // Before anything else, since they decide what of the rest is watched.
        let patterns: BTreeSet<&Path> = batch.iter().filter_map(|one| brings_patterns(&one.path)).collect();
        patterns.iter().for_each(|dir| self.renew_patterns(dir, &mut found));
        for one in batch {
            match self.roots.iter().position(|root| root.root.path == one.path) {
                Some(place) => self.look_at_root(place, one, &mut found),
                None if self.root_of(&one.path).is_some() => self.look_at(one, &mut found, &mut repos),
                // Said late, by a watch that has been taken away.
                None => {}
            }
        }
        self.join_moves(&mut found);
        self.push_git_changes(repos, &mut found);
        patterns.iter().for_each(|dir| self.reconsider(dir, &mut found));
        found
    }

    fn look_at_root(&mut self, place: usize, one: &Touched, found: &mut Found) {
        match self.loss_of(place) {
            Some(reason) => found.lost_roots.push((place, reason)),
            None => self.look_at_access(&one.path, found),
        }
    }

    fn look_at(&mut self, one: &Touched, found: &mut Found, repos: &mut BTreeSet<PathBuf>) {
        let path = &one.path;
        let git_dir = self.git_dir_around(path).map(Path::to_owned);
        let is_inside_git = git_dir.as_ref().is_some_and(|git_dir| git_dir != path);
        // Locks come and go without a change; what they guard is renamed over.
        if !(is_inside_git && path.extension().is_some_and(|end| end == "lock")) {
            self.add_repos_kept_at(path, repos);
        }
        if is_inside_git {
            // Its keys are verified, whatever is watched; so only the repository is told.
            self.look_at_entry(one, &mut Found::default());
        } else if one.entry.is_some() {
            self.look_at_entry(one, found);
        } else if self.is_known_dir(path) {
            // Setting only the time of the last change is said to be a write.
            self.look_at_access(path, found);
        } else {
            self.push_change(path, What::File(FileChange::Modified), found);
        }
    }

    /// Says whether only the file system knows what is at the path now.
    fn must_look(&self, one: &Touched) -> bool {
        let has_gone_as_dir = one.entry == Some(Entry::Vanished) && one.is_dir == Some(true);
        one.is_arrival || has_gone_as_dir || self.is_known_dir(&one.path)
    }

    fn look_at_entry(&mut self, one: &Touched, found: &mut Found) {
        let Some(entry) = one.entry else { return };
        let path = &one.path;
        let has_ended = self.ended.remove(path);
        if has_ended && entry == Entry::Vanished && !one.is_arrival && !self.is_known_dir(path) {
            return;
        }
        let was_dir = self.is_known_dir(path) || (one.is_dir == Some(true) && entry == Entry::Vanished);
        let there = if self.must_look(one) { There::at(path) } else { There::SomethingElse };
        if let There::Directory(id, _) = there {
            // A scan that was here before this was said has done everything already.
            let is_entered = entry == Entry::Created
                && !one.was_replaced
                && self.nodes.get(path).is_some_and(|node| node.id == id);
            if !is_entered {
                self.forget_below(path);
                self.place(path);
            }
            self.push_change(path, What::Dir(self.arrival(one)), found);
            return;
        }
        if was_dir {
            self.forget_below(path);
            self.note_end(path);
            self.push_change(path, What::Dir(DirChange::Deleted), found);
        }
        let is_gone = entry == Entry::Vanished || there == There::Nothing;
        match (is_gone, entry) {
            (true, _) if was_dir => {}
            (true, _) => {
                self.push_change(path, What::File(FileChange::Deleted), found);
                // It came and went unseen, and may have been a directory.
                if entry != Entry::Vanished {
                    found.push_tree(path);
                }
            }
            (false, Entry::MovedHere) => {
                let from = one.moved_from.clone();
                self.push_change(path, What::File(FileChange::Moved { from }), found);
            }
            (false, _) if one.was_replaced && !was_dir => {
                self.push_change(path, What::File(FileChange::Modified), found);
            }
            (false, _) => self.push_change(path, What::File(FileChange::Created), found),
        }
    }

    /// Remembers that the end of a directory was told: its parent says it, and the directory may say it of itself once
    /// more, in words that are also said of files.
    fn note_end(&mut self, path: &Path) {
        const MOST: usize = 4096;
        if self.ended.len() >= MOST {
            self.ended.clear();
        }
        self.ended.insert(path.to_owned());
    }

    /// Has a new directory scanned, unless it is one that is not watched.
    fn place(&mut self, path: &Path) {
        if !path.parent().is_some_and(|parent| self.nodes.contains_key(parent)) {
            return;
        }
        match self.why_skipped(path) {
            Some(skip) => {
                self.skipped.insert(path.to_owned(), skip);
            }
            None => self.scans.push_back(Scan::new(path, true)),
        }
    }

    fn arrival(&self, one: &Touched) -> DirChange {
        match &one.moved_from {
            Some(from) => {
                let from_repo = self.repos_around(from).next().map(Path::to_owned);
                DirChange::Moved { from: from.clone(), from_repo }
            }
            None => DirChange::Created,
        }
    }

    /// Takes out the departure of a directory whose arrival below the same root says where it was.
    fn join_moves(&self, found: &mut Found) {
        let moved: BTreeSet<PathBuf> = found
            .changes
            .iter()
            .filter_map(|change| match &change.what {
                What::Dir(DirChange::Moved { from, .. }) => {
                    (self.root_of(from) == self.root_of(&change.path)).then(|| from.clone())
                }
                _ => None,
            })
            .collect();
        let is_departure =
            |change: &Change| change.what == What::Dir(DirChange::Deleted) && moved.contains(&change.path);
        found.changes.retain(|change| !is_departure(change));
    }

    /// Looks whether somebody else may do something else with a directory. That its times were set is no change.
    fn look_at_access(&mut self, path: &Path, found: &mut Found) {
        let There::Directory(id, access) = There::at(path) else { return };
        match self.nodes.get_mut(path) {
            Some(node) if node.id == id && node.access == access => return,
            Some(node) => node.access = access,
            None => {}
        }
        self.push_change(path, What::Dir(DirChange::Permissions), found);
        for dir in keys_below(&self.skipped, path) {
            if matches!(self.skipped.get(&dir), Some(Skip::Refused(_))) {
                self.scans.push_back(Scan::new(&dir, false));
            }
        }
    }
}

/// Returns the directory whose patterns a path brings, if it does.
fn brings_patterns(path: &Path) -> Option<&Path> {
    let parent = path.parent()?;
    match path.file_name()?.to_str()? {
        ".gitignore" | ".git" => Some(parent),
        "exclude" if parent.ends_with(".git/info") => parent.parent()?.parent(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::super::signal::{CookieJar, Signal};
    use super::super::touched::Sorter;
    use super::super::watcher::Watcher;
    use super::*;
    use crate::workspace::Workspace;

    fn walked(root: &Path) -> Tree {
        let workspace = Arc::new(Workspace::new(vec![root.to_owned()]).unwrap());
        let jar = CookieJar { dir: root.join("no-jar"), prefix: "x".into() };
        let (watcher, _signals) = Watcher::new(64, jar).unwrap();
        let mut tree = Tree::new(workspace, watcher);
        tree.begin_walk(0).unwrap();
        while tree.is_walking() {
            tree.walk(100);
        }
        tree
    }

    #[test]
    fn a_directory_is_found_whatever_was_said_last_of_its_path() {
        let path = || PathBuf::from("a");
        let appeared = |is_dir, tracker| Signal::Appeared { path: path(), is_dir, tracker };
        let vanished = |is_dir, tracker| Signal::Vanished { path: path(), is_dir, tracker };
        let cases = [
            vec![appeared(Some(true), None)],
            vec![appeared(None, Some(1))],
            vec![vanished(Some(true), None), appeared(None, Some(1))],
            // The end of another directory, which was at this path before and has moved away.
            vec![appeared(None, Some(1)), vanished(None, None)],
            vec![appeared(Some(true), None), vanished(None, None)],
            vec![vanished(None, Some(7)), appeared(None, Some(1)), vanished(None, None)],
        ];
        for (case, signals) in cases.into_iter().enumerate() {
            for was_known in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                let root = dir.path().canonicalize().unwrap();
                if was_known {
                    fs::create_dir(root.join("a")).unwrap();
                }
                let mut tree = walked(&root);
                if was_known {
                    fs::remove_dir(root.join("a")).unwrap();
                    tree.look(&Sorter::default().sort([at(&root, vanished(Some(true), None))]).touched);
                }
                fs::create_dir_all(root.join("a/b")).unwrap();
                let signals = signals.clone().into_iter().map(|signal| at(&root, signal));
                tree.look(&Sorter::default().sort(signals).touched);
                while tree.scan(100).is_some() {}
                assert!(tree.workspace.is_watched(&root.join("a/b")), "case {case}, known: {was_known}");
            }
        }
    }

    #[test]
    fn a_directory_that_is_found_elsewhere_is_forgotten_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("old/deep")).unwrap();
        let mut tree = walked(&root);
        fs::create_dir(root.join("new")).unwrap();
        fs::rename(root.join("old"), root.join("new/in")).unwrap();
        // Before anybody says that it has moved.
        tree.scans.push_back(Scan::new(&root.join("new"), true));
        let found = tree.scan(100).unwrap();
        assert!(!tree.workspace.is_watched(&root.join("old/deep")));
        assert!(tree.workspace.is_watched(&root.join("new/in/deep")));
        let old = undercurrent_types::Name::tree(&undercurrent_types::path_text(&root.join("old")));
        assert!(found.names.contains(&old), "what was read there is stale after that");
        assert!(tree.nodes.iter().all(|(path, node)| tree.places.get(&node.id) == Some(path)));
        assert_eq!(tree.nodes.len(), tree.places.len());
    }

    fn at(root: &Path, mut signal: Signal) -> Signal {
        if let Signal::Appeared { path, .. } | Signal::Vanished { path, .. } = &mut signal {
            *path = root.join(&path);
        }
        signal
    }
}
