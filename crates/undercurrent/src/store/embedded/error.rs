//! Why a directory can not be opened as a store.

use std::io;
use std::path::{Path, PathBuf};

/// Why a directory can not be opened as a store; nothing was changed in it, unless its tail was torn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenStoreError {
    /// Another process has it open.
    #[error("the data directory `{}` is in use by another process: end that one, or give another directory", .dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The file system refused an operation.
    #[error("`{}` could not be {what}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as in "could not be opened".
        what: &'static str,
        /// The error of the file system.
        #[source]
        source: io::Error,
    },
    /// Something that was once safely on disk is damaged: the store stops rather than pass over it.
    #[error(
        "`{}` is damaged at byte {at}: {reason}; what follows it is intact or was known to be on disk, so this is no torn end, and nothing was changed. Restore the file from a copy",
        .path.display()
    )]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// The place in the file.
        at: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A newer version wrote it.
    #[error("`{}` is of {what}, which a newer version of Undercurrent wrote: use that version", .path.display())]
    Newer {
        /// The segment.
        path: PathBuf,
        /// What is not known here.
        what: String,
    },
}

impl OpenStoreError {
    pub(super) fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }
}
