//! The names that what is read below a root depends on.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use undercurrent_types::{Key, Name, path_text};

use super::{Confined, Workspace};

/// The directory that would report a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reporter {
    Parent,
    Itself,
}

impl Workspace {
    /// Returns what the content of a file depends on, besides its key.
    ///
    /// Ask before the file is read. The names say that nobody watches it if a directory that would report a change is
    /// not watched, if it has several hard links (a change through another is reported there), or if it lies in a
    /// `.git` (whose changes are reported as those of the repository).
    pub fn names_of_file(&self, file: &Confined) -> Vec<Name> {
        self.names_of(file, Reporter::Parent)
    }

    /// Returns what the listing of a directory depends on, besides its key. Ask before it is read.
    pub fn names_of_dir(&self, dir: &Confined) -> Vec<Name> {
        self.names_of(dir, Reporter::Itself)
    }

    /// Returns what an answer about a whole repository depends on, besides its key. Ask before git is asked.
    ///
    /// The names say that nobody watches it if its `.git`, or a directory in it that git does not ignore, is not
    /// watched.
    pub fn names_of_repo(&self, repo: &Confined) -> Vec<Name> {
        let mut names = Names(self.names_of(repo, Reporter::Itself));
        for path in [&repo.path, &repo.real] {
            names.add(Name::repo(&path_text(path)));
        }
        let is_covered = |dir: &Path| self.is_reported(dir) && !self.coverage.has_refused_below(dir);
        let git_dirs = super::repo::git_dirs(&repo.real);
        if git_dirs.is_empty() || !is_covered(&repo.real) || !git_dirs.iter().all(|dir| is_covered(dir)) {
            names.add(repo.root.unwatched());
        }
        names.0
    }

    /// Says whether every change of a file is reported: whether its names lack the one of all that nobody watches.
    pub fn is_file_covered(&self, file: &Confined) -> bool {
        self.is_covered(file, Reporter::Parent)
    }

    /// Says whether every change of a directory's listing is reported.
    pub fn is_dir_covered(&self, dir: &Confined) -> bool {
        self.is_covered(dir, Reporter::Itself)
    }

    fn names_of(&self, confined: &Confined, reporter: Reporter) -> Vec<Name> {
        let mut names = Names(Vec::with_capacity(12));
        names.add(confined.root.scope());
        names.add(Self::source_scope());
        for path in confined.links.iter().chain([&confined.path, &confined.real]) {
            self.add_trees(path, &mut names);
        }
        confined.links.iter().for_each(|link| names.add_key(Key::file(link)));
        if confined.real != confined.path {
            names.add_key(match reporter {
                Reporter::Parent => Key::file(&confined.real),
                Reporter::Itself => Key::dir(&confined.real),
            });
        }
        if !self.is_covered(confined, reporter) {
            names.add(confined.root.unwatched());
        }
        names.0
    }

    /// Adds the scope of a path's root, and the trees that the path stands in.
    fn add_trees(&self, path: &Path, names: &mut Names) {
        let Some(root) = self.root_of(path) else { return };
        names.add(root.scope());
        for dir in path.ancestors().take_while(|dir| dir.starts_with(&root.path)) {
            names.add(Name::tree(&path_text(dir)));
        }
    }

    fn is_covered(&self, confined: &Confined, reporter: Reporter) -> bool {
        let links = confined.links.iter().filter_map(|link| link.parent());
        let target = match reporter {
            Reporter::Parent => confined.real.parent(),
            Reporter::Itself => Some(confined.real.as_path()),
        };
        let Some(target) = target else { return false };
        let may_be_written_elsewhere = || reporter == Reporter::Parent && has_other_links(&confined.real);
        !self.is_in_git_dir(&confined.real)
            && !may_be_written_elsewhere()
            && links.chain([target]).all(|dir| self.is_reported(dir))
    }

    /// Says whether changes in a directory are reported, or, where there is none, that it appears.
    fn is_reported(&self, dir: &Path) -> bool {
        let Some(root) = self.root_of(dir) else { return false };
        let mut dirs = dir.ancestors().take_while(|dir| dir.starts_with(&root.path));
        let deepest = dirs.find(|dir| self.is_watched(dir) || is_dir(dir));
        deepest.is_some_and(|dir| self.coverage.is_watched_up_to(dir, &root.path))
    }

    fn is_in_git_dir(&self, path: &Path) -> bool {
        let Some(root) = self.root_of(path) else { return false };
        path.strip_prefix(&root.path)
            .is_ok_and(|below| below.components().any(|word| word.as_os_str() == ".git"))
    }
}

/// Says whether a directory, not a link to one, is there. What can not be seen counts as there: then it must be
/// watched to be vouched for.
fn is_dir(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => {
            !matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
        }
    }
}

fn has_other_links(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() && metadata.nlink() > 1)
}

/// Names, each once.
struct Names(Vec<Name>);

impl Names {
    fn add(&mut self, name: Name) {
        if !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    /// Adds a key; a path too long for one can not be asked for either.
    fn add_key(&mut self, key: Result<Key, undercurrent_types::KeyError>) {
        if let Ok(key) = key {
            self.add(Name::from(key));
        }
    }
}
