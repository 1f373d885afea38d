//! Reading events back from the log.

use std::sync::Arc;

use bytes::Bytes;
use undercurrent_types::{Cursor, Position, Seq};

use super::commit::CommitView;
use super::control::{Change, decode};
use super::frame::{Found, Frame, Kind};
use super::segment::{HEADER, Segment, Segments};
use super::shared::Shared;
use super::streams::Stream;
use super::window::Window;
use crate::store::{Record, StoreError};

/// How much of the log is read at once.
pub(super) const CHUNK: usize = 128 << 10;

/// Reads the state that the commit or the control record at an offset carries.
pub(super) fn read_state(
    segments: &Segments,
    offset: u64,
    place: usize,
) -> Result<Option<Bytes>, StoreError> {
    let mut window = window_at(segments, offset, 4096)?;
    let (frame, payload) = record(&mut window, offset)?;
    let value = match frame.kind {
        Kind::Control => match decode(payload).ok().and_then(|changes| changes.get(place).copied()) {
            Some(Change::Fact { value, .. }) => value.map(Bytes::copy_from_slice),
            _ => return Err(StoreError::Io(format!("the record at offset {offset} has no state"))),
        },
        _ => {
            let event = CommitView::parse(payload).ok().and_then(|view| view.events().nth(place)?.ok());
            event.and_then(|event| event.latest?.1).map(|range| Bytes::copy_from_slice(&payload[range]))
        }
    };
    Ok(value)
}

/// Reads the payload of the commit at an offset of the log. For threads that may wait for the disk.
pub(super) fn read_commit(segments: &Segments, offset: u64) -> Result<Bytes, StoreError> {
    let mut window = window_at(segments, offset, 4096)?;
    let path = window.segment().path.clone();
    match record(&mut window, offset)? {
        (frame, payload) if frame.kind.is_commit() => Ok(Bytes::copy_from_slice(payload)),
        _ => Err(StoreError::Io(format!("`{}` has no commit where one was written", path.display()))),
    }
}

/// Reads events of a stream from the log: after one seq, up to another, at most so many and about so many bytes.
///
/// All of them have to be in the log. For threads that may wait for the disk.
pub(super) fn read_events(
    shared: &Shared,
    stream: &Stream,
    after: Seq,
    to: Seq,
    limit: usize,
    bytes: usize,
) -> Result<Vec<Record>, StoreError> {
    read_page(shared, stream, after, to, limit, bytes).inspect_err(|_| stream.forget_page_ends())
}

fn read_page(
    shared: &Shared,
    stream: &Stream,
    after: Seq,
    to: Seq,
    limit: usize,
    bytes: usize,
) -> Result<Vec<Record>, StoreError> {
    let mut wanted = after.next();
    let mut records = Vec::new();
    let mut left = bytes;
    let Some(mut at) = stream.indexed(wanted) else {
        return Err(StoreError::Io(format!("stream `{}` has no index of seq {wanted}", stream.name)));
    };
    let mut window = window_at(&shared.segments, at, CHUNK)?;
    while wanted <= to && records.len() < limit && left > 0 {
        if at >= window.segment().end() {
            window = window_at(&shared.segments, at, CHUNK)?;
        }
        let (frame, payload) = record(&mut window, at)?;
        let behind = frame.next(payload);
        if frame.kind == Kind::Seal {
            at = window.segment().end() + HEADER;
            window = window_at(&shared.segments, at, CHUNK)?;
            continue;
        }
        at = behind;
        if !frame.kind.is_commit() {
            continue;
        }
        // One more than there is room for says that the commit has more.
        let end = to.min(Seq(wanted.0.saturating_add((limit - records.len()) as u64)));
        for record in events_of(shared, stream, wanted..=end, &frame, payload)? {
            if records.len() == limit || left == 0 {
                // The rest of the commit is for the next page.
                at = frame.offset;
                break;
            }
            wanted = record.cursor.seq.next();
            left = left.saturating_sub(record.json.len());
            records.push(record);
        }
        if let Some(indexed) = stream.indexed(wanted).filter(|indexed| *indexed > at) {
            at = indexed;
            if at >= window.segment().end() {
                window = window_at(&shared.segments, at, CHUNK)?;
            }
        }
    }
    stream.ended_page(wanted, at);
    Ok(records)
}

/// Returns the wanted events of a stream in a commit; their bytes are copied once, together.
fn events_of(
    shared: &Shared,
    stream: &Stream,
    wanted: std::ops::RangeInclusive<Seq>,
    frame: &Frame,
    payload: &[u8],
) -> Result<Vec<Record>, StoreError> {
    let unreadable = |_| StoreError::Io(format!("the commit at position {} can not be read", frame.position));
    let view = CommitView::parse(payload).map_err(unreadable)?;
    let mut copy = None;
    let mut records = Vec::new();
    for event in view.events() {
        let event = event.map_err(unreadable)?;
        if event.stream == stream.name.as_str() && wanted.contains(&event.cursor.seq) {
            let copy = copy.get_or_insert_with(|| Bytes::copy_from_slice(payload));
            // An event of an earlier epoch is read on from in this one.
            let cursor = Cursor { epoch: stream.epoch, seq: event.cursor.seq };
            records.push(event.record(
                copy,
                stream.name.clone(),
                cursor,
                shared.token(Position(frame.position)),
            ));
        }
    }
    Ok(records)
}

pub(super) fn window_at(segments: &Segments, offset: u64, chunk: usize) -> Result<Window, StoreError> {
    let segment: Option<Arc<Segment>> = segments.at(offset);
    let gone = || StoreError::Io(format!("the log has no segment with offset {offset}"));
    segment.map(|segment| Window::over(segment, chunk)).ok_or_else(gone)
}

/// Returns the record at an offset; anything else there is an error, since only what was written is read.
fn record(window: &mut Window, offset: u64) -> Result<(Frame, &[u8]), StoreError> {
    let path = window.segment().path.clone();
    let place = window.segment().place(offset);
    match window.find(offset) {
        Ok(Found::Record(frame, payload)) => Ok((frame, payload)),
        Ok(Found::Bad(reason)) => {
            Err(StoreError::Io(format!("`{}` is damaged at byte {place}: {reason}", path.display())))
        }
        Ok(_) => Err(StoreError::Io(format!("`{}` has no record at byte {place}", path.display()))),
        Err(e) => Err(StoreError::Io(format!("`{}`: {e}", path.display()))),
    }
}
