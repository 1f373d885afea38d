//! Opening what a confined path leads to, and nothing else.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, open, openat, statat};
use rustix::io::Errno;

use super::stamp::is_absence;

/// Why nothing was opened.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// Nothing is there, or something that is no directory stands in its way.
    Missing,
    /// A link stands where none was when the path was resolved.
    Moved,
    /// Something else than what is read stands there.
    Other(FileType),
    /// The file system refuses.
    Refused(Errno),
}

/// Opens what stands at an absolute path that was resolved before, if it is of the type that is wanted.
///
/// Goes down from `/` one directory at a time and follows no link. So what is opened lies where the path says, however
/// the directories on its way are exchanged meanwhile. Never waits: what would block or act when opened, as a pipe or a
/// device does, is not opened at all.
pub(super) fn open_resolved(real: &Path, wanted: FileType) -> Result<File, NotOpened> {
    let mut words = real.components().filter_map(|part| match part {
        Component::Normal(word) => Some(word),
        _ => None,
    });
    let read = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Some(mut word) = words.next() else {
        if wanted != FileType::Directory {
            return Err(NotOpened::Other(FileType::Directory));
        }
        return open("/", read, Mode::empty()).map(File::from).map_err(NotOpened::Refused);
    };
    let mut dir = open("/", way, Mode::empty()).map_err(NotOpened::Refused)?;
    for next in words {
        dir = openat(&dir, word, way, Mode::empty()).map_err(|error| reason(&dir, word, error))?;
        word = next;
    }
    let stat = statat(&dir, word, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| reason(&dir, word, error))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => return Err(NotOpened::Moved),
        found if found != wanted => return Err(NotOpened::Other(found)),
        _ => {}
    }
    let opened = openat(&dir, word, read, Mode::empty()).map_err(|error| reason(&dir, word, error))?;
    // It may have been exchanged since it was asked about.
    let stat = rustix::fs::fstat(&opened).map_err(NotOpened::Refused)?;
    match FileType::from_raw_mode(stat.st_mode) {
        found if found != wanted => Err(NotOpened::Moved),
        _ => Ok(File::from(opened)),
    }
}

/// Tells a link that has come into the way from what is not there.
fn reason(dir: &OwnedFd, word: &OsStr, error: Errno) -> NotOpened {
    if !is_absence(error) && error != Errno::LOOP {
        return NotOpened::Refused(error);
    }
    match statat(dir, word, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => NotOpened::Moved,
        _ => NotOpened::Missing,
    }
}
