//! Segments from which records were taken out.
//!
//! What is left keeps its place, so that every offset stays true. Where something was, a record of kind *dropped* says
//! how far, and behind it the file has a hole that takes no room on the disk.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::file::Disk;
use super::frame::{FRAME, Found, Frame, Kind};
use super::index::Dropped;
use super::segment::{HEADER, Segment};
use super::window::Window;

/// The name of a segment that is being rewritten.
pub(super) const REWRITE: &str = "rewrite.unfinished";

/// What a payload that stays becomes: as long as it was.
pub(super) type Change<'a> = &'a dyn for<'p> Fn(&'p [u8]) -> Cow<'p, [u8]>;

/// How much is read at once.
const CHUNK: usize = 1 << 20;

/// Records that were taken out, one behind the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    /// The record that says so: at the place of the first, with the position of the last.
    pub(super) frame: Frame,
    /// Where the next record is.
    pub(super) to: u64,
}

impl Hole {
    pub(super) fn range(&self) -> Dropped {
        self.frame.offset..self.to
    }
}

/// Adds a record to the holes, which rise.
pub(super) fn take_out(holes: &mut Vec<Hole>, frame: &Frame, to: u64) {
    match holes.last_mut().filter(|hole| hole.to == frame.offset) {
        Some(hole) => (hole.frame.position, hole.to) = (frame.position, to),
        None => holes.push(Hole { frame: Frame { kind: Kind::Dropped, ..*frame }, to }),
    }
}

/// Goes through the records of a sealed segment.
pub(super) fn for_each_record(
    segment: &Arc<Segment>,
    mut each: impl FnMut(&Frame, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut window = Window::over(segment.clone(), CHUNK);
    let mut at = segment.header.base + HEADER;
    loop {
        let Found::Record(frame, payload) = window.find(at)? else {
            let place = segment.place(at);
            return Err(io::Error::other(format!(
                "`{}` has no record at byte {place}",
                segment.path.display()
            )));
        };
        each(&frame, payload)?;
        if frame.kind == Kind::Seal {
            return Ok(());
        }
        at = frame.next(payload);
    }
}

/// Writes a sealed segment anew without what is in the holes, and puts it in the old one's place. What stays may be
/// changed, but not in its length.
///
/// A crash leaves the old one or the new one.
pub(super) fn rewrite(
    disk: &dyn Disk,
    dir: &Path,
    segment: &Arc<Segment>,
    holes: &[Hole],
    change: Change<'_>,
) -> io::Result<Segment> {
    let unfinished = dir.join(REWRITE);
    let written = write_anew(disk, &unfinished, segment, holes, change).and_then(|file| {
        disk.rename(&unfinished, &segment.path)?;
        disk.sync_dir(dir)?;
        Ok(Segment { header: segment.header, path: segment.path.clone(), file })
    });
    written.inspect_err(|_| {
        // What stays is removed when the log is opened.
        let _ = disk.remove(&unfinished);
    })
}

fn write_anew(
    disk: &dyn Disk,
    path: &Path,
    segment: &Arc<Segment>,
    holes: &[Hole],
    change: Change<'_>,
) -> io::Result<Arc<dyn super::file::DiskFile>> {
    let file = disk.create(path)?;
    file.set_len(segment.header.size)?;
    file.write_at(&segment.header.encode(), 0)?;
    let mut bytes = Vec::new();
    let mut holes = holes.iter().peekable();
    for_each_record(segment, |frame, payload| {
        if let Some(hole) = holes.next_if(|hole| hole.to <= frame.offset) {
            debug_assert!(hole.to > hole.frame.offset);
        }
        bytes.clear();
        match holes.peek().filter(|hole| hole.range().contains(&frame.offset)) {
            Some(hole) if hole.frame.offset == frame.offset => {
                hole.frame.write(&hole.to.to_le_bytes(), segment.header.salt, &mut bytes);
            }
            Some(_) => return Ok(()),
            None => frame.write(&change(payload), segment.header.salt, &mut bytes),
        }
        file.write_at(&bytes, segment.place(frame.offset))
    })?;
    debug_assert!(bytes.len() >= FRAME);
    file.sync_data()?;
    Ok(file)
}
