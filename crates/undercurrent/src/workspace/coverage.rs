//! Which directories are watched.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use parking_lot::RwLock;

/// The directories whose changes are reported, and those that should be and are not.
///
/// Behind a reader-writer lock because every load reads it and only the source writes it; nothing is done while it is
/// held but a lookup. Sorted, so that everything below a directory stands together.
#[derive(Debug, Default)]
pub(super) struct Coverage(RwLock<Dirs>);

#[derive(Debug, Default)]
struct Dirs {
    watched: BTreeSet<PathBuf>,
    refused: BTreeSet<PathBuf>,
}

impl Coverage {
    pub(super) fn is_watched(&self, dir: &Path) -> bool {
        self.0.read().watched.contains(dir)
    }

    /// Says whether a directory and each of its ancestors down from `top` are watched.
    pub(super) fn is_watched_up_to(&self, dir: &Path, top: &Path) -> bool {
        let dirs = self.0.read();
        dir.ancestors().take_while(|dir| dir.starts_with(top)).all(|dir| dirs.watched.contains(dir))
    }

    /// Says whether a directory that should be watched and is not lies below this one.
    pub(super) fn has_refused_below(&self, dir: &Path) -> bool {
        below(&self.0.read().refused, dir).next().is_some()
    }

    pub(super) fn set_watched(&self, dir: &Path) {
        let mut dirs = self.0.write();
        dirs.refused.remove(dir);
        dirs.watched.insert(dir.to_owned());
    }

    pub(super) fn set_refused(&self, dir: &Path) {
        let mut dirs = self.0.write();
        dirs.watched.remove(dir);
        dirs.refused.insert(dir.to_owned());
    }

    pub(super) fn unset_watched(&self, dir: &Path) {
        let mut dirs = self.0.write();
        dirs.refused.remove(dir);
        dirs.watched.remove(dir);
    }

    pub(super) fn unset_below(&self, dir: &Path) {
        let mut dirs = self.0.write();
        let Dirs { watched, refused } = &mut *dirs;
        for set in [watched, refused] {
            let gone: Vec<PathBuf> = below(set, dir).cloned().collect();
            gone.iter().for_each(|dir| {
                set.remove(dir);
            });
        }
    }

    pub(super) fn count_below(&self, dir: &Path) -> usize {
        below(&self.0.read().watched, dir).count()
    }
}

/// Returns a directory and everything below it: paths are ordered by their words, so these stand together.
fn below<'a>(set: &'a BTreeSet<PathBuf>, dir: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
    set.range::<Path, _>((Bound::Included(dir), Bound::Unbounded))
        .take_while(move |path| path.starts_with(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_goes_and_what_begins_alike_stays() {
        let coverage = Coverage::default();
        for dir in ["/r", "/r/a", "/r/a/b", "/r/a/b/c", "/r/a-b", "/r/ab", "/r/b"] {
            coverage.set_watched(Path::new(dir));
        }
        coverage.set_refused(Path::new("/r/a/no"));
        assert_eq!(coverage.count_below(Path::new("/r/a")), 3);
        assert!(coverage.has_refused_below(Path::new("/r")));
        coverage.unset_below(Path::new("/r/a"));
        assert!(!coverage.has_refused_below(Path::new("/r")));
        for (dir, watched) in
            [("/r", true), ("/r/a", false), ("/r/a/b/c", false), ("/r/a-b", true), ("/r/ab", true)]
        {
            assert_eq!(coverage.is_watched(Path::new(dir)), watched, "{dir}");
        }
    }

    #[test]
    fn a_directory_is_watched_only_if_all_above_it_are() {
        let coverage = Coverage::default();
        coverage.set_watched(Path::new("/r/a/b"));
        coverage.set_watched(Path::new("/r"));
        assert!(!coverage.is_watched_up_to(Path::new("/r/a/b"), Path::new("/r")));
        coverage.set_watched(Path::new("/r/a"));
        assert!(coverage.is_watched_up_to(Path::new("/r/a/b"), Path::new("/r")));
    }
}
