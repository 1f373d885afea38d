//! The configured roots of this machine, what lies below them and what of it is watched.
//!
//! Owns the roots, the check that a path and everything it leads to lie below one, the names that what is read there
//! depends on, and the record of which directories are watched. Only the source `local` writes that record; everybody
//! reads it. Never watches, publishes or caches anything itself.

mod confine;
mod coverage;
mod names;
mod repo;
mod root;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use undercurrent_types::Name;

pub use confine::{Confined, Denied};
pub(crate) use repo::git_dirs;
pub use root::{Root, RootError};

use coverage::Coverage;

/// The trees of this machine that may be read.
///
/// Outside them nothing is read, whatever a key or a link says. Share it by [`Arc`].
#[derive(Debug)]
pub struct Workspace {
    roots: Vec<Arc<Root>>,
    coverage: Coverage,
}

impl Workspace {
    /// Makes a workspace of these directories, by the paths that remain when all links are followed.
    ///
    /// A root named twice counts once, and one below another is merged into the outer one. There may be none.
    ///
    /// # Errors
    ///
    /// Fails when a root is no directory or can not be reached.
    pub fn new(roots: Vec<PathBuf>) -> Result<Self, RootError> {
        Ok(Self { roots: root::open(roots)?, coverage: Coverage::default() })
    }

    /// Returns the roots, sorted by path.
    pub fn roots(&self) -> impl Iterator<Item = &Arc<Root>> {
        self.roots.iter()
    }

    /// Returns the root that a path lies below by its text, the root itself included.
    pub fn root_of(&self, path: &Path) -> Option<&Arc<Root>> {
        self.roots.iter().find(|root| path.starts_with(&root.path))
    }

    /// Returns the scope of the source that watches every root.
    pub fn source_scope() -> Name {
        Name::scope("local")
    }

    /// Says whether changes of the entries of this very directory are reported.
    pub fn is_watched(&self, dir: &Path) -> bool {
        self.coverage.is_watched(dir)
    }

    /// Notes that a directory's watch stands. Called after the watch was set, before anything is read there.
    pub fn set_watched(&self, dir: &Path) {
        self.coverage.set_watched(dir);
    }

    /// Notes that a directory that should be watched can not be.
    pub fn set_refused(&self, dir: &Path) {
        self.coverage.set_refused(dir);
    }

    /// Notes that a directory is no longer watched. What was read there must be made stale after this.
    pub fn unset_watched(&self, dir: &Path) {
        self.coverage.unset_watched(dir);
    }

    /// Notes that a directory and everything below it are no longer watched.
    pub fn unset_below(&self, dir: &Path) {
        self.coverage.unset_below(dir);
    }

    /// Returns how many directories of a root are watched.
    pub fn watched_count(&self, root: &Root) -> usize {
        self.coverage.count_below(&root.path)
    }
}
