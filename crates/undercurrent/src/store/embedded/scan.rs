//! Reading the log in its own order, all streams together.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::Mutex;
use undercurrent_types::{Cursor, Position};

use super::codec::{Fields, Malformed, Out};
use super::commit::CommitView;
use super::frame::{Found, Frame, Kind};
use super::index::{Dropped, range_of};
use super::reader::{CHUNK, window_at};
use super::segment::HEADER;
use super::shared::Shared;
use super::window::Window;
use crate::store::{LogCommit, LogPage, ReadLogError, StoreError};

/// About how many bytes a page of the log has at most.
const PAGE: usize = 1 << 20;

/// How much log lies between two places that are known.
const EVERY: u64 = 64 << 10;

/// Where commits lie, by position; sparse, 16 bytes for each 64 KiB of log.
#[derive(Default)]
pub(super) struct Places {
    index: Mutex<Vec<(Position, u64)>>,
    /// Where the last page ended, since readers at the tail go on there.
    last: Mutex<(Position, u64)>,
}

impl Places {
    /// Notes where a record lies.
    pub(super) fn note(&self, at: Position, offset: u64) {
        let mut index = self.index.lock();
        if index.last().is_none_or(|(_, last)| offset - last >= EVERY) {
            index.push((at, offset));
        }
    }

    /// Returns all of them.
    pub(super) fn all(&self) -> Vec<(Position, u64)> {
        self.index.lock().clone()
    }

    /// Forgets the places before an offset.
    pub(super) fn cut(&self, base: u64) {
        self.index.lock().retain(|(_, offset)| *offset >= base);
        *self.last.lock() = (Position(0), 0);
    }

    /// Has places in dropped parts of the log be where it is said that they are dropped.
    pub(super) fn drop_within(&self, dropped: &[Dropped]) {
        for (_, offset) in self.index.lock().iter_mut() {
            *offset = range_of(dropped, *offset).map_or(*offset, |range| range.start);
        }
        *self.last.lock() = (Position(0), 0);
    }

    pub(super) fn encode(&self, out: &mut Out) {
        let index = self.index.lock();
        out.u64(index.len() as u64);
        for (at, offset) in index.iter() {
            out.u64s(&[at.0, *offset]);
        }
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let places = Self::default();
        for _ in 0..fields.u64()? {
            places.index.lock().push((Position(fields.u64()?), fields.u64()?));
        }
        Ok(places)
    }

    /// Returns a place with nothing after `after` before it, where one is known.
    fn before(&self, after: Position) -> Option<u64> {
        let index = self.index.lock();
        let behind = index.partition_point(|(at, _)| *at <= after);
        let indexed = behind.checked_sub(1).map(|i| index[i].1);
        drop(index);
        let last = *self.last.lock();
        indexed.max((last.0 <= after && last.1 > 0).then_some(last.1))
    }
}

impl Shared {
    /// Returns the position up to which everything is visible.
    pub(super) fn visible(&self) -> Position {
        Position((*self.settled_tx.borrow()).min(self.horizon.applied().0))
    }

    /// Reads visible commits after a position. For threads that may wait for the disk.
    pub(super) fn read_log(&self, after: Option<Position>, limit: usize) -> Result<LogPage, ReadLogError> {
        // First what is visible, then what is written: everything visible is in the log.
        let visible = self.visible();
        let written = self.written.load(Ordering::Acquire);
        let oldest = self.segments.oldest();
        let from = after.and_then(|after| self.places.before(after)).filter(|at| *at > oldest);
        let mut at = from.unwrap_or(oldest + HEADER);
        let mut scan =
            Scan { after, limit, visible, bytes: 0, commits: Vec::new(), next: after.unwrap_or_default() };
        let mut is_first = from.is_none() && oldest > 0;
        let mut window: Option<Window> = None;
        let mut at_tail = true;
        while at < written {
            let window = match window.take().filter(|window| at < window.segment().end()) {
                Some(kept) => window.insert(kept),
                None => window.insert(window_at(&self.segments, at, CHUNK)?),
            };
            let segment_end = window.segment().end();
            let (frame, payload) = match window.find(at).map_err(|e| StoreError::Io(e.to_string()))? {
                Found::Record(frame, payload) => (frame, payload),
                // What could not be written was cut off.
                Found::Nothing if self.failure.get().is_some() => break,
                _ => return Err(StoreError::Io(format!("the log is damaged at offset {at}")).into()),
            };
            if std::mem::take(&mut is_first) && frame.kind != Kind::Dropped {
                check_kept(after, &frame)?;
            }
            if frame.kind == Kind::Dropped && scan.misses(&frame)? {
                at_tail = false;
                break;
            }
            if scan.is_over(&frame, &mut at_tail) {
                break;
            }
            scan.take(self, &frame, payload)?;
            at = if frame.kind == Kind::Seal { segment_end + HEADER } else { frame.next(payload) };
        }
        let next = if at_tail { scan.next.max(visible) } else { scan.next };
        *self.places.last.lock() = (scan.next, at);
        Ok(LogPage { commits: scan.commits, next, at_tail })
    }
}

/// A page while it is read.
struct Scan {
    after: Option<Position>,
    limit: usize,
    visible: Position,
    bytes: usize,
    commits: Vec<LogCommit>,
    next: Position,
}

impl Scan {
    /// Says whether the page ends before a record: at one that is not visible, or because it is full.
    fn is_over(&self, frame: &Frame, at_tail: &mut bool) -> bool {
        let is_full = self.commits.len() >= self.limit || self.bytes >= PAGE;
        *at_tail = frame.position > self.visible.0 || !is_full;
        frame.position > self.visible.0 || is_full
    }

    /// Says whether the page ends before records that were dropped; a reader who stands right there is told that he can
    /// not go on.
    fn misses(&self, dropped: &Frame) -> Result<bool, ReadLogError> {
        let oldest = Position(dropped.position);
        match self.after {
            _ if !self.commits.is_empty() => Ok(true),
            Some(given) if given < oldest => Err(ReadLogError::Gone { given, oldest }),
            _ => Ok(false),
        }
    }

    fn take(&mut self, shared: &Shared, frame: &Frame, payload: &[u8]) -> Result<(), StoreError> {
        if !frame.kind.is_commit() || self.after.is_some_and(|after| frame.position <= after.0) {
            return Ok(());
        }
        self.bytes += payload.len();
        self.next = Position(frame.position);
        self.commits.push(log_commit(shared, frame, payload)?);
        Ok(())
    }
}

/// Refuses to pass over what was cut off the beginning of the log.
fn check_kept(after: Option<Position>, first: &Frame) -> Result<(), ReadLogError> {
    let oldest = Position(first.position.saturating_sub(1));
    match after {
        Some(given) if given < oldest => Err(ReadLogError::Gone { given, oldest }),
        _ => Ok(()),
    }
}

fn log_commit(shared: &Shared, frame: &Frame, payload: &[u8]) -> Result<LogCommit, StoreError> {
    let unreadable = |_| StoreError::Io(format!("the commit at position {} can not be read", frame.position));
    let payload = Bytes::copy_from_slice(payload);
    let view = CommitView::parse(&payload).map_err(unreadable)?;
    let token = shared.token(Position(frame.position));
    let mut events = Vec::new();
    for event in view.events() {
        let event = event.map_err(unreadable)?;
        // A stream that was deleted has no events any more.
        let Some(stream) = event.stream.parse().ok().and_then(|name| shared.streams.get(&name)) else {
            continue;
        };
        if event.cursor.epoch < stream.born {
            continue;
        }
        // An event of an earlier epoch is read on from in this one.
        let cursor = Cursor { epoch: stream.epoch, seq: event.cursor.seq };
        events.push(event.record(&payload, stream.name.clone(), cursor, token));
    }
    let names = view.names().filter_map(|name| Some((name.text.parse().ok()?, name.event)));
    let (cause, names) = (view.cause.to_owned(), names.collect());
    Ok(LogCommit { token, time_ms: frame.time_ms, cause, names, events })
}
