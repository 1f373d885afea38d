//! The content of files.

use std::fs::File;
use std::io::{Read, Seek};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustix::fs::FileType;
use undercurrent_types::{Key, Level, Name};

use super::stamp::{self, Clock, Moment};
use super::steady::{self, LARGEST, NotRead, Reader};
use crate::cache::{Check, Inputs, LoadError, Loaded, Loader, Validator};
use crate::workspace::{Confined, Workspace};

/// Loads `file:/path`: the bytes of a regular file below a root, at most 64 MiB.
///
/// What is not there, also because a parent is no directory, is a value; what may not be read, or is no regular file,
/// is an error. A validator is a `stat`: asking costs one, and it notices writes, renames, and a restored modification
/// time. A file that changed in the 2 s before it was read, or lies on a file system that answers for another machine,
/// has a validator that always says "changed".
#[derive(Debug)]
pub struct FileLoader {
    workspace: Arc<Workspace>,
    clock: Clock,
}

impl FileLoader {
    /// Loads what lies below the roots of a workspace.
    pub fn new(workspace: Arc<Workspace>) -> Self {
        Self { workspace, clock: Moment::now }
    }

    pub(super) async fn read(&self, key: &Key) -> Result<Loaded, LoadError> {
        read_in_background(&self.workspace, key, self.clock, Content).await
    }

    #[cfg(test)]
    pub(super) fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }
}

impl Loader for FileLoader {
    fn name(&self) -> &'static str {
        "file"
    }

    fn default_level(&self) -> Level {
        Level::Verified
    }

    fn offers(&self, _key: &Key, _level: Level) -> Result<(), String> {
        Ok(())
    }

    fn load<'a>(&'a self, key: &'a Key, _inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        self.read(key).boxed()
    }

    fn check<'a>(
        &'a self,
        key: &'a Key,
        validator: &'a Validator,
    ) -> BoxFuture<'a, Result<Check, LoadError>> {
        std::future::ready(Ok(stamp::check(key.rest(), validator))).boxed()
    }

    fn check_now(&self, key: &Key, validator: &Validator) -> Option<Check> {
        Some(stamp::check(key.rest(), validator))
    }

    fn names_now(&self, key: &Key) -> Result<Option<Vec<Name>>, LoadError> {
        steady::names(&self.workspace, key, &Content).map(Some)
    }

    fn describe(&self, validator: &Validator) -> String {
        stamp::describe(validator)
    }
}

/// Reads where a slow disk holds up nobody else. A dropped future lets the read run to its end and forgets it.
pub(super) async fn read_in_background(
    workspace: &Arc<Workspace>,
    key: &Key,
    clock: Clock,
    reader: impl Reader + Send + 'static,
) -> Result<Loaded, LoadError> {
    let (workspace, owned) = (Arc::clone(workspace), key.clone());
    let read = move || steady::load(&workspace, &owned, clock, &reader);
    let ended = tokio::task::spawn_blocking(read).await;
    ended.unwrap_or_else(|e| Err(LoadError::Broken { key: key.clone(), reason: e.to_string() }))
}

/// Reads the bytes of a regular file.
pub(super) struct Content;

impl Reader for Content {
    fn wanted(&self) -> FileType {
        FileType::RegularFile
    }

    fn names(&self, workspace: &Workspace, confined: &Confined) -> Vec<Name> {
        workspace.names_of_file(confined)
    }

    fn read(&self, mut file: &File) -> Result<Vec<u8>, NotRead> {
        let size = file.metadata().map_err(NotRead::Refused)?.len();
        if size > LARGEST {
            return Err(NotRead::TooLarge(size));
        }
        file.rewind().map_err(NotRead::Refused)?;
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
        // One byte more than allowed, to notice that it has grown beyond.
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(NotRead::Refused)?;
        match bytes.len() as u64 {
            read if read > LARGEST => Err(NotRead::TooLarge(read)),
            _ => Ok(bytes),
        }
    }
}
