//! Watching a directory and everything below it: first the watch, then the listing.
//!
//! What appears after the watch is reported by it; what was there before is found by the listing. So nothing falls
//! between the two, and some of it is seen twice.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::change::{Change, DirChange, FileChange, Found, What};
use super::filesystem;
use super::ignored::{self, Patterns};
use super::tree::{Node, Skip, There, Tree};
use super::watcher::WatchError;
use crate::workspace::git_dirs;

/// A directory that has appeared, and how far its scan has come.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) top: PathBuf,
    /// Whether what is found is new and is told; otherwise it was there before and only now is watched.
    pub(super) tells: bool,
    pub(super) todo: Vec<PathBuf>,
}

impl Scan {
    pub(super) fn new(top: &Path, tells: bool) -> Self {
        Self { top: top.to_owned(), tells, todo: vec![top.to_owned()] }
    }
}

impl Tree {
    /// Goes on with the scans until about so many directories or changes were found; `None` if there is nothing to do.
    ///
    /// When a scan has ended its tree is made stale once more: what was loaded below it in the meantime says that
    /// nobody watches it, and need not any longer.
    pub(super) fn scan(&mut self, most: usize) -> Option<Found> {
        if !self.has_scans() {
            return None;
        }
        let mut found = Found::default();
        let mut entered = 0;
        while let Some(mut scan) = self.scans.pop_front() {
            while entered < most && found.changes.len() < most {
                let Some(dir) = scan.todo.pop() else {
                    found.push_tree(&scan.top);
                    break;
                };
                entered += 1;
                scan.todo.extend(self.enter(&dir, scan.tells, &mut found));
            }
            if entered >= most || found.changes.len() >= most {
                self.scans.push_front(scan);
                break;
            }
        }
        Some(found)
    }

    /// Begins to walk a root, from the beginning if a walk was going on.
    ///
    /// # Errors
    ///
    /// Fails with the reason when the root is no directory.
    pub(super) fn begin_walk(&mut self, place: usize) -> Result<(), String> {
        let path = self.roots[place].root.path.clone();
        self.forget_root(place);
        let There::Directory(id, _) = There::at(&path) else {
            return Err("the root is gone".into());
        };
        let above = Patterns::read_above(&path);
        let outer_repo = path.parent().and_then(|above| {
            above.ancestors().find(|dir| dir.join(".git").symlink_metadata().is_ok()).map(Path::to_owned)
        });
        let one = &mut self.roots[place];
        one.above = path.ancestors().skip(1).map(Path::to_owned).zip(above).collect();
        one.outer_repo = outer_repo;
        one.id = Some(id);
        one.walk = Some(vec![path]);
        Ok(())
    }

    /// Goes on with the walks by about so many directories, and returns the roots whose walk has ended.
    ///
    /// Files that a walk passes are not told: the walk is no change.
    pub(super) fn walk(&mut self, most: usize) -> (Found, Vec<usize>) {
        let mut found = Found::default();
        let mut ended = Vec::new();
        let mut entered = 0;
        for place in 0..self.roots.len() {
            while let Some(walk) = &mut self.roots[place].walk {
                if entered == most {
                    return (found, ended);
                }
                let Some(dir) = walk.pop() else {
                    self.roots[place].walk = None;
                    ended.push(place);
                    break;
                };
                entered += 1;
                let children = self.enter(&dir, false, &mut found);
                if let Some(walk) = &mut self.roots[place].walk {
                    walk.extend(children);
                }
            }
        }
        (found, ended)
    }

    /// Says whether a walk goes on.
    pub(super) fn is_walking(&self) -> bool {
        self.roots.iter().any(|one| one.walk.is_some())
    }

    /// Tries once more to watch what could not be watched.
    pub(super) fn retry_refused(&mut self, most: usize) {
        let refused: Vec<PathBuf> = self
            .skipped
            .iter()
            .filter(|(_, skip)| matches!(skip, Skip::Refused(_)))
            .map(|(path, _)| path.clone())
            .take(most)
            .collect();
        self.scans.extend(refused.iter().map(|path| Scan::new(path, false)));
    }

    /// Watches a directory, then lists it. Returns the directories in it that are to be entered as well.
    ///
    /// One that is not there any more is passed over: its parent is watched and will say so.
    fn enter(&mut self, dir: &Path, tells: bool, found: &mut Found) -> Vec<PathBuf> {
        let There::Directory(id, access) = There::at(dir) else { return Vec::new() };
        if let Some(elsewhere) = self.places.get(&id).filter(|place| *place != dir).cloned() {
            if matches!(There::at(&elsewhere), There::Directory(other, _) if other == id) {
                let reason = format!("it is the same directory as `{}`", elsewhere.display());
                self.refuse(dir, reason);
                return Vec::new();
            }
            // It was moved here and that has not been said yet. The kernel has one watch for it, which would go with
            // the old path when that is said.
            self.forget_below(&elsewhere);
            found.push_tree(&elsewhere);
        }
        if let Some(reason) = self.why_unreported(dir, id.device) {
            self.refuse(dir, reason);
            return Vec::new();
        }
        match self.watcher.watch(dir) {
            Ok(()) => {}
            Err(WatchError::Gone) => return Vec::new(),
            Err(WatchError::Refused(reason)) => {
                self.refuse(dir, reason);
                return Vec::new();
            }
        }
        if !matches!(There::at(dir), There::Directory(now, _) if now == id) {
            // Replaced between the two: the watch of the parent says so, and it is entered again.
            self.watcher.unwatch(dir);
            return Vec::new();
        }
        self.skipped.remove(dir);
        self.places.insert(id, dir.to_owned());
        let patterns = Patterns::read(dir);
        self.nodes.insert(dir.to_owned(), Node { id, access, patterns });
        self.note_linked(dir);
        self.workspace.set_watched(dir);
        match self.list(dir, tells, found) {
            Ok(children) => children,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.refuse(dir, error.to_string());
                Vec::new()
            }
        }
    }

    /// Notes where the state of a repository lies whose `.git` is a file.
    pub(super) fn note_linked(&mut self, dir: &Path) {
        self.linked.retain(|(_, repo)| repo != dir);
        if self.nodes.get(dir).is_some_and(|node| node.patterns.is_repo) && dir.join(".git").is_file() {
            self.linked.extend(git_dirs(dir).into_iter().map(|git_dir| (git_dir, dir.to_owned())));
        }
    }

    fn list(&mut self, dir: &Path, tells: bool, found: &mut Found) -> io::Result<Vec<PathBuf>> {
        let tells = tells && self.git_dir_around(dir).is_none();
        let mut children = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let path = entry.path();
            let is_dir = entry.file_type()?.is_dir();
            if tells {
                let what = match is_dir {
                    true => What::Dir(DirChange::Created),
                    false => What::File(FileChange::Created),
                };
                self.push_change(&path, what, found);
            }
            if is_dir {
                match self.why_skipped(&path) {
                    Some(skip) => {
                        self.skipped.insert(path, skip);
                    }
                    None => children.push(path),
                }
            }
        }
        Ok(children)
    }

    /// Returns why a directory in a watched one is not to be watched, if it is not.
    pub(super) fn why_skipped(&self, path: &Path) -> Option<Skip> {
        let parent = path.parent()?;
        let name = path.file_name()?;
        if self.git_dir_around(parent).is_some() {
            // A module's git directory is known by its HEAD; a branch may be called `objects` too.
            let is_store = name == "objects" || name == "lfs";
            let is_git_dir =
                || parent.file_name().is_some_and(|name| name == ".git") || parent.join("HEAD").is_file();
            return (is_store && is_git_dir()).then_some(Skip::Objects);
        }
        (name != ".git" && self.is_ignored(path)).then_some(Skip::Ignored)
    }

    pub(super) fn is_ignored(&self, dir: &Path) -> bool {
        let Some(root) = self.root_of(dir).map(|place| &self.roots[place]) else { return false };
        let within = dir.ancestors().skip(1).take_while(|above| above.starts_with(&root.root.path));
        let within = within.filter_map(|above| Some((above, &self.nodes.get(above)?.patterns)));
        let outside = root.above.iter().map(|(above, patterns)| (above.as_path(), patterns));
        ignored::is_ignored(dir, within.chain(outside), &self.of_user)
    }

    fn why_unreported(&self, dir: &Path, device: u64) -> Option<String> {
        let parent = dir.parent().and_then(|parent| self.nodes.get(parent));
        if parent.is_some_and(|parent| parent.id.device == device) {
            return None;
        }
        filesystem::why_unreported(dir)
    }

    fn refuse(&mut self, dir: &Path, reason: String) {
        self.forget_below(dir);
        self.workspace.set_refused(dir);
        self.skipped.insert(dir.to_owned(), Skip::Refused(reason));
    }

    pub(super) fn push_change(&self, path: &Path, what: What, found: &mut Found) {
        let mut repos = self.repos_around(path);
        let repo = repos.next().map(Path::to_owned);
        // What changes in a repository also shows in those around it.
        repos.for_each(|outer| found.push_repo(outer));
        found.changes.push(Change { path: path.to_owned(), what, repo });
    }
}
