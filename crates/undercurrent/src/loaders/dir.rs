//! The listings of directories.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustix::fs::{AtFlags, Dir, FileType, statat};
use undercurrent_types::{Key, Level, Name, path_text};

use super::file::read_in_background;
use super::stamp::{self, Clock, Moment};
use super::steady::{self, LARGEST, NotRead, Reader};
use crate::cache::{Check, Inputs, LoadError, Loaded, Loader, Validator};
use crate::workspace::{Confined, Workspace};

/// Loads `dir:/path`: the names in a directory below a root, sorted by their bytes, one a line.
///
/// A directory ends with `/` and a symbolic link with `@`, whatever it leads to; everything else is the bare name.
/// `.` and `..` are left out, `.git` is not. Names are written as keys write paths, so a name is one line whatever
/// bytes it has; a last `@` that belongs to the name is written `\x40`. The listing of an empty directory is empty;
/// what is not there is a value too, and what is no directory an error.
///
/// The validator is the `stat` of the directory. It covers exactly what the listing says: adding, removing, renaming
/// and replacing an entry changes it, and what happens inside an entry does not. It does not cover file systems that
/// are mounted over an entry.
#[derive(Debug)]
pub struct DirLoader {
    workspace: Arc<Workspace>,
    clock: Clock,
}

impl DirLoader {
    /// Loads what lies below the roots of a workspace.
    pub fn new(workspace: Arc<Workspace>) -> Self {
        Self { workspace, clock: Moment::now }
    }

    pub(super) async fn read(&self, key: &Key) -> Result<Loaded, LoadError> {
        read_in_background(&self.workspace, key, self.clock, Listing).await
    }

    #[cfg(test)]
    pub(super) fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }
}

impl Loader for DirLoader {
    fn name(&self) -> &'static str {
        "dir"
    }

    fn default_level(&self) -> Level {
        Level::Synced
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
        steady::names(&self.workspace, key, &Listing).map(Some)
    }

    fn describe(&self, validator: &Validator) -> String {
        stamp::describe(validator)
    }
}

/// Reads the names in a directory.
struct Listing;

impl Reader for Listing {
    fn wanted(&self) -> FileType {
        FileType::Directory
    }

    fn names(&self, workspace: &Workspace, confined: &Confined) -> Vec<Name> {
        workspace.names_of_dir(confined)
    }

    fn read(&self, file: &File) -> Result<Vec<u8>, NotRead> {
        let refused = |error: rustix::io::Errno| NotRead::Refused(error.into());
        let mut entries = Vec::new();
        for entry in Dir::read_from(file).map_err(refused)? {
            let entry = entry.map_err(refused)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let found = match entry.file_type() {
                // Some file systems say it only when asked; what has gone meanwhile shows in the second read.
                FileType::Unknown => statat(file, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
                known => known,
            };
            entries.push((name.to_owned().into_bytes(), found));
        }
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let listing = write(&entries);
        match listing.len() as u64 {
            long if long > LARGEST => Err(NotRead::TooLarge(long)),
            _ => Ok(listing.into_bytes()),
        }
    }
}

/// Writes the entries, one a line.
fn write(entries: &[(Vec<u8>, FileType)]) -> String {
    let mut listing = String::with_capacity(entries.iter().map(|(name, _)| name.len() + 2).sum());
    for (name, found) in entries {
        let text = path_text(Path::new(OsStr::from_bytes(name)));
        match text.strip_suffix('@') {
            Some(before) => {
                listing.push_str(before);
                listing.push_str(r"\x40");
            }
            None => listing.push_str(&text),
        }
        match found {
            FileType::Directory => listing.push('/'),
            FileType::Symlink => listing.push('@'),
            _ => {}
        }
        listing.push('\n');
    }
    listing
}
