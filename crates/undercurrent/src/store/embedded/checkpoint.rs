//! Checkpoints: what reading the log up to some place says, kept beside it, so that opening reads only what follows.
//!
//! A checkpoint is worth nothing by itself. The log alone says everything; a checkpoint that is missing, damaged, of
//! another version or about segments that are not there any more is passed over, and the log is read from its beginning.
//! One is made by the code that opening uses: it takes the last one in and goes on through the segments that were sealed
//! since. So nothing that is in use is looked at, and no second way of knowing the log can disagree with the first.
//!
//! ```text
//!  0  magic `ucheckpt` · format version u32 · crc32c u32 of everything from 16 on
//! 16  incarnation u64 · base u64 and salt u64 of the segment that follows · then the parts, each in its own module
//! ```

use std::cmp::Ordering;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::codec::{Fields, Malformed, Out};
use super::file::Disk;
use super::log::now_ms;
use super::replay::Replay;
use super::rewrite::for_each_record;
use super::segment::Segment;

/// The name of the checkpoint's file.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The name of one that is being made.
pub(super) const UNFINISHED: &str = "checkpoint.unfinished";

const MAGIC: &[u8; 8] = b"ucheckpt";
const FORMAT: u32 = 2;
const HEAD: usize = 16;
/// How much is written at once.
const CHUNK: usize = 1 << 20;

/// What the log says up to a segment.
pub(super) struct Checkpoint {
    pub(super) replay: Replay,
    /// The place among the segments of the first that is not in it.
    pub(super) next: usize,
    /// How many bytes it takes.
    pub(super) len: u64,
}

/// Up to where the checkpoint goes, and how many bytes it has; zeros where there is none.
#[derive(Clone, Copy, Default)]
pub(super) struct Reach {
    pub(super) to: u64,
    pub(super) len: u64,
}

impl Checkpoint {
    /// Reads the checkpoint of a log with these segments, oldest first; none if there is none that fits them.
    pub(super) fn load(disk: &dyn Disk, dir: &Path, all: &[Arc<Segment>]) -> Option<Self> {
        examine(disk, dir, all).unwrap_or_else(|reason| {
            tracing::warn!(%reason, "the checkpoint can not be used: the whole log is read");
            None
        })
    }

    /// Begins before the first record.
    pub(super) fn empty(all: &[Arc<Segment>]) -> Self {
        let begins_at = all.first().map_or(0, |first| first.header.base);
        Self { replay: Replay::new(now_ms(), begins_at, history_from(all)), next: 0, len: 0 }
    }

    /// Says how far it goes.
    pub(super) fn reach(&self, all: &[Arc<Segment>]) -> Reach {
        Reach { to: all.get(self.next).map_or(0, |next| next.header.base), len: self.len }
    }

    /// Goes on through sealed segments; all of them but the last are.
    pub(super) fn advance(&mut self, all: &[Arc<Segment>]) -> io::Result<()> {
        let sealed = all.len().saturating_sub(1);
        for segment in all.get(self.next..sealed).unwrap_or_default() {
            for_each_record(segment, |frame, payload| {
                self.replay.apply(frame, payload).map_err(io::Error::other)
            })?;
        }
        self.next = self.next.max(sealed);
        Ok(())
    }

    /// Writes the checkpoint in place of the last one. A crash leaves one or the other.
    pub(super) fn save(&mut self, disk: &dyn Disk, dir: &Path, all: &[Arc<Segment>]) -> io::Result<()> {
        let following = all.get(self.next).ok_or_else(|| io::Error::other("no segment follows"))?;
        let bytes = self.encode(following);
        let unfinished = dir.join(UNFINISHED);
        let written = write(disk, &unfinished, &bytes)
            .and_then(|()| disk.rename(&unfinished, &dir.join(CHECKPOINT)))
            .and_then(|()| disk.sync_dir(dir));
        self.len = bytes.len() as u64;
        written.inspect_err(|_| {
            // What stays is removed when the log is opened.
            let _ = disk.remove(&unfinished);
        })
    }

    fn encode(&self, following: &Segment) -> Vec<u8> {
        let mut out = Out::default();
        out.raw(MAGIC);
        out.raw(&FORMAT.to_le_bytes());
        out.raw(&[0; 4]);
        let header = &following.header;
        out.u64s(&[header.incarnation.0, header.base, header.salt]);
        self.replay.encode(&mut out);
        let mut bytes = out.finish();
        let crc = crc32c::crc32c(&bytes[HEAD..]);
        bytes[HEAD - 4..HEAD].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// Why a checkpoint is passed over. The log alone says everything.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it can not be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is of format {0}, which a newer version of Undercurrent wrote")]
    Newer(u32),
    #[error("it is of format {0}, which an older version of Undercurrent wrote")]
    Older(u32),
    #[error("it is of another log")]
    Other,
    #[error("it is damaged")]
    Damaged,
}

impl From<Malformed> for Unusable {
    fn from(_: Malformed) -> Self {
        Self::Damaged
    }
}

/// Reads the checkpoint of a log with these segments, oldest first; none if there is none.
pub(super) fn examine(
    disk: &dyn Disk,
    dir: &Path,
    all: &[Arc<Segment>],
) -> Result<Option<Checkpoint>, Unusable> {
    if !is_there(disk, dir)? {
        return Ok(None);
    }
    decode(&read(disk, &dir.join(CHECKPOINT))?, all).map(Some)
}

/// Removes the checkpoint, if there is one.
pub(super) fn remove(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if is_there(disk, dir)? {
        disk.remove(&dir.join(CHECKPOINT))?;
        disk.sync_dir(dir)?;
    }
    Ok(())
}

fn is_there(disk: &dyn Disk, dir: &Path) -> io::Result<bool> {
    Ok(disk.list(dir)?.iter().any(|name| name == CHECKPOINT))
}

/// Returns from where on invalidations are looked up: the segment that is written, and those before it.
pub(super) fn history_from(all: &[Arc<Segment>]) -> u64 {
    all.get(all.len().saturating_sub(3)).map_or(0, |segment| segment.header.base)
}

fn decode(bytes: &[u8], all: &[Arc<Segment>]) -> Result<Checkpoint, Unusable> {
    let mut fields = Fields::of(bytes);
    let (magic, format, crc) = (fields.take(8)?, fields.u32()?, fields.u32()?);
    if magic != MAGIC || format == 0 {
        return Err(Unusable::Damaged);
    }
    match format.cmp(&FORMAT) {
        Ordering::Greater => return Err(Unusable::Newer(format)),
        Ordering::Less => return Err(Unusable::Older(format)),
        Ordering::Equal => {}
    }
    if crc32c::crc32c(&bytes[HEAD..]) != crc {
        return Err(Unusable::Damaged);
    }
    let (incarnation, base, salt) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let next = all.binary_search_by_key(&base, |segment| segment.header.base).map_err(|_| Unusable::Other)?;
    let header = &all[next].header;
    if (header.incarnation.0, header.salt) != (incarnation, salt) {
        return Err(Unusable::Other);
    }
    let replay = Replay::decode(&mut fields, now_ms(), all[0].header.base, history_from(all))?;
    Ok(Checkpoint { replay, next, len: bytes.len() as u64 })
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; file.len()? as usize];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = disk.create(path)?;
    for (i, chunk) in bytes.chunks(CHUNK).enumerate() {
        file.write_at(chunk, (i * CHUNK) as u64)?;
    }
    file.sync_data()
}
