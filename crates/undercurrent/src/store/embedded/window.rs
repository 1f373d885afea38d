//! Reading records one after the other, a piece of the file at a time.

use std::io;
use std::sync::Arc;

use super::frame::{FRAME, Found, find, length};
use super::segment::Segment;

/// A piece of one segment in memory, which moves along as records are asked for.
pub(super) struct Window {
    segment: Arc<Segment>,
    buf: Vec<u8>,
    /// The offset of the first byte in the buffer, and how many bytes of it are the file's.
    from: u64,
    held: usize,
    chunk: usize,
}

impl Window {
    /// Begins with an empty window; `chunk` is how much is read at once.
    pub(super) fn over(segment: Arc<Segment>, chunk: usize) -> Self {
        Self { segment, buf: Vec::new(), from: 0, held: 0, chunk }
    }

    pub(super) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Says what stands at an offset of the log, which has to be in the segment.
    pub(super) fn find(&mut self, offset: u64) -> io::Result<Found<'_>> {
        let at = self.hold(offset, FRAME)?;
        let len = length(&self.buf[at..self.held]).unwrap_or(FRAME);
        let at = self.hold(offset, len)?;
        Ok(match find(&self.buf[at..self.held], offset, self.segment.header.salt) {
            Found::Short(_) => Found::Bad("the segment ends within the record"),
            found => found,
        })
    }

    /// Returns the place in the buffer of an offset, having read so many bytes from there on, if there are.
    fn hold(&mut self, offset: u64, len: usize) -> io::Result<usize> {
        let at = offset.checked_sub(self.from).map(|at| at as usize);
        match at.filter(|at| at.checked_add(len).is_some_and(|end| end <= self.held)) {
            Some(at) => Ok(at),
            None => self.load(offset, len.max(self.chunk)),
        }
    }

    /// Moves to an offset, reads what is not there yet, and returns the place of the offset in the buffer.
    fn load(&mut self, offset: u64, len: usize) -> io::Result<usize> {
        let len = len.min((self.segment.end() - offset) as usize);
        let skipped = offset.checked_sub(self.from).filter(|skipped| *skipped < self.held as u64);
        let kept = skipped.map_or(self.held..self.held, |skipped| skipped as usize..self.held);
        self.buf.copy_within(kept.clone(), 0);
        let kept = kept.len();
        (self.from, self.held) = (offset, kept);
        if self.buf.len() < len {
            self.buf.resize(len, 0);
        }
        let missing = &mut self.buf[kept..len.max(kept)];
        let read = self.segment.file.read_at(missing, self.segment.place(offset) + kept as u64)?;
        // A file that was cut short reads as the zeros that it will be filled with.
        missing[read..].fill(0);
        self.held = len.max(kept);
        Ok(0)
    }
}
