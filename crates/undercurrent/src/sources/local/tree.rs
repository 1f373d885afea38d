//! What is watched below the roots, and why the rest is not.
//!
//! Everything here asks the file system and waits for it, so it runs where waiting is allowed. What the watcher says
//! is only a hint where to look; what counts is what is found there.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fs::Metadata;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::gitignore::Gitignore;

use super::ignored::{self, Patterns};
use super::scan::Scan;
use super::watcher::Watcher;
use crate::workspace::{Root, Workspace};

/// The directories below the roots, as far as they are watched or known not to be.
///
/// It has one owner, the pipeline. The same directories stand in the [`Workspace`], for those who read.
pub(super) struct Tree {
    pub(super) workspace: Arc<Workspace>,
    pub(super) watcher: Watcher,
    pub(super) roots: Vec<RootTree>,
    /// The watched directories, sorted, so that everything below one stands together.
    pub(super) nodes: BTreeMap<PathBuf, Node>,
    /// Where each watched directory is. The kernel knows it by this, not by its path.
    pub(super) places: HashMap<Id, PathBuf>,
    /// The directories in watched ones that are not watched.
    pub(super) skipped: BTreeMap<PathBuf, Skip>,
    /// The git directories of repositories whose `.git` is a file, each with its repository.
    pub(super) linked: BTreeSet<(PathBuf, PathBuf)>,
    /// Directories whose end was told and may be said once more. Bounded: forgetting one tells its end twice.
    pub(super) ended: HashSet<PathBuf>,
    pub(super) of_user: Gitignore,
    /// Directories that have appeared, to be watched with all below them before anything else is looked at.
    pub(super) scans: VecDeque<Scan>,
}

/// A root as it was found.
pub(super) struct RootTree {
    pub(super) root: Arc<Root>,
    /// Which directory was there when the walk began; none while the root is lost.
    pub(super) id: Option<Id>,
    /// The patterns of the directories above it, nearest first.
    pub(super) above: Vec<(PathBuf, Patterns)>,
    /// The nearest repository above the root.
    pub(super) outer_repo: Option<PathBuf>,
    /// The directories still to be walked, while a walk goes on.
    pub(super) walk: Option<Vec<PathBuf>>,
}

/// A watched directory.
pub(super) struct Node {
    pub(super) id: Id,
    pub(super) access: Access,
    pub(super) patterns: Patterns,
}

/// Which directory it is, whatever its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id {
    pub(super) device: u64,
    inode: u64,
}

/// Who may do what with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    mode: u32,
    user: u32,
    group: u32,
}

/// Why a directory is not watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// Git ignores it.
    Ignored,
    /// Git's own store of objects: what matters about it stands elsewhere in the git directory.
    Objects,
    /// It should be, and can not be, with the reason.
    Refused(String),
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    Directory(Id, Access),
    SomethingElse,
    Nothing,
}

impl Tree {
    pub(super) fn new(workspace: Arc<Workspace>, watcher: Watcher) -> Self {
        let roots = workspace.roots().map(|root| RootTree::new(root.clone())).collect();
        Self {
            workspace,
            watcher,
            roots,
            nodes: BTreeMap::new(),
            places: HashMap::new(),
            skipped: BTreeMap::new(),
            linked: BTreeSet::new(),
            ended: HashSet::new(),
            of_user: ignored::of_user(),
            scans: VecDeque::new(),
        }
    }

    /// Returns the place of the root that a path lies below.
    pub(super) fn root_of(&self, path: &Path) -> Option<usize> {
        self.roots.iter().position(|one| path.starts_with(&one.root.path))
    }

    /// Says whether a directory is known to be, or to have been, at this path.
    pub(super) fn is_known_dir(&self, path: &Path) -> bool {
        self.nodes.contains_key(path) || self.skipped.contains_key(path)
    }

    /// Says whether something is left to be scanned.
    pub(super) fn has_scans(&self) -> bool {
        !self.scans.is_empty()
    }

    /// Stops watching a directory and everything below it. The coverage goes first: whatever is loaded from here on
    /// says that nobody watches it.
    ///
    /// A directory that was moved keeps its watches, which go on reporting the old paths; so they are taken away here
    /// and made anew where it went.
    pub(super) fn forget_below(&mut self, dir: &Path) {
        self.workspace.unset_below(dir);
        for path in keys_below(&self.nodes, dir) {
            if let Some(node) = self.nodes.remove(&path)
                && self.places.get(&node.id) == Some(&path)
            {
                self.places.remove(&node.id);
            }
            self.watcher.unwatch(&path);
        }
        for path in keys_below(&self.skipped, dir) {
            self.skipped.remove(&path);
        }
        self.linked.retain(|(_, repo)| !repo.starts_with(dir));
        self.scans.iter_mut().for_each(|scan| scan.todo.retain(|path| !path.starts_with(dir)));
    }

    /// Forgets a root: it is not where it was.
    pub(super) fn forget_root(&mut self, place: usize) {
        let path = self.roots[place].root.path.clone();
        self.forget_below(&path);
        self.roots[place].id = None;
        self.roots[place].walk = None;
    }

    /// Takes another watcher, under which nothing is watched yet.
    pub(super) fn renew(&mut self, watcher: Watcher) {
        for place in 0..self.roots.len() {
            self.workspace.unset_below(&self.roots[place].root.path);
            self.roots[place].id = None;
            self.roots[place].walk = None;
        }
        self.nodes.clear();
        self.places.clear();
        self.skipped.clear();
        self.linked.clear();
        self.scans.clear();
        self.ended.clear();
        self.watcher = watcher;
    }

    /// Returns why the root is not where it was, if it is not.
    pub(super) fn loss_of(&self, place: usize) -> Option<String> {
        let RootTree { root, id, .. } = &self.roots[place];
        let id = (*id)?;
        match There::at(&root.path) {
            There::Directory(now, _) if now == id => None,
            There::Directory(..) => Some("the root was replaced by another directory".into()),
            There::SomethingElse => Some("the root is no directory any more".into()),
            There::Nothing => Some("the root is gone".into()),
        }
    }

    /// Returns what can not be watched below a root, for people.
    pub(super) fn refusals(&self, place: usize) -> Option<String> {
        let root = &self.roots[place].root.path;
        let mut refused = below(&self.skipped, root).filter_map(|(path, skip)| match skip {
            Skip::Refused(reason) => Some((path, reason)),
            Skip::Ignored | Skip::Objects => None,
        });
        let (path, reason) = refused.next()?;
        let path = path.display();
        Some(match refused.count() {
            0 => format!("`{path}` can not be watched: {reason}"),
            more => format!("`{path}` and {more} others can not be watched: {reason}"),
        })
    }
}

impl RootTree {
    fn new(root: Arc<Root>) -> Self {
        Self { root, id: None, above: Vec::new(), outer_repo: None, walk: None }
    }
}

impl There {
    /// Looks at a path itself, not at what a link there leads to. What can not be looked at counts as nothing.
    pub(super) fn at(path: &Path) -> Self {
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => Self::Directory(Id::of(&metadata), Access::of(&metadata)),
            Ok(_) => Self::SomethingElse,
            Err(_) => Self::Nothing,
        }
    }
}

impl Id {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl Access {
    fn of(metadata: &Metadata) -> Self {
        Self { mode: metadata.mode(), user: metadata.uid(), group: metadata.gid() }
    }
}

/// Returns what stands at and below a directory.
pub(super) fn below<'a, V>(
    map: &'a BTreeMap<PathBuf, V>,
    dir: &'a Path,
) -> impl Iterator<Item = (&'a PathBuf, &'a V)> {
    map.range::<Path, _>((Bound::Included(dir), Bound::Unbounded))
        .take_while(move |(path, _)| path.starts_with(dir))
}

pub(super) fn keys_below<V>(map: &BTreeMap<PathBuf, V>, dir: &Path) -> Vec<PathBuf> {
    below(map, dir).map(|(path, _)| path.clone()).collect()
}
