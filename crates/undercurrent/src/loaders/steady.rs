//! Reading what others may be changing.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, fstat, fstatfs, stat};
use rustix::io::Errno;
use undercurrent_types::{Key, Name};

use super::open::{NotOpened, open_resolved};
use super::stamp::{self, Clock, Stamp};
use crate::cache::{LoadError, Loaded};
use crate::workspace::{Confined, Workspace};

/// The most bytes that a value may have.
pub(super) const LARGEST: u64 = 64 << 20;

/// How often a read is begun again because something moved.
const TRIES: u32 = 8;

/// What is read at a path.
pub(super) trait Reader {
    /// Returns what must stand there.
    fn wanted(&self) -> FileType;

    /// Returns the names that the value depends on.
    fn names(&self, workspace: &Workspace, confined: &Confined) -> Vec<Name>;

    /// Reads it from its beginning to its end.
    fn read(&self, file: &File) -> Result<Vec<u8>, NotRead>;
}

/// Why something that was opened was not read.
#[derive(Debug)]
pub(super) enum NotRead {
    /// It is larger than a value may be.
    TooLarge(u64),
    /// The file system refuses.
    Refused(std::io::Error),
}

/// Loads the value at the path of a key: a state that stood there at one instant of the load.
///
/// Where the last change is long enough ago, the stamps before and after the read tell whether anyone wrote. Otherwise
/// they prove nothing, and what counts is that a second read finds what the first one found: then every byte was there
/// at the instant between the two. Such a value has no stamp to vouch for it later.
pub(super) fn load(
    workspace: &Workspace,
    key: &Key,
    clock: Clock,
    reader: &impl Reader,
) -> Result<Loaded, LoadError> {
    let path = path_of(key)?;
    for _ in 0..TRIES {
        if let Some(loaded) = try_once(workspace, key, &path, clock, reader)? {
            return Ok(loaded);
        }
    }
    Err(LoadError::Unstable { key: key.clone(), tries: TRIES })
}

/// Returns the names that the value at the path of a key would depend on now.
pub(super) fn names(workspace: &Workspace, key: &Key, reader: &impl Reader) -> Result<Vec<Name>, LoadError> {
    let confined = confine(workspace, key, &path_of(key)?)?;
    Ok(reader.names(workspace, &confined))
}

fn path_of(key: &Key) -> Result<PathBuf, LoadError> {
    key.path().ok_or_else(|| LoadError::Failed { key: key.clone(), reason: "it has no path".to_owned() })
}

fn confine(workspace: &Workspace, key: &Key, path: &Path) -> Result<Confined, LoadError> {
    workspace
        .confine(path)
        .map_err(|denied| LoadError::Denied { key: key.clone(), reason: denied.to_string() })
}

/// Reads once; `None` when something moved meanwhile.
fn try_once(
    workspace: &Workspace,
    key: &Key,
    path: &Path,
    clock: Clock,
    reader: &impl Reader,
) -> Result<Option<Loaded>, LoadError> {
    let confined = confine(workspace, key, path)?;
    // Before anything is opened: what counts as watched must be watched already when the read begins.
    let names = reader.names(workspace, &confined);
    let file = match open_resolved(&confined.real, reader.wanted()) {
        Ok(file) => file,
        Err(NotOpened::Moved) => return Ok(None),
        Err(NotOpened::Missing) => return Ok(missing(path, names)),
        Err(NotOpened::Other(found)) => return Err(other(key, found)),
        Err(NotOpened::Refused(error)) => return Err(refused(key, error)),
    };
    let read = || match reader.read(&file) {
        Ok(value) => Ok(Some(value)),
        // A directory that has been deleted since it was opened.
        Err(NotRead::Refused(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(NotRead::Refused(error)) => {
            Err(LoadError::Failed { key: key.clone(), reason: error.to_string() })
        }
        Err(NotRead::TooLarge(actual)) => {
            Err(LoadError::TooLarge { key: key.clone(), actual, limit: LARGEST })
        }
    };
    let ask = || fstat(&file).map(|stat| Stamp::of(&stat)).map_err(|error| refused(key, error));

    let began = clock();
    let before = ask()?;
    let Some(value) = read()? else { return Ok(None) };
    let after = ask()?;
    let vouched = before == after && after.is_settled(began) && keeps_stamps(&file);
    if !vouched && read()?.as_ref() != Some(&value) {
        return Ok(None);
    }
    // What was read must be what stands at the path, not what was renamed away from it.
    let stands = stat(path).is_ok_and(|stat| {
        let there = Stamp::of(&stat);
        if vouched { there == after } else { there.is_of_the_file_of(&after) }
    });
    if !stands {
        return Ok(None);
    }
    let validator = if vouched { after.validator() } else { stamp::recent() };
    Ok(Some(Loaded { value: Some(value.into()), names, validator: Some(validator), max_age: None }))
}

/// Returns the answer that nothing is there, if that is so at the path too and not only where a link led to.
fn missing(path: &Path, names: Vec<Name>) -> Option<Loaded> {
    stat(path).is_err_and(stamp::is_absence).then(|| Loaded {
        value: None,
        names,
        validator: Some(stamp::absent()),
        max_age: None,
    })
}

fn other(key: &Key, found: FileType) -> LoadError {
    let path = key.rest();
    let reason = match found {
        FileType::Directory => format!("it is a directory: its listing is `dir:{path}`"),
        FileType::RegularFile => format!("it is a file and no directory: its content is `file:{path}`"),
        FileType::Fifo => "it is a pipe, which only a program at its other end can read".to_owned(),
        FileType::Socket => "it is a socket, which has no content".to_owned(),
        FileType::BlockDevice | FileType::CharacterDevice => "it is a device and no file".to_owned(),
        _ => "it is neither a file nor a directory".to_owned(),
    };
    LoadError::Failed { key: key.clone(), reason }
}

pub(super) fn refused(key: &Key, error: Errno) -> LoadError {
    let key = key.clone();
    match error {
        Errno::ACCESS | Errno::PERM => LoadError::Denied {
            key,
            reason: format!("the file system does not let this process read it: {error}"),
        },
        _ => LoadError::Failed { key, reason: error.to_string() },
    }
}

/// Says whether the file system changes the stamp of a file with every change of the file, and answers from its own
/// knowledge: one that a server or another machine stands behind does not.
///
/// Of a file system that is not known this is not assumed, which costs a read where a `stat` might do.
fn keeps_stamps(file: &File) -> bool {
    const KNOWN: [u32; 10] = [
        0x0000_ef53, // ext2, ext3, ext4
        0x5846_5342, // xfs
        0x9123_683e, // btrfs
        0x0102_1994, // tmpfs
        0x794c_7630, // overlayfs
        0xf2f5_2010, // f2fs
        0xca45_1a4e, // bcachefs
        0x2fc1_2fc1, // zfs
        0x8584_58f6, // ramfs
        0x7371_7368, // squashfs
    ];
    fstatfs(file).is_ok_and(|fs| u32::try_from(fs.f_type).is_ok_and(|magic| KNOWN.contains(&magic)))
}
