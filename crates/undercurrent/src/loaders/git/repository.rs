//! Finding a work tree, its git directory, and the names that depend on them.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use undercurrent_types::{Key, Name, path_text};

use super::super::open::{NotOpened, open_resolved};
use crate::cache::LoadError;
use crate::workspace::{Confined, Workspace};

/// The most bytes of a file that holds one path.
const LONGEST_POINTER: u64 = 8 << 10;

/// What stands at the root of a `git:` key.
#[derive(Debug)]
pub(super) enum Found {
    /// The top of a work tree.
    Repository(Repository),
    /// None, with the names that will move when there is one.
    Nothing(Vec<Name>),
}

/// A work tree below a root, with its git directory.
#[derive(Debug)]
pub(super) struct Repository {
    /// The top of the work tree, without links on the way.
    pub(super) root: PathBuf,
    /// Where git keeps what belongs to this work tree.
    pub(super) git_dir: PathBuf,
    /// The names that what git says depends on, determined before git is run.
    pub(super) names: Vec<Name>,
    unwatched: Name,
    identity: [(u64, u64); 2],
}

impl Repository {
    /// Looks for the repository of a key.
    pub(super) fn find(workspace: &Workspace, key: &Key) -> Result<Found, LoadError> {
        let finding = Finding { workspace, key };
        let path = key.path().ok_or_else(|| finding.failed("it has no path"))?;
        let confined = finding.confine(&path)?;
        let names = workspace.names_of_repo(&confined);
        match finding.git_dir(&confined.real)? {
            Some(git_dir) => finding.repository(&confined, git_dir, names).map(Found::Repository),
            None => finding.nothing(&confined, names),
        }
    }

    /// Says whether both are the same directories, and not others that were put in their place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.root, &self.git_dir, self.identity) == (&other.root, &other.git_dir, other.identity)
    }

    /// Adds what directories of the work tree depend on: nobody reports changes in one that is not watched.
    pub(super) fn also_reads(&mut self, workspace: &Workspace, dirs: &[PathBuf]) {
        if !dirs.iter().all(|dir| workspace.is_watched(dir)) {
            add(&mut self.names, self.unwatched.clone());
        }
    }
}

/// The search for the repository of one key.
struct Finding<'a> {
    workspace: &'a Workspace,
    key: &'a Key,
}

/// A git directory, and the one that it shares with other work trees.
struct GitDir {
    path: PathBuf,
    common: PathBuf,
}

impl Finding<'_> {
    fn repository(
        &self,
        confined: &Confined,
        git_dir: GitDir,
        mut names: Vec<Name>,
    ) -> Result<Repository, LoadError> {
        // The git directory of a linked work tree or a submodule lies in another repository, and changes in it are
        // reported as changes of that one.
        for dir in [&git_dir.path, &git_dir.common] {
            if let Some(top) = self.workspace.repo_of(dir) {
                add(&mut names, Name::repo(&path_text(&top)));
            }
        }
        let unwatched = Name::unwatched(&path_text(&confined.root.path));
        if ![&confined.real, &git_dir.path, &git_dir.common]
            .into_iter()
            .all(|dir| self.workspace.is_watched(dir))
        {
            add(&mut names, unwatched.clone());
        }
        let identity = [self.identity(&confined.real)?, self.identity(&git_dir.path)?];
        let (root, unwatched) = (confined.real.clone(), confined.root.unwatched());
        Ok(Repository { root, git_dir: git_dir.path, names, unwatched, identity })
    }

    /// Answers for a directory that is no work tree's top.
    fn nothing(&self, confined: &Confined, mut names: Vec<Name>) -> Result<Found, LoadError> {
        if let Some(top) = self.workspace.repo_of(&confined.real).filter(|top| *top != confined.real) {
            return Err(self.not_the_top(&top));
        }
        // A `.git` that appears is an entry of this directory.
        if let Ok(listing) = Key::dir(&confined.real) {
            add(&mut names, listing.into());
        }
        Ok(Found::Nothing(names))
    }

    fn not_the_top(&self, top: &Path) -> LoadError {
        let text = path_text(top);
        if self.workspace.root_of(top).is_none() {
            let reason = format!("its work tree begins at `{text}`, outside every root; make that a root");
            return LoadError::Denied { key: self.key.clone(), reason };
        }
        let part = self.key.git_part().unwrap_or_default();
        self.failed(&format!("it is not the top of its work tree: ask for `git:{text}#{part}`"))
    }

    /// Returns the git directory of a work tree, if it has one and may use it.
    fn git_dir(&self, root: &Path) -> Result<Option<GitDir>, LoadError> {
        let dot_git = root.join(".git");
        let stat = match dot_git.symlink_metadata() {
            Ok(stat) => stat,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(e) => return Err(self.failed(&format!("`{}`: {e}", path_text(&dot_git)))),
        };
        if !stat.is_file() {
            let path = self.confine(&dot_git)?.real;
            return path.is_dir().then(|| self.with_common(path)).transpose();
        }
        let pointer = self.pointer(&dot_git)?.unwrap_or_default();
        let Some(target) = pointer.strip_prefix(b"gitdir: ") else {
            return Err(self.failed("its `.git` is a file that names no git directory"));
        };
        let path = self.resolve(root, target)?;
        if self.workspace.confine(&path).is_ok() {
            return self.with_common(path).map(Some);
        }
        // Whoever can write the work tree can point anywhere. Whoever can write the git directory has made it.
        let back = self.pointer(&path.join("gitdir"))?.unwrap_or_default();
        if self.resolve(&path, &back).ok().as_deref() == Some(&dot_git) {
            return Ok(Some(GitDir { common: path.clone(), path }));
        }
        Err(LoadError::Denied {
            key: self.key.clone(),
            reason: format!(
                "its git directory `{}` lies outside every root and does not know this work tree as its own; make the \
                 directory a root, too",
                path_text(&path)
            ),
        })
    }

    /// Returns a git directory inside the roots with the one that it shares, which must lie there too.
    fn with_common(&self, path: PathBuf) -> Result<GitDir, LoadError> {
        let common = match self.pointer(&path.join("commondir"))? {
            Some(target) => self.confine(&self.resolve(&path, &target)?)?.real,
            None => path.clone(),
        };
        Ok(GitDir { path, common })
    }

    /// Reads a file that holds one path, if it is there.
    fn pointer(&self, path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
        let file: File = match open_resolved(path, FileType::RegularFile) {
            Ok(file) => file,
            Err(NotOpened::Missing) => return Ok(None),
            Err(_) => return Err(self.failed(&format!("`{}` can not be read", path_text(path)))),
        };
        let mut text = Vec::new();
        let read = file.take(LONGEST_POINTER).read_to_end(&mut text);
        read.map_err(|e| self.failed(&format!("`{}` can not be read: {e}", path_text(path))))?;
        Ok(Some(text.trim_ascii_end().to_owned()))
    }

    /// Returns the path that a text names, relative to a directory, without links on the way.
    fn resolve(&self, dir: &Path, target: &[u8]) -> Result<PathBuf, LoadError> {
        let path = dir.join(std::ffi::OsStr::from_bytes(target));
        path.canonicalize()
            .map_err(|e| self.failed(&format!("its git directory `{}`: {e}", path_text(&path))))
    }

    fn confine(&self, path: &Path) -> Result<Confined, LoadError> {
        self.workspace
            .confine(path)
            .map_err(|denied| LoadError::Denied { key: self.key.clone(), reason: denied.to_string() })
    }

    fn identity(&self, path: &Path) -> Result<(u64, u64), LoadError> {
        match path.metadata() {
            Ok(stat) => Ok((stat.dev(), stat.ino())),
            Err(e) => Err(self.failed(&format!("`{}`: {e}", path_text(path)))),
        }
    }

    fn failed(&self, reason: &str) -> LoadError {
        LoadError::Failed { key: self.key.clone(), reason: reason.to_owned() }
    }
}

fn add(names: &mut Vec<Name>, name: Name) {
    if !names.contains(&name) {
        names.push(name);
    }
}
