//! What a file system says about a file, and what it can vouch for.

use rustix::fs::{Stat, stat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use undercurrent_types::text_path;

use crate::cache::{Check, Validator};

/// How long ago the last change must be before a stamp vouches for what was read, in nanoseconds.
///
/// A stamp is made before the data is written and is only as fine as the kernel's tick, on some file systems two
/// seconds. So a younger one says neither that a write has ended nor that no other follows under the same stamp; git
/// calls such files racily clean. Not covered: a single call of `write` that takes longer than this, and a program
/// that writes through a memory map.
const SETTLED_AFTER: i128 = 2_000_000_000;

/// First byte of the validator of what is not there.
const ABSENT: u8 = b'a';
/// First byte of the validator of what had changed too recently to be vouched for.
const RECENT: u8 = b'r';
/// First byte of the validator that holds a stamp.
const STAMPED: u8 = b's';

/// A point in time as the file system's clock counts it, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i128);

/// Where a loader gets the time from: the clock that the kernel stamps files of this machine with.
pub(super) type Clock = fn() -> Moment;

impl Moment {
    pub(super) fn now() -> Self {
        let now = clock_gettime(ClockId::Realtime);
        Self::new(now.tv_sec.into(), now.tv_nsec.into())
    }

    fn new(seconds: i128, nanoseconds: i128) -> Self {
        Self(seconds * 1_000_000_000 + nanoseconds)
    }

    #[cfg(test)]
    pub(super) fn plus_seconds(self, seconds: i128) -> Self {
        Self(self.0 + seconds * 1_000_000_000)
    }
}

/// Device, inode, size, and the times of the last change to the content and to the inode.
///
/// The last one can not be set back by a program, so that a file whose content time was restored is seen to differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp([u8; Self::LENGTH]);

impl Stamp {
    const LENGTH: usize = 56;

    pub(super) fn of(stat: &Stat) -> Self {
        let mut packed = [0; Self::LENGTH];
        let fields = [
            stat.st_dev.to_le_bytes(),
            stat.st_ino.to_le_bytes(),
            stat.st_size.to_le_bytes(),
            stat.st_mtime.to_le_bytes(),
            stat.st_mtime_nsec.to_le_bytes(),
            stat.st_ctime.to_le_bytes(),
            stat.st_ctime_nsec.to_le_bytes(),
        ];
        for (place, field) in packed.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field);
        }
        Self(packed)
    }

    /// Says whether two stamps are of one file, which may have changed in between.
    pub(super) fn is_of_the_file_of(&self, other: &Self) -> bool {
        self.0[..16] == other.0[..16]
    }

    /// Says whether the last change lies far enough before a moment for the stamp to vouch for what was read then.
    pub(super) fn is_settled(&self, at: Moment) -> bool {
        at.0 - self.changed().0 > SETTLED_AFTER
    }

    /// Returns when the inode last changed.
    fn changed(&self) -> Moment {
        let word = |at: usize| i64::from_le_bytes(self.0[at..at + 8].try_into().expect("eight bytes"));
        Moment::new(word(40).into(), word(48).into())
    }

    pub(super) fn validator(&self) -> Validator {
        let mut bytes = Vec::with_capacity(1 + Self::LENGTH);
        bytes.push(STAMPED);
        bytes.extend_from_slice(&self.0);
        Validator(bytes.into())
    }
}

/// Returns the validator of what is not there: good for as long as it is not.
pub(super) fn absent() -> Validator {
    Validator([ABSENT].into())
}

/// Returns the validator of what has changed too recently: the answer about it is always "changed".
pub(super) fn recent() -> Validator {
    Validator([RECENT].into())
}

/// Asks the file system about the path of a key with one `stat`, without an allocation where the path is shorter
/// than 256 bytes and has no escapes.
///
/// The path is followed through links: whatever stands there now, the stamp says whether it is the file that was
/// found inside the roots when the value was loaded.
pub(super) fn check(path: &str, validator: &Validator) -> Check {
    let unchanged = match validator.0.split_first() {
        Some((&STAMPED, stamp)) => stat_text(path).is_ok_and(|stat| Stamp::of(&stat).0 == *stamp),
        Some((&ABSENT, _)) => stat_text(path).is_err_and(is_absence),
        _ => false,
    };
    if unchanged { Check::Unchanged } else { Check::Changed }
}

/// Says whether an error of the file system means that nothing is there.
pub(super) fn is_absence(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR)
}

/// Asks about a path as keys carry it.
fn stat_text(path: &str) -> rustix::io::Result<Stat> {
    if path.contains('\\') { stat(text_path(path)) } else { stat(path) }
}

/// Writes a validator for people.
pub(super) fn describe(validator: &Validator) -> String {
    match validator.0.split_first() {
        Some((&STAMPED, stamp)) => match stamp.try_into() {
            Ok(stamp) => describe_stamp(&Stamp(stamp)),
            Err(_) => "unreadable".to_owned(),
        },
        Some((&ABSENT, _)) => "not there".to_owned(),
        Some((&RECENT, _)) => "changed within the 2 s before it was read, so it is read again".to_owned(),
        _ => "unreadable".to_owned(),
    }
}

fn describe_stamp(stamp: &Stamp) -> String {
    let word = |at: usize| u64::from_le_bytes(stamp.0[at..at + 8].try_into().expect("eight bytes"));
    let changed = match jiff::Timestamp::from_nanosecond(stamp.changed().0) {
        Ok(time) => time.to_string(),
        Err(_) => "at a time out of range".to_owned(),
    };
    format!("inode {} of device {}, {} bytes, changed {changed}", word(8), word(0), word(16))
}
