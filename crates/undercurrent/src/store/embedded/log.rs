//! The end of the log, where records are placed, written and made last. Only the flusher has it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;

use undercurrent_types::{Incarnation, Position};

use super::file::Disk;
use super::frame::{FRAME, Frame, Kind};
use super::segment::{HEADER, Segment, SegmentHeader, Segments};

/// What is not written at once is kept for reuse up to this size.
const SPARE: usize = 1 << 20;

/// The writing end of the log.
pub(super) struct Log {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) segments: Arc<Segments>,
    pub(super) segment_bytes: u64,
    segment: Arc<Segment>,
    next: Next,
    /// How often the log had been opened, this time included.
    start: u64,
    /// Where the next record goes.
    at: u64,
    /// Everything before it is on disk.
    synced: u64,
    /// Records that are placed and not written.
    buf: Vec<u8>,
}

/// The segment after the current one.
pub(super) enum Next {
    Unprepared,
    Ready(Segment),
    /// A thread makes it since the current segment is half full; it ends when the segment is made.
    Preparing(JoinHandle<io::Result<Segment>>),
}

/// Where a log goes on.
pub(super) struct LogEnd {
    pub(super) segment: Arc<Segment>,
    pub(super) next: Next,
    pub(super) at: u64,
    pub(super) start: u64,
}

impl Log {
    /// Goes on at the end of a log, all of which is on disk.
    pub(super) fn at_end(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        segments: Arc<Segments>,
        segment_bytes: u64,
        end: LogEnd,
    ) -> Self {
        let LogEnd { segment, next, at, start } = end;
        let buf = Vec::new();
        Self { disk, dir, segments, segment_bytes, segment, next, start, at, synced: at, buf }
    }

    /// Returns where the next record goes.
    pub(super) fn end(&self) -> u64 {
        self.at
    }

    /// Returns the base of the segment that is written.
    pub(super) fn segment_base(&self) -> u64 {
        self.segment.header.base
    }

    /// Goes on in the next segment now.
    pub(super) fn end_segment(&mut self, position: Position) -> io::Result<()> {
        self.go_on_in_next_segment(position, now_ms(), HEADER)
    }

    /// Places a record and returns its offset. Going on in the next segment writes and syncs what came before.
    pub(super) fn place(
        &mut self,
        kind: Kind,
        position: Position,
        time_ms: u64,
        payload: &[u8],
    ) -> io::Result<u64> {
        let need = (FRAME + payload.len()) as u64;
        // Room for the seal stays free.
        if self.at + need + FRAME as u64 > self.segment.end() {
            self.go_on_in_next_segment(position, time_ms, need)?;
        }
        Ok(self.put(kind, position, time_ms, payload))
    }

    fn put(&mut self, kind: Kind, position: Position, time_ms: u64, payload: &[u8]) -> u64 {
        let frame = Frame {
            kind,
            start: self.start,
            synced: self.synced,
            position: position.0,
            time_ms,
            offset: self.at,
        };
        frame.write(payload, self.segment.header.salt, &mut self.buf);
        self.at += (FRAME + payload.len()) as u64;
        frame.offset
    }

    /// Hands what is placed to the operating system. If the disk is full, nothing of it has been placed.
    pub(super) fn write(&mut self) -> io::Result<()> {
        self.write_placed()?;
        self.prepare_next();
        Ok(())
    }

    fn write_placed(&mut self) -> io::Result<()> {
        if self.buf.is_empty() {
            return Ok(());
        }
        let from = self.at - self.buf.len() as u64;
        if let Err(e) = self.segment.file.write_at(&self.buf, self.segment.place(from)) {
            return Err(if is_full(&e) { self.take_back(from, e) } else { e });
        }
        self.buf.clear();
        self.buf.shrink_to(SPARE);
        Ok(())
    }

    /// Takes back what was placed and did not find room; returns why it has to be, or why it can not be.
    ///
    /// The cut is synced before anything else is written there: else a crash might bring some of it back, behind it.
    fn take_back(&mut self, from: u64, full: io::Error) -> io::Error {
        let file = &self.segment.file;
        if let Err(e) = file.set_len(self.segment.place(from)).and_then(|()| file.sync_data()) {
            return for_good(e);
        }
        self.buf.clear();
        self.at = from;
        self.synced = from;
        full
    }

    /// Makes what is written last. What fails here is never a disk that is only full: no sync is tried again.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let written = self.at - self.buf.len() as u64;
        if self.synced < written {
            self.segment.file.sync_data().map_err(for_good)?;
            self.synced = written;
        }
        Ok(())
    }

    /// Cuts what no reader has seen off the log, after a failure. What can not be cut may appear after a restart.
    pub(super) fn cut(&mut self, seen: u64) {
        let keep = self.synced.max(seen).max(self.segment.header.base + HEADER);
        // The log has failed already, and says so.
        let _ = self.segment.file.set_len(self.segment.place(keep));
    }

    fn go_on_in_next_segment(&mut self, position: Position, time_ms: u64, need: u64) -> io::Result<()> {
        // Made first: while there is no room for it, the log goes on to end here.
        let next = self.take_next(HEADER + need + FRAME as u64)?;
        self.put(Kind::Seal, position, time_ms, &[]);
        if let Err(e) = self.write_placed().and_then(|()| self.sync()) {
            self.next = Next::Ready(next);
            return Err(e);
        }
        let next = Arc::new(next);
        self.segments.insert(next.clone());
        self.at = next.header.base + HEADER;
        self.synced = self.at;
        self.segment = next;
        Ok(())
    }

    /// Makes the next segment, if there is none: while a disk is full, this says whether it still is.
    pub(super) fn make_room(&mut self) -> io::Result<()> {
        let next = self.take_next(HEADER)?;
        self.next = Next::Ready(next);
        Ok(())
    }

    fn take_next(&mut self, at_least: u64) -> io::Result<Segment> {
        let ready = match std::mem::replace(&mut self.next, Next::Unprepared) {
            Next::Unprepared => None,
            Next::Ready(segment) => Some(segment),
            Next::Preparing(thread) => {
                match thread.join().map_err(|_| io::Error::other("preparing a segment panicked"))? {
                    // That was then.
                    Err(e) if is_full(&e) => None,
                    made => Some(made?),
                }
            }
        };
        match ready.filter(|segment| segment.header.size >= at_least) {
            Some(segment) => Ok(segment),
            None => {
                let size = self.segment_bytes.max(at_least.next_multiple_of(4096));
                let header = new_header(self.segment.end(), size, self.segment.header.incarnation, now_ms());
                Segment::create(&*self.disk, &self.dir, header)
            }
        }
    }

    /// Has the next segment made once half of this one is used.
    fn prepare_next(&mut self) {
        let used = self.at - self.segment.header.base;
        if !matches!(self.next, Next::Unprepared) || used < self.segment.header.size / 2 {
            return;
        }
        let (disk, dir) = (self.disk.clone(), self.dir.clone());
        let header =
            new_header(self.segment.end(), self.segment_bytes, self.segment.header.incarnation, now_ms());
        let thread = std::thread::Builder::new().name("log-segment".to_owned());
        // Without a thread the segment is made when it is needed.
        if let Ok(thread) = thread.spawn(move || Segment::create(&*disk, &dir, header)) {
            self.next = Next::Preparing(thread);
        }
    }
}

impl Drop for Log {
    /// Waits for a segment that is being made, so that nobody writes to the directory any more.
    fn drop(&mut self) {
        if let Next::Preparing(thread) = std::mem::replace(&mut self.next, Next::Unprepared) {
            let _ = thread.join();
        }
    }
}

/// Says whether an error of the file system passes when there is room again.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Marks an error as one that does not pass, whatever it was.
fn for_good(error: io::Error) -> io::Error {
    io::Error::other(error)
}

/// Returns the header of a new segment, with a salt of its own.
pub(super) fn new_header(base: u64, size: u64, incarnation: Incarnation, created_ms: u64) -> SegmentHeader {
    SegmentHeader { base, size, salt: random(), incarnation, created_ms }
}

/// Returns 64 random bits.
pub(super) fn random() -> u64 {
    let (a, b) = uuid::Uuid::new_v4().as_u64_pair();
    a ^ b.rotate_left(32)
}

/// Returns the wall time, for people and for the idempotence window.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
