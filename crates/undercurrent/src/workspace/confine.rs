//! The check that a path, and everything it leads to, lies below a root.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Root, Workspace};

/// A path that may be read.
#[derive(Clone, Debug)]
pub struct Confined {
    /// The root that the path lies below by its text.
    pub root: Arc<Root>,
    /// The path, normalised by its text.
    pub path: PathBuf,
    /// Where it leads when all links are followed; what is not there is kept by its text.
    pub real: PathBuf,
    /// Each link on the way, by the path where it really lies.
    pub links: Vec<PathBuf>,
}

/// Why a path may not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The path is relative.
    #[error("`{}` is not absolute", .0.display())]
    Relative(PathBuf),
    /// The path lies elsewhere.
    #[error("`{}` lies below no root; {roots}", .path.display())]
    Outside {
        /// The path, normalised by its text.
        path: PathBuf,
        /// What the roots are.
        roots: RootList,
    },
    /// A link on the way leads out of the roots.
    #[error("`{}` leads through a link to `{}`, which lies below no root; {roots}", .path.display(), .target.display())]
    LinkOut {
        /// The path, normalised by its text.
        path: PathBuf,
        /// Where the link leads.
        target: PathBuf,
        /// What the roots are.
        roots: RootList,
    },
    /// Links lead in a circle, or there are too many.
    #[error("`{}` leads through more than {} links", .0.display(), MOST_LINKS)]
    TooManyLinks(PathBuf),
    /// A directory on the way can not be looked into.
    #[error("whether `{}` leads out of the roots can not be seen: {error}", .path.display())]
    Unreadable {
        /// The path, normalised by its text.
        path: PathBuf,
        /// Why; part of the text, which goes where no chain of causes does.
        error: io::Error,
    },
}

/// The roots that there are, for people.
#[derive(Debug)]
pub struct RootList(Vec<Arc<Root>>);

impl fmt::Display for RootList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no root is configured");
        }
        f.write_str("the roots are")?;
        for (i, root) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma} `{}`", root.path.display())?;
        }
        Ok(())
    }
}

/// As many links as Linux follows in one path.
const MOST_LINKS: usize = 40;

impl Workspace {
    /// Checks that a path may be read: it lies below a root by its text, and so does everything it leads to.
    ///
    /// What is not there may be asked for: the links that are there are followed, and the rest is taken by its text.
    /// The answer holds for the moment; a link may be changed later, which is why the links are part of it.
    ///
    /// # Errors
    ///
    /// Fails when the path or a link on its way leads out of the roots, or that can not be seen.
    pub fn confine(&self, path: &Path) -> Result<Confined, Denied> {
        if !path.is_absolute() {
            return Err(Denied::Relative(path.to_owned()));
        }
        let path = normalise(path);
        let Some(root) = self.root_of(&path).cloned() else {
            return Err(Denied::Outside { path, roots: self.root_list() });
        };
        let Followed { real, links } = follow(&root.path, &path)?;
        let outside = links.iter().chain([&real]).find(|target| self.root_of(target).is_none());
        if let Some(target) = outside.cloned() {
            return Err(Denied::LinkOut { path, target, roots: self.root_list() });
        }
        Ok(Confined { root, path, real, links })
    }

    fn root_list(&self) -> RootList {
        RootList(self.roots.clone())
    }
}

/// Takes `.` and `..` out of an absolute path by its text, as keys do.
fn normalise(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(word) => normal.push(word),
            Component::ParentDir => {
                normal.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    normal
}

/// Where a path leads.
struct Followed {
    real: PathBuf,
    links: Vec<PathBuf>,
}

/// Follows the links of a path below a root, whose own path had none when it was opened.
fn follow(root: &Path, path: &Path) -> Result<Followed, Denied> {
    // The root itself is looked at again, since a link may have taken its place.
    let known = root.parent().unwrap_or(root);
    let mut followed = Followed { real: known.to_owned(), links: Vec::new() };
    let mut words: VecDeque<OsString> = VecDeque::new();
    put_before(&mut words, path.strip_prefix(known).unwrap_or(path));
    let mut is_there = true;
    while let Some(word) = words.pop_front() {
        if word == ".." {
            followed.real.pop();
            continue;
        }
        followed.real.push(word);
        if !is_there {
            continue;
        }
        match followed.real.read_link() {
            Ok(_) if followed.links.len() == MOST_LINKS => return Err(Denied::TooManyLinks(path.to_owned())),
            Ok(target) => {
                followed.links.push(followed.real.clone());
                followed.real.pop();
                if target.is_absolute() {
                    followed.real = PathBuf::from("/");
                }
                put_before(&mut words, &target);
            }
            // No link, so it is what it is.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
                    is_there = false;
                }
                _ => return Err(Denied::Unreadable { path: path.to_owned(), error }),
            },
        }
    }
    Ok(followed)
}

/// Puts the words of a path before those that are still to be followed.
fn put_before(words: &mut VecDeque<OsString>, path: &Path) {
    for part in path.components().rev() {
        match part {
            Component::Normal(word) => words.push_front(word.to_owned()),
            Component::ParentDir => words.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}
