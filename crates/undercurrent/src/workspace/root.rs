//! The roots and their names.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use undercurrent_types::{Name, path_text};

/// One tree that may be read and is watched.
#[derive(Debug, PartialEq, Eq)]
pub struct Root {
    /// Where it lies, with all links followed.
    pub path: PathBuf,
    /// The name of its directory, as a word of a stream's name; where two roots share one, with a mark of its path.
    pub name: String,
    /// The `source` of the events about it, which is also the name of their stream: `local/<name>`.
    pub source_text: String,
}

impl Root {
    /// Returns the name that everything read below the root depends on.
    pub fn scope(&self) -> Name {
        Name::scope(&self.scope_text())
    }

    /// Returns the text of its scope, without the word `scope`.
    pub fn scope_text(&self) -> String {
        format!("local:{}", path_text(&self.path))
    }

    /// Returns the name of all below it that nobody watches.
    pub fn unwatched(&self) -> Name {
        Name::unwatched(&path_text(&self.path))
    }
}

/// Why a directory can not be a root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// It is not there, or can not be reached.
    #[error("the root `{path}` can not be used")]
    Unreachable {
        /// The path as it was given.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It is something else than a directory.
    #[error("the root `{path}` is not a directory")]
    NotADirectory {
        /// The path as it was given.
        path: PathBuf,
    },
}

/// Follows the links of each root, merges those that lie in another, and names them.
pub(super) fn open(given: Vec<PathBuf>) -> Result<Vec<Arc<Root>>, RootError> {
    let mut paths = Vec::with_capacity(given.len());
    for path in given {
        match path.canonicalize() {
            Ok(real) if real.is_dir() => paths.push(real),
            Ok(_) => return Err(RootError::NotADirectory { path }),
            Err(error) => return Err(RootError::Unreachable { path, error }),
        }
    }
    // Sorted by words, an outer root stands right before all that lie in it.
    paths.sort();
    paths.dedup_by(|inner, outer| inner.starts_with(outer));
    let names: Vec<String> = paths.iter().map(|path| word_of(path)).collect();
    let is_shared = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let roots = paths.iter().zip(&names).map(|(path, word)| {
        let name = if is_shared(word) { format!("{word}-{}", mark_of(path)) } else { word.clone() };
        let source_text = format!("local/{name}");
        Arc::new(Root { path: path.clone(), name, source_text })
    });
    Ok(roots.collect())
}

/// Writes the name of a directory as a word of a stream's name.
fn word_of(path: &Path) -> String {
    const LONGEST: usize = 200;
    let Some(name) = path.file_name() else { return "root".to_owned() };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:@+=".contains(c);
    name.to_string_lossy().chars().map(|c| if allowed(c) { c } else { '-' }).take(LONGEST).collect()
}

/// Returns a short mark of a path that is the same at every start.
fn mark_of(path: &Path) -> String {
    blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex()[..8].to_owned()
}
