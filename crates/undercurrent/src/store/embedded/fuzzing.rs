//! What fuzzing looks at: the decoders of what lies on disk, each with what it promises of any bytes.
//!
//! Checksums are put right before a decoder sees the bytes, since else nothing behind them would ever be reached. So
//! more is asked for here than damage can do: no bytes at all may end the process, and what is read can be written.

use bytes::Bytes;
use undercurrent_types::{Incarnation, Name, Position, StreamName, Token};

use super::codec::{Fields, Out};
use super::commit::{CommitView, CommitWriter, size_without_events};
use super::control;
use super::frame::{FRAME, Found, Frame, Kind, LARGEST_PAYLOAD, find, length, mend};
use super::replay::Replay;
use super::segment::{HEADER, SegmentHeader};
use crate::store::RowWrite;

const NOW: u64 = 1 << 40;

/// Reads the header of a segment, as it is and with its checksum put right.
pub fn header(bytes: &[u8]) {
    let _ = SegmentHeader::decode(bytes);
    if let Some(fixed) = bytes.first_chunk::<{ HEADER as usize }>() {
        let mut fixed = *fixed;
        let crc = crc32c::crc32c(&fixed[16..]);
        fixed[12..16].copy_from_slice(&crc.to_le_bytes());
        if let Ok(header) = SegmentHeader::decode(&fixed) {
            assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        }
    }
}

/// Reads a record behind a salt and an offset, as it is and with its frame put right.
pub fn record(bytes: &[u8]) {
    let mut fields = Fields::of(bytes);
    let (Ok(salt), Ok(offset)) = (fields.u64(), fields.u64()) else { return };
    // No log is longer.
    let (bytes, offset) = (&bytes[fields.at()..], offset >> 1);
    check_record(bytes, offset, salt);
    if bytes.len() >= FRAME {
        let mut mended = bytes.to_vec();
        mend(&mut mended, offset, salt);
        check_record(&mended, offset, salt);
    }
}

fn check_record(bytes: &[u8], offset: u64, salt: u64) {
    match find(bytes, offset, salt) {
        Found::Record(frame, payload) => {
            let len = FRAME + payload.len();
            assert_eq!(length(bytes), Some(len));
            assert!(frame.next(payload) >= offset + len as u64, "the log goes back");
            let mut again = Vec::new();
            frame.write(payload, salt, &mut again);
            assert_eq!(find(&again, offset, salt), Found::Record(frame, payload));
        }
        Found::Short(needed) => {
            assert!(
                needed > bytes.len() && needed <= FRAME + LARGEST_PAYLOAD,
                "{needed} bytes are asked for"
            );
        }
        Found::Unknown(_) | Found::Nothing | Found::Bad(_) => {}
    }
}

/// Reads a commit, writes its names and rows once more, and takes its events out.
pub fn commit(bytes: &[u8]) {
    let Ok(view) = CommitView::parse(bytes) else { return };
    let names = view.names().filter_map(|name| Some((name.text.parse::<Name>().ok()?, name)));
    let names: Vec<_> = names.collect();
    let mut writer =
        CommitWriter::new(size_without_events(view.cause, names.iter().map(|(n, _)| n)), view.cause);
    names.iter().for_each(|(name, read)| writer.name(name, read.mark, read.event));
    for row in view.rows() {
        let value = row.value.map(Bytes::copy_from_slice);
        writer.row(&RowWrite { table: "", id: row.id.to_owned(), expected: None, value });
    }
    let again = writer.finish();
    let again = CommitView::parse(&again).expect("what was written can be read");
    assert_eq!(again.cause, view.cause);
    let same_name = |(a, (name, b)): (super::commit::NameView<'_>, &(Name, super::commit::NameView<'_>))| {
        assert_eq!((a.mark, a.event, a.text), (b.mark, b.event, name.as_str()));
    };
    again.names().zip(&names).for_each(same_name);
    again.rows().zip(view.rows()).for_each(|(a, b)| assert_eq!((a.id, a.value), (b.id, b.value)));
    let payload = Bytes::copy_from_slice(bytes);
    let token = Token { inc: Incarnation(1), position: Position(1) };
    for event in view.events().flatten() {
        let Ok(stream) = event.stream.parse::<StreamName>() else { continue };
        let record = event.record(&payload, stream, event.cursor, token);
        let _ = (record.type_text(), record.source_text(), record.subject_text(), record.id_text());
        let _ = record.event();
        if let Some((_, Some(value))) = event.latest {
            let _ = payload.slice(value);
        }
    }
}

/// Reads a control record and writes it once more.
pub fn control(bytes: &[u8]) {
    let Ok(changes) = control::decode(bytes) else { return };
    let again = control::encode(&changes);
    assert_eq!(control::decode(&again).as_ref(), Ok(&changes));
    assert!(again.len() <= 16 + changes.iter().map(control::Change::size).sum::<usize>());
}

/// Reads what a checkpoint says behind its checksum, and writes it once more.
pub fn checkpoint(bytes: &[u8]) {
    if let Ok(replay) = Replay::decode(&mut Fields::of(bytes), NOW, 0, 0) {
        check_replay(replay, 0);
    }
}

/// Takes in records, one after the other: each a kind, what it adds to start, position, time and offset, and a payload
/// behind its length.
pub fn replay(bytes: &[u8]) {
    let mut fields = Fields::of(bytes);
    let Ok([form, ..]) = fields.array::<2>() else { return };
    let begins_at = u64::from(form & 1) << 12;
    let mut replay = Replay::new(NOW, begins_at, begins_at);
    let (mut start, mut position, mut time_ms) = (0, 1, NOW - 1_000_000);
    let mut offset = begins_at + HEADER;
    while let Ok([kind, starts, positions, times, skipped, _]) = fields.array() {
        let (Some(kind), Ok(len)) = (Kind::of_code(kind), fields.u16()) else { break };
        let Ok(payload) = fields.take(len.into()) else { break };
        (start, position) = (start + u64::from(starts), position + u64::from(positions));
        (time_ms, offset) = (time_ms + (u64::from(times) << 6), offset + (u64::from(skipped) << 10));
        let frame = Frame { kind, start, synced: offset, position, time_ms, offset };
        if replay.apply(&frame, payload).is_err() {
            return;
        }
        offset += (FRAME + payload.len()) as u64;
    }
    check_replay(replay, begins_at);
}

/// What is known of a log survives a checkpoint, and a log can be gone on with from it.
fn check_replay(replay: Replay, begins_at: u64) {
    let write = |replay: &Replay| {
        let mut out = Out::default();
        replay.encode(&mut out);
        out.finish()
    };
    let bytes = write(&replay);
    let read = Replay::decode(&mut Fields::of(&bytes), NOW, begins_at, begins_at);
    let mut again = read.expect("what was written can be read");
    // In whichever order its maps are in.
    assert_eq!(write(&again).len(), bytes.len());
    again.drop_within(&[begins_at + HEADER..begins_at + 4096]);
    let epoch = again.epoch_after_unclean(again.start);
    for stream in again.streams(epoch) {
        let _ = (stream.index.find(stream.tail), stream.tail.next());
    }
}
