//! Finding the end of a log: what a crash tore is cut, what is damaged is reported.
//!
//! A bad record is the torn end of the log if nothing shows that it was once on disk. It is damage if a record behind
//! it was written when everything up to a later place was known to be on disk, or if a later segment has records:
//! nothing is written to a segment before all of the one before it is on disk.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use undercurrent_types::Incarnation;

use super::checkpoint::{self, Checkpoint, Reach};
use super::error::OpenStoreError;
use super::file::Disk;
use super::frame::{FRAME, Found, Frame, Kind};
use super::log::{LogEnd, Next, new_header, now_ms};
use super::replay::Replay;
use super::rewrite::REWRITE;
use super::segment::{
    HEADER, HeaderError, Segment, SegmentHeader, Segments, UNFINISHED, base_of, file_name, write_zeros,
};
use super::window::Window;

/// How much of the log is read at once.
const CHUNK: usize = 1 << 20;
/// How much is looked at together when the rest of a segment is searched.
const BLOCK: usize = 4096;

/// A log that has been read to its end.
pub(super) struct Recovered {
    pub(super) segments: Arc<Segments>,
    pub(super) incarnation: Incarnation,
    pub(super) end: LogEnd,
    pub(super) replay: Replay,
    pub(super) checkpoint: Reach,
}

/// The sizes of new segments.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) first: u64,
    pub(super) others: u64,
}

/// Reads a log to its end, cuts what is torn there, and makes all that was read last.
pub(super) fn recover(disk: &dyn Disk, dir: &Path, sizes: Sizes) -> Result<Recovered, OpenStoreError> {
    let names = disk.list(dir).map_err(OpenStoreError::io(dir, "listed"))?;
    for unfinished in names.iter().filter(|name| is_unfinished(name)) {
        let path = dir.join(unfinished);
        disk.remove(&path).map_err(OpenStoreError::io(&path, "removed"))?;
    }
    // The last process may have died, or failed, before it made the names last that are found now.
    disk.sync_dir(dir).map_err(OpenStoreError::io(dir, "synced"))?;
    let all = open_segments(disk, dir, &names)?;
    if all.is_empty() {
        return begin(disk, dir, sizes.first);
    }
    let loaded = Checkpoint::load(disk, dir, &all);
    let checkpoint = loaded.as_ref().map(|loaded| loaded.reach(&all)).unwrap_or_default();
    let Checkpoint { mut replay, next: first, .. } = loaded.unwrap_or_else(|| Checkpoint::empty(&all));
    check_whole(&all[..=first])?;
    let (last, stop) = read_all(&all[first..], &mut replay)?;
    let last = first + last;
    check_begin(&all[0], &replay)?;
    let segment = &all[last];
    mend(segment, &stop).map_err(OpenStoreError::io(&segment.path, "mended"))?;
    let segments = Arc::new(Segments::default());
    all[..=last].iter().for_each(|segment| segments.insert(segment.clone()));
    let next = keep_unused(disk, segment, &all[last + 1..])?;
    let incarnation = segment.header.incarnation;
    let start = replay.start + 1;
    let end = match stop {
        Stop::Ended { at, .. } => {
            let next = next.map_or(Next::Unprepared, Next::Ready);
            LogEnd { segment: segment.clone(), next, at, start }
        }
        Stop::Sealed(_) => {
            let next = next.map_or_else(
                || Segment::create(disk, dir, new_header(segment.end(), sizes.others, incarnation, now_ms())),
                Ok,
            );
            let next = next.map_err(OpenStoreError::io(dir, "given its next segment"))?;
            let next = Arc::new(next);
            segments.insert(next.clone());
            let at = next.header.base + HEADER;
            LogEnd { segment: next, next: Next::Unprepared, at, start }
        }
    };
    Ok(Recovered { segments, incarnation, end, replay, checkpoint })
}

/// Returns the segment that was made ahead, if there is one, and removes what can not be used.
fn keep_unused(
    disk: &dyn Disk,
    last: &Segment,
    unused: &[Arc<Segment>],
) -> Result<Option<Segment>, OpenStoreError> {
    let mut kept = None;
    for segment in unused {
        if segment.header.base == last.end() {
            kept = Some(open_segment(disk, &segment.path, segment.header.base)?);
        } else {
            disk.remove(&segment.path).map_err(OpenStoreError::io(&segment.path, "removed"))?;
        }
    }
    Ok(kept)
}

/// Begins a log in an empty directory.
fn begin(disk: &dyn Disk, dir: &Path, size: u64) -> Result<Recovered, OpenStoreError> {
    let incarnation = Incarnation(super::log::random());
    let header = new_header(0, size, incarnation, now_ms());
    let segment =
        Segment::create(disk, dir, header).map_err(OpenStoreError::io(dir, "given its first segment"))?;
    let segment = Arc::new(segment);
    let segments = Arc::new(Segments::default());
    segments.insert(segment.clone());
    let end = LogEnd { segment, next: Next::Unprepared, at: HEADER, start: 1 };
    let (replay, checkpoint) = (Replay::new(now_ms(), 0, 0), Reach::default());
    Ok(Recovered { segments, incarnation, end, replay, checkpoint })
}

/// Says whether a file of this name was being made, and is worth nothing now.
pub(super) fn is_unfinished(name: &str) -> bool {
    [UNFINISHED, REWRITE, checkpoint::UNFINISHED].contains(&name)
}

/// Opens the segments among the files of a directory, oldest first.
pub(super) fn open_segments(
    disk: &dyn Disk,
    dir: &Path,
    names: &[String],
) -> Result<Vec<Arc<Segment>>, OpenStoreError> {
    let mut bases: Vec<_> = names.iter().filter_map(|name| base_of(name)).collect();
    bases.sort_unstable();
    let open = |base| open_segment(disk, &dir.join(file_name(base)), base).map(Arc::new);
    bases.into_iter().map(open).collect()
}

/// Refuses a log whose beginning is lost.
pub(super) fn check_begin(first: &Segment, replay: &Replay) -> Result<(), OpenStoreError> {
    let base = first.header.base;
    if base <= replay.from {
        return Ok(());
    }
    let reason = format!("the log begins here, and what it needs begins with `{}`", file_name(replay.from));
    Err(corrupt(first, base, reason))
}

/// Refuses a log with a segment missing among those that are not read.
fn check_whole(all: &[Arc<Segment>]) -> Result<(), OpenStoreError> {
    let broken = all.windows(2).find(|pair| pair[0].end() != pair[1].header.base);
    broken.map_or(Ok(()), |pair| Err(missing_after(&pair[0], pair[0].end())))
}

fn missing_after(segment: &Segment, at: u64) -> OpenStoreError {
    let reason = format!("the segment `{}` that follows is missing", file_name(segment.end()));
    corrupt(segment, at, reason)
}

pub(super) fn open_segment(disk: &dyn Disk, path: &Path, base: u64) -> Result<Segment, OpenStoreError> {
    let file = disk.open(path).map_err(OpenStoreError::io(path, "opened"))?;
    let mut bytes = [0; HEADER as usize];
    file.read_at(&mut bytes, 0).map_err(OpenStoreError::io(path, "read"))?;
    let damaged =
        |reason: &str| OpenStoreError::Corrupt { path: path.to_owned(), at: 0, reason: reason.to_owned() };
    let header = match SegmentHeader::decode(&bytes) {
        Ok(header) => header,
        Err(HeaderError::Newer(version)) => {
            let what = format!("format {version}");
            return Err(OpenStoreError::Newer { path: path.to_owned(), what });
        }
        Err(HeaderError::Damaged(reason)) => return Err(damaged(reason)),
    };
    if header.base != base || header.size < HEADER || base.checked_add(header.size).is_none() {
        return Err(damaged("the header belongs to another file"));
    }
    Ok(Segment { header, path: path.to_owned(), file })
}

/// Reads all records, and returns in which segment and how the log ends.
pub(super) fn read_all(all: &[Arc<Segment>], replay: &mut Replay) -> Result<(usize, Stop), OpenStoreError> {
    for (i, segment) in all.iter().enumerate() {
        let later = &all[i + 1..];
        let mut stop = read_segment(segment, replay)?;
        match (&mut stop, later.first()) {
            (Stop::Ended { at, reason, dirty_to }, _) => {
                *dirty_to = check_torn(segment, later, *at, reason)?;
                return Ok((i, stop));
            }
            (Stop::Sealed(_), None) => return Ok((i, stop)),
            (Stop::Sealed(at), Some(next)) if next.header.base != segment.end() => {
                return Err(missing_after(segment, *at));
            }
            (Stop::Sealed(_), Some(next)) if !is_used(next)? => return Ok((i, stop)),
            (Stop::Sealed(_), Some(_)) => {}
        }
    }
    unreachable!("there is a segment, and the last one returns")
}

/// Where the records of a segment stop.
pub(super) enum Stop {
    /// Behind its seal.
    Sealed(u64),
    /// At something that is no record; up to `dirty_to` the rest is not all zeros.
    Ended { at: u64, reason: &'static str, dirty_to: u64 },
}

fn read_segment(segment: &Arc<Segment>, replay: &mut Replay) -> Result<Stop, OpenStoreError> {
    let mut window = Window::over(segment.clone(), CHUNK);
    let mut at = segment.header.base + HEADER;
    while at + FRAME as u64 <= segment.end() {
        let found = window.find(at).map_err(OpenStoreError::io(&segment.path, "read"))?;
        let (frame, next) = match found {
            Found::Record(frame, payload) => {
                replay.apply(&frame, payload).map_err(|reason| corrupt(segment, at, reason))?;
                (frame, frame.next(payload))
            }
            Found::Unknown(kind) => {
                let what = format!("a format with records of kind {kind}");
                return Err(OpenStoreError::Newer { path: segment.path.clone(), what });
            }
            Found::Nothing => return Ok(ended(at, "there are only zeros")),
            Found::Bad(reason) => return Ok(ended(at, reason)),
            Found::Short(_) => return Ok(ended(at, "the record is cut")),
        };
        at = next;
        if frame.kind == Kind::Seal {
            return Ok(Stop::Sealed(at));
        }
    }
    Ok(ended(at, "the segment ends without its seal"))
}

/// Says whether something was written behind the header of a segment.
pub(super) fn is_used(segment: &Segment) -> Result<bool, OpenStoreError> {
    let mut head = [0; FRAME];
    segment.file.read_at(&mut head, HEADER).map_err(OpenStoreError::io(&segment.path, "read"))?;
    Ok(head.iter().any(|&b| b != 0))
}

fn ended(at: u64, reason: &'static str) -> Stop {
    Stop::Ended { at, reason, dirty_to: at }
}

/// Refuses to take for a torn end what was once on disk, and returns up to where the rest is not zeros.
fn check_torn(
    segment: &Arc<Segment>,
    later: &[Arc<Segment>],
    at: u64,
    reason: &str,
) -> Result<u64, OpenStoreError> {
    for next in later {
        if is_used(next)? {
            let reason = format!("{reason}, and the log goes on in `{}`", next.path.display());
            return Err(corrupt(segment, at, reason));
        }
    }
    let rest = search_rest(segment, at).map_err(OpenStoreError::io(&segment.path, "read"))?;
    match rest.witness {
        Some(frame) => {
            let place = segment.place(frame.offset);
            let reason = format!("{reason}, and the record at byte {place} says that it was on disk");
            Err(corrupt(segment, at, reason))
        }
        None => Ok(rest.dirty_to),
    }
}

/// What lies behind the end of a log.
struct Rest {
    /// A record that was written when the end was known to be on disk.
    witness: Option<Frame>,
    dirty_to: u64,
}

/// Looks at everything behind the end of a log. Almost always it is zeros, which are passed over quickly.
fn search_rest(segment: &Arc<Segment>, at: u64) -> io::Result<Rest> {
    let mut rest = Rest { witness: None, dirty_to: at };
    let mut window = Window::over(segment.clone(), CHUNK);
    let mut chunk = vec![0; CHUNK];
    let mut from = at;
    while from < segment.end() {
        let len = CHUNK.min((segment.end() - from) as usize);
        let read = segment.file.read_at(&mut chunk[..len], segment.place(from))?;
        for (i, block) in chunk[..read].chunks(BLOCK).enumerate() {
            if block == &[0; BLOCK][..block.len()] {
                continue;
            }
            let begin = from + (i * BLOCK) as u64;
            rest.dirty_to = begin + block.len() as u64;
            rest.witness = find_witness(&mut window, begin..rest.dirty_to, at)?;
            if rest.witness.is_some() {
                return Ok(rest);
            }
        }
        from += len as u64;
    }
    Ok(rest)
}

fn find_witness(window: &mut Window, block: Range<u64>, at: u64) -> io::Result<Option<Frame>> {
    for offset in block.step_by(8) {
        if let Found::Record(frame, _) = window.find(offset)?
            && frame.synced > at
        {
            return Ok(Some(frame));
        }
    }
    Ok(None)
}

/// Makes the end of the log what the rest of a new segment is, zeros, and makes all that was read last: it may have
/// been written and not synced, and is about to be shown.
fn mend(segment: &Segment, stop: &Stop) -> io::Result<()> {
    if let Stop::Ended { at, dirty_to, .. } = stop {
        write_zeros(&*segment.file, segment.place(*at), segment.place(*dirty_to))?;
        let (len, size) = (segment.file.len()?, segment.header.size);
        write_zeros(&*segment.file, len.max(segment.place(*at)), size.max(len))?;
    }
    segment.file.sync_data()
}

fn corrupt(segment: &Segment, at: u64, reason: impl Into<String>) -> OpenStoreError {
    OpenStoreError::Corrupt { path: segment.path.clone(), at: segment.place(at), reason: reason.into() }
}
