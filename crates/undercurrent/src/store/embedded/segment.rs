//! Segments: the files that the log is cut into.
//!
//! A segment is `<base offset, 16 hexadecimal digits>.seg`. Its base is the offset of its first byte in the log, so
//! the next segment's base is this one's plus its size. The header takes the first 64 bytes:
//!
//! ```text
//!  0  magic `ucurrent` · format version u32 · crc32c u32 of everything from 16 on
//! 16  base u64 · size u64 · salt u64 · incarnation u64 · time of creation u64 in milliseconds · zero u64
//! ```
//!
//! All that follows the last record is zeros, written when the segment was made, so that a sync of new records never
//! has to change anything but their blocks.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use undercurrent_types::Incarnation;

use super::codec::{Fields, Malformed};
use super::file::{Disk, DiskFile};

/// The version of everything that lies in a data directory.
pub(super) const FORMAT: u32 = 1;
/// The length of a segment's header.
pub(super) const HEADER: u64 = 64;

const MAGIC: &[u8; 8] = b"ucurrent";
const ZEROS: usize = 1 << 20;

/// What the header of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) base: u64,
    pub(super) size: u64,
    pub(super) salt: u64,
    pub(super) incarnation: Incarnation,
    pub(super) created_ms: u64,
}

/// Why bytes are no header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    Damaged(&'static str),
    Newer(u32),
}

impl From<Malformed> for HeaderError {
    fn from(_: Malformed) -> Self {
        Self::Damaged("the header is cut")
    }
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let fields = [self.base, self.size, self.salt, self.incarnation.0, self.created_ms];
        for (field, place) in fields.iter().zip(bytes[16..].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut fields = Fields::of(bytes);
        if fields.take(8)? != MAGIC {
            return Err(HeaderError::Damaged("it does not begin as a segment does"));
        }
        let (version, crc) = (fields.u32()?, fields.u32()?);
        if version > FORMAT {
            return Err(HeaderError::Newer(version));
        }
        let rest = fields.take(HEADER as usize - 16)?;
        if version == 0 || crc32c::crc32c(rest) != crc {
            return Err(HeaderError::Damaged("the checksum of the header does not hold"));
        }
        let mut fields = Fields::of(rest);
        Ok(Self {
            base: fields.u64()?,
            size: fields.u64()?,
            salt: fields.u64()?,
            incarnation: Incarnation(fields.u64()?),
            created_ms: fields.u64()?,
        })
    }
}

/// An open segment.
pub(super) struct Segment {
    pub(super) header: SegmentHeader,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
}

impl Segment {
    /// Returns the offset of the log behind the segment.
    pub(super) fn end(&self) -> u64 {
        self.header.base + self.header.size
    }

    /// Returns the place in the file of an offset of the log.
    pub(super) fn place(&self, offset: u64) -> u64 {
        offset - self.header.base
    }

    /// Makes a segment of zeros. It has its name only once all of it is on disk; what can not be finished is removed.
    pub(super) fn create(disk: &dyn Disk, dir: &Path, header: SegmentHeader) -> io::Result<Self> {
        let unfinished = dir.join(UNFINISHED);
        Self::make(disk, dir, header, &unfinished).inspect_err(|_| {
            // A full disk gets its room back. What stays is removed when the log is opened.
            let _ = disk.remove(&unfinished);
        })
    }

    fn make(disk: &dyn Disk, dir: &Path, header: SegmentHeader, unfinished: &Path) -> io::Result<Self> {
        let path = dir.join(file_name(header.base));
        let file = disk.create(unfinished)?;
        write_zeros(&*file, 0, header.size)?;
        file.write_at(&header.encode(), 0)?;
        file.sync_data()?;
        disk.rename(unfinished, &path)?;
        disk.sync_dir(dir)?;
        Ok(Self { header, path, file })
    }
}

/// The name of a segment that is being made.
pub(super) const UNFINISHED: &str = "next.unfinished";

/// Writes zeros from one place of a file up to another.
pub(super) fn write_zeros(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS.min(to.saturating_sub(from) as usize)];
    let mut at = from;
    while at < to {
        let len = zeros.len().min((to - at) as usize);
        file.write_at(&zeros[..len], at)?;
        at += len as u64;
    }
    Ok(())
}

pub(super) fn file_name(base: u64) -> String {
    format!("{base:016x}.seg")
}

/// Returns the base that a file's name says, if it is the name of a segment.
pub(super) fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let base = u64::from_str_radix(digits, 16).ok()?;
    (file_name(base) == name).then_some(base)
}

/// The segments of a log. Readers look them up; only the flusher adds one.
#[derive(Default)]
pub(super) struct Segments(RwLock<BTreeMap<u64, Arc<Segment>>>);

impl Segments {
    pub(super) fn insert(&self, segment: Arc<Segment>) {
        self.0.write().insert(segment.header.base, segment);
    }

    /// Returns the segment that holds an offset of the log.
    pub(super) fn at(&self, offset: u64) -> Option<Arc<Segment>> {
        let (_, segment) = self.0.read().range(..=offset).next_back().map(|(b, s)| (*b, s.clone()))?;
        (offset < segment.end()).then_some(segment)
    }

    /// Returns all segments but some of the newest.
    pub(super) fn all_but(&self, newest: usize) -> Vec<Arc<Segment>> {
        let segments = self.0.read();
        segments.values().take(segments.len().saturating_sub(newest)).cloned().collect()
    }

    /// Forgets the segments before one.
    pub(super) fn remove_before(&self, base: u64) {
        self.0.write().retain(|at, _| *at >= base);
    }

    /// Returns the base of the oldest segment.
    pub(super) fn oldest(&self) -> u64 {
        self.0.read().keys().next().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_survives_its_bytes(base: u64, size: u64, salt: u64, inc: u64, created_ms: u64) {
            let header = SegmentHeader { base, size, salt, incarnation: Incarnation(inc), created_ms };
            prop_assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
            prop_assert_eq!(base_of(&file_name(base)), Some(base));
        }

        #[test]
        fn no_header_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = SegmentHeader::decode(&bytes);
            let _ = SegmentHeader::decode(&[&MAGIC[..], &FORMAT.to_le_bytes(), &bytes].concat());
        }
    }

    #[test]
    fn a_newer_format_is_told_apart_from_damage() {
        let header =
            SegmentHeader { base: 0, size: 4096, salt: 1, incarnation: Incarnation(2), created_ms: 3 };
        let mut bytes = header.encode();
        bytes[8] = 2;
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Newer(2)));
        bytes[8] = 1;
        bytes[20] ^= 1;
        assert!(matches!(SegmentHeader::decode(&bytes), Err(HeaderError::Damaged(_))));
    }
}
