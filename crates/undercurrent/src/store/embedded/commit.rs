//! The payload of a commit: invalidations, rows and events as they lie on disk.
//!
//! ```text
//! u32 names · u32 events · u32 length of the cause · u32 rows · cause
//! each name    u8 mark (0 keep, 1 in doubt, 2 vouched) · u8 zero · u16 length · u32 event that caused it, from 1 · text
//! each row     u8 1 with a value, 0 deleted · u8 zero · u16 length of the table · u16 length of the id · u16 zero
//!              u32 length of the value · table · id · value
//! each event   u64 epoch · u64 seq · 16 bytes of content hash · u8 durability · u8 flags
//!              u16 lengths of stream, type, source, id, subject and key · u16 zero
//!              u32 length of the JSON · u32 length of the bytes behind it · u32 place and u32 length of the value
//!              stream · type · source · id · subject · key · JSON · bytes behind it
//! ```
//!
//! Flags: 1 has a subject, 2 carries the state of a key, 4 that state is a value and not a deletion, 8 the hash is the one
//! of [`body`]; without it, as earlier versions wrote, it is another one, and not looked at. The value is a
//! slice of the JSON and the bytes behind it. The JSON is the one that goes out, with `sequence` and `position`.
//! Zeros fill the payload to a multiple of 8.

use std::ops::Range;

use bytes::Bytes;
use undercurrent_types::{Cursor, Durability, Epoch, Name, StreamName, Token, close_committed};

use super::body;
use super::codec::{Fields, Malformed};
use crate::store::{Mark, Record, RowWrite};

/// The longest text that [`close_committed`] appends.
const LONGEST_CLOSE: usize = 100;
const EVENT_HEAD: usize = 64;
/// The longest text whose length can be written.
pub(super) const LONGEST_TEXT: usize = u16::MAX as usize;

const HAS_SUBJECT: u8 = 1;
const HAS_LATEST: u8 = 2;
const HAS_VALUE: u8 = 4;
const HASHES_BODY: u8 = 8;

/// The parts of an event that is about to be written.
pub(super) struct EventParts<'a> {
    pub(super) stream: &'a str,
    pub(super) durability: Durability,
    pub(super) hash: [u8; 16],
    pub(super) ty: &'a str,
    pub(super) source: &'a str,
    pub(super) id: &'a str,
    pub(super) subject: Option<&'a str>,
    /// The event as it was sent, without its closing brace.
    pub(super) json_open: &'a [u8],
    /// The key whose state the event carries, and the state.
    pub(super) latest: Option<(&'a str, Option<Value<'a>>)>,
}

/// The state that an event carries.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    /// A part of the open JSON.
    InJson { at: usize, len: usize },
    /// Bytes of its own.
    Own(&'a [u8]),
}

impl<'a> Value<'a> {
    /// Finds a value in the JSON that ends with it, which saves writing it twice.
    pub(super) fn find(value: &'a [u8], json_open: &[u8]) -> Self {
        match json_open.len().checked_sub(value.len()) {
            Some(at) if &json_open[at..] == value => Self::InJson { at, len: value.len() },
            _ => Self::Own(value),
        }
    }
}

impl EventParts<'_> {
    /// Returns the most bytes that the event takes.
    pub(super) fn size(&self) -> usize {
        let subject = self.subject.map_or(0, str::len);
        let latest = self.latest.map_or(0, |(key, value)| {
            key.len()
                + match value {
                    Some(Value::Own(bytes)) => bytes.len(),
                    _ => 0,
                }
        });
        let texts = self.stream.len() + self.ty.len() + self.source.len() + self.id.len();
        EVENT_HEAD + texts + subject + latest + self.json_open.len() + LONGEST_CLOSE
    }
}

/// Returns the bytes that a commit takes besides its events.
pub(super) fn size_without_events<'a>(cause: &str, names: impl Iterator<Item = &'a Name>) -> usize {
    16 + cause.len() + names.map(|name| 8 + name.as_str().len()).sum::<usize>() + 8
}

/// Returns the bytes that rows take.
pub(super) fn size_of_rows(rows: &[RowWrite]) -> usize {
    let value = |row: &RowWrite| row.value.as_ref().map_or(0, Bytes::len);
    rows.iter().map(|row| 12 + row.table.len() + row.id.len() + value(row)).sum()
}

/// Builds the payload of a commit: names first, then rows, then events.
pub(super) struct CommitWriter {
    out: Vec<u8>,
    names: u32,
    rows: u32,
    events: u32,
}

impl CommitWriter {
    pub(super) fn new(size: usize, cause: &str) -> Self {
        let mut out = Vec::with_capacity(size);
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&(cause.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(cause.as_bytes());
        Self { out, names: 0, rows: 0, events: 0 }
    }

    /// Appends a name; `event` is the place in the batch of the event that caused it.
    pub(super) fn name(&mut self, name: &Name, mark: Mark, event: Option<usize>) {
        debug_assert_eq!(self.events, 0, "names stand before events");
        debug_assert_eq!(self.rows, 0, "names stand before rows");
        // No key or path is so long; such a name is in force all the same.
        if name.as_str().len() > LONGEST_TEXT {
            return;
        }
        self.names += 1;
        let mark = match mark {
            Mark::Keep => 0,
            Mark::InDoubt => 1,
            Mark::Vouched => 2,
        };
        self.out.extend_from_slice(&[mark, 0]);
        self.out.extend_from_slice(&(name.as_str().len() as u16).to_le_bytes());
        self.out.extend_from_slice(&event.map_or(0, |index| index as u32 + 1).to_le_bytes());
        self.out.extend_from_slice(name.as_str().as_bytes());
    }

    /// Appends a row. Its texts were found short enough.
    pub(super) fn row(&mut self, row: &RowWrite) {
        debug_assert_eq!(self.events, 0, "rows stand before events");
        self.rows += 1;
        let value = row.value.as_deref().unwrap_or_default();
        self.out.extend_from_slice(&[u8::from(row.value.is_some()), 0]);
        self.out.extend_from_slice(&(row.table.len() as u16).to_le_bytes());
        self.out.extend_from_slice(&(row.id.len() as u16).to_le_bytes());
        self.out.extend_from_slice(&[0; 2]);
        self.out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        for part in [row.table.as_bytes(), row.id.as_bytes(), value] {
            self.out.extend_from_slice(part);
        }
    }

    /// Appends an event with the place that it takes.
    pub(super) fn event(&mut self, parts: &EventParts<'_>, cursor: Cursor, token: Token) {
        self.events += 1;
        let out = &mut self.out;
        let (key, value) = parts.latest.map_or(("", None), |(key, value)| (key, value));
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        let flags = HASHES_BODY
            | flag(parts.subject.is_some(), HAS_SUBJECT)
            | flag(parts.latest.is_some(), HAS_LATEST)
            | flag(value.is_some(), HAS_VALUE);
        out.extend_from_slice(&cursor.epoch.0.to_le_bytes());
        out.extend_from_slice(&cursor.seq.0.to_le_bytes());
        out.extend_from_slice(&parts.hash);
        out.extend_from_slice(&[durability_code(parts.durability), flags]);
        let texts = [parts.stream, parts.ty, parts.source, parts.id, parts.subject.unwrap_or_default(), key];
        for text in texts {
            out.extend_from_slice(&(text.len() as u16).to_le_bytes());
        }
        out.extend_from_slice(&[0; 2]);
        let lengths_at = out.len();
        out.extend_from_slice(&[0; 16]);
        for text in texts {
            out.extend_from_slice(text.as_bytes());
        }
        let json_at = out.len();
        out.extend_from_slice(parts.json_open);
        close_committed(out, cursor, token);
        let json_len = out.len() - json_at;
        let (extra, value_at, value_len): (&[u8], _, _) = match value {
            None => (&[], 0, 0),
            Some(Value::InJson { at, len }) => (&[], at, len),
            Some(Value::Own(bytes)) => (bytes, json_len, bytes.len()),
        };
        out.extend_from_slice(extra);
        for (i, length) in [json_len, extra.len(), value_at, value_len].into_iter().enumerate() {
            let at = lengths_at + 4 * i;
            out[at..at + 4].copy_from_slice(&(length as u32).to_le_bytes());
        }
    }

    pub(super) fn finish(mut self) -> Bytes {
        self.out[0..4].copy_from_slice(&self.names.to_le_bytes());
        self.out[4..8].copy_from_slice(&self.events.to_le_bytes());
        self.out[12..16].copy_from_slice(&self.rows.to_le_bytes());
        self.out.resize(self.out.len().next_multiple_of(8), 0);
        self.out.into()
    }
}

pub(super) fn durability_code(durability: Durability) -> u8 {
    match durability {
        Durability::Memory => 0,
        Durability::Page => 1,
        Durability::Durable => 2,
        Durability::Replicated => 3,
    }
}

pub(super) fn durability_of(code: u8) -> Result<Durability, Malformed> {
    match code {
        0 => Ok(Durability::Memory),
        1 => Ok(Durability::Page),
        2 => Ok(Durability::Durable),
        3 => Ok(Durability::Replicated),
        _ => Err(Malformed),
    }
}

/// A commit as it lies in the log.
#[derive(Clone, Copy)]
pub(super) struct CommitView<'a> {
    pub(super) cause: &'a str,
    names: Fields<'a>,
    names_left: u32,
    rows: Fields<'a>,
    rows_left: u32,
    events: Fields<'a>,
    events_left: u32,
}

/// A name that a commit moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameView<'a> {
    pub(super) mark: Mark,
    /// The place in the commit of the event that caused it.
    pub(super) event: Option<usize>,
    pub(super) text: &'a str,
}

/// A row that a commit wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowView<'a> {
    pub(super) table: &'a str,
    pub(super) id: &'a str,
    pub(super) value: Option<&'a [u8]>,
}

/// An event of a commit; ranges are places in the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventView<'a> {
    pub(super) stream: &'a str,
    pub(super) cursor: Cursor,
    pub(super) durability: Durability,
    pub(super) hash: [u8; 16],
    hashes_body: bool,
    pub(super) ty: Range<usize>,
    pub(super) source: Range<usize>,
    pub(super) id: Range<usize>,
    pub(super) subject: Option<Range<usize>>,
    pub(super) json: Range<usize>,
    pub(super) latest: Option<(&'a str, Option<Range<usize>>)>,
}

impl<'a> CommitView<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::of(payload);
        let (names_left, events_left) = (fields.u32()?, fields.u32()?);
        let cause_len = fields.u32()? as usize;
        let rows_left = fields.u32()?;
        let cause = fields.text(cause_len)?;
        let names = fields;
        for _ in 0..names_left {
            read_name(&mut fields)?;
        }
        let rows = fields;
        for _ in 0..rows_left {
            read_row(&mut fields)?;
        }
        Ok(Self { cause, names, names_left, rows, rows_left, events: fields, events_left })
    }

    pub(super) fn names(self) -> impl Iterator<Item = NameView<'a>> {
        let (mut fields, mut left) = (self.names, self.names_left);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            // They have been read once by `parse`.
            read_name(&mut fields).ok()
        })
    }

    pub(super) fn rows(self) -> impl Iterator<Item = RowView<'a>> {
        let (mut fields, mut left) = (self.rows, self.rows_left);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            // They have been read once by `parse`.
            read_row(&mut fields).ok()
        })
    }

    pub(super) fn events(self) -> impl Iterator<Item = Result<EventView<'a>, Malformed>> {
        let (mut fields, mut left) = (self.events, self.events_left);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let event = read_event(&mut fields);
            if event.is_err() {
                left = 0;
            }
            Some(event)
        })
    }
}

fn read_name<'a>(fields: &mut Fields<'a>) -> Result<NameView<'a>, Malformed> {
    let mark = match fields.u8()? {
        0 => Mark::Keep,
        1 => Mark::InDoubt,
        2 => Mark::Vouched,
        _ => return Err(Malformed),
    };
    fields.u8()?;
    let len = fields.u16()?;
    let event = fields.u32()?.checked_sub(1).map(|index| index as usize);
    Ok(NameView { mark, event, text: fields.text(len.into())? })
}

fn read_row<'a>(fields: &mut Fields<'a>) -> Result<RowView<'a>, Malformed> {
    let has_value = fields.u8()? != 0;
    fields.u8()?;
    let (table, id) = (fields.u16()?, fields.u16()?);
    fields.u16()?;
    let value = fields.u32()? as usize;
    let (table, id) = (fields.text(table.into())?, fields.text(id.into())?);
    let value = fields.take(value)?;
    Ok(RowView { table, id, value: has_value.then_some(value) })
}

fn read_event<'a>(fields: &mut Fields<'a>) -> Result<EventView<'a>, Malformed> {
    let cursor = Cursor { epoch: Epoch(fields.u64()?), seq: fields.seq()? };
    let hash = fields.array()?;
    let durability = durability_of(fields.u8()?)?;
    let flags = fields.u8()?;
    let [stream, ty, source, id, subject, key] =
        [fields.u16()?, fields.u16()?, fields.u16()?, fields.u16()?, fields.u16()?, fields.u16()?];
    fields.u16()?;
    let [json_len, extra_len, value_at, value_len] =
        [fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?].map(|n| n as usize);
    let stream = fields.text(stream.into())?;
    let mut range = |len: usize| -> Result<Range<usize>, Malformed> {
        let at = fields.at();
        fields.take(len)?;
        Ok(at..at + len)
    };
    let [ty, source, id, subject] =
        [range(ty.into())?, range(source.into())?, range(id.into())?, range(subject.into())?];
    let key = fields.text(key.into())?;
    let begin = fields.at();
    fields.take(json_len)?;
    fields.take(extra_len)?;
    if value_at + value_len > json_len + extra_len {
        return Err(Malformed);
    }
    let value = begin + value_at..begin + value_at + value_len;
    Ok(EventView {
        stream,
        cursor,
        durability,
        hash,
        hashes_body: flags & HASHES_BODY != 0,
        ty,
        source,
        id,
        subject: (flags & HAS_SUBJECT != 0).then_some(subject),
        json: begin..begin + json_len,
        latest: (flags & HAS_LATEST != 0).then(|| (key, (flags & HAS_VALUE != 0).then_some(value))),
    })
}

impl EventView<'_> {
    /// Returns the hash of what was sent.
    pub(super) fn body_hash(&self, payload: &[u8]) -> [u8; 16] {
        if self.hashes_body { self.hash } else { body::hash(body::sent(&payload[self.json.clone()])) }
    }

    /// Returns the event as readers get it, sharing the bytes of its commit.
    pub(super) fn record(&self, payload: &Bytes, stream: StreamName, cursor: Cursor, token: Token) -> Record {
        Record {
            stream,
            cursor,
            token,
            json: payload.slice(self.json.clone()),
            event_type: payload.slice(self.ty.clone()),
            source: payload.slice(self.source.clone()),
            subject: self.subject.clone().map(|range| payload.slice(range)),
            id: payload.slice(self.id.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use undercurrent_types::{Incarnation, Position, Seq};

    #[derive(Clone, Debug)]
    struct Sample {
        texts: [String; 5],
        subject: Option<String>,
        json: Vec<u8>,
        latest: Option<(String, Option<Vec<u8>>)>,
        value_ends_json: bool,
        durability: Durability,
        cursor: Cursor,
        hash: [u8; 16],
    }

    fn durabilities() -> impl Strategy<Value = Durability> {
        prop::sample::select(&[Durability::Memory, Durability::Page, Durability::Durable][..])
    }

    prop_compose! {
        fn samples()(
            texts in prop::array::uniform5(".{0,20}"), subject in prop::option::of(".{0,20}"),
            json in prop::collection::vec(any::<u8>(), 0..60),
            latest in prop::option::of((".{0,20}", prop::option::of(prop::collection::vec(any::<u8>(), 0..30)))),
            value_ends_json: bool, durability in durabilities(), epoch: u64, seq in 0..10_000_000_000_000_000u64, hash: [u8; 16],
        ) -> Sample {
            Sample { texts, subject, json, latest, value_ends_json, durability,
                cursor: Cursor { epoch: Epoch(epoch), seq: Seq(seq) }, hash }
        }
    }

    impl Sample {
        fn json_open(&self) -> Vec<u8> {
            match &self.latest {
                Some((_, Some(value))) if self.value_ends_json => [&self.json[..], value].concat(),
                _ => self.json.clone(),
            }
        }

        fn parts<'a>(&'a self, json_open: &'a [u8]) -> EventParts<'a> {
            let [stream, ty, source, id, _] = &self.texts;
            let latest = self.latest.as_ref();
            EventParts {
                stream,
                durability: self.durability,
                hash: self.hash,
                ty,
                source,
                id,
                subject: self.subject.as_deref(),
                json_open,
                latest: latest
                    .map(|(key, value)| (key.as_str(), value.as_ref().map(|v| Value::find(v, json_open)))),
            }
        }
    }

    #[test]
    fn an_event_of_an_earlier_version_has_the_hash_of_what_was_sent() {
        let (open, token) = (br#"{"id":"1""#, Token { inc: Incarnation(1), position: Position(2) });
        let parts = EventParts {
            stream: "s",
            durability: Durability::Durable,
            hash: [7; 16],
            ty: "message",
            source: "agent/1",
            id: "1",
            subject: None,
            json_open: open,
            latest: None,
        };
        let mut writer = CommitWriter::new(0, "");
        writer.event(&parts, Cursor { epoch: Epoch(1), seq: Seq(1) }, token);
        let mut payload = writer.finish().to_vec();
        let hash = |payload: &[u8]| {
            let event = CommitView::parse(payload).unwrap().events().next().unwrap().unwrap();
            event.body_hash(payload)
        };
        assert_eq!(hash(&payload), [7; 16]);
        // Behind the head of the commit, the place of the event, the hash and the durability.
        payload[16 + 16 + 16 + 1] &= !HASHES_BODY;
        assert_eq!(hash(&payload), body::hash(open));
    }

    proptest! {
        #[test]
        fn a_commit_survives_its_bytes(
            samples in prop::collection::vec(samples(), 0..5),
            names in prop::collection::vec(("[a-z]{1,9}", prop::option::of(0..5usize)), 0..5),
            rows in prop::collection::vec((".{0,9}", prop::option::of(prop::collection::vec(any::<u8>(), 0..30))), 0..4),
            cause in ".{0,20}", inc: u64, position: u64,
        ) {
            let token = Token { inc: Incarnation(inc), position: Position(position) };
            let names: Vec<_> = names.iter().map(|(text, event)| (Name::tag(text).unwrap(), *event)).collect();
            let open: Vec<_> = samples.iter().map(Sample::json_open).collect();
            let parts: Vec<_> = samples.iter().zip(&open).map(|(s, json)| s.parts(json)).collect();
            let row = |(id, value): (String, Option<Vec<u8>>)| {
                RowWrite { table: "table", id, expected: None, value: value.map(Bytes::from) }
            };
            let rows: Vec<RowWrite> = rows.into_iter().map(row).collect();
            let size = size_without_events(&cause, names.iter().map(|(name, _)| name))
                + size_of_rows(&rows)
                + parts.iter().map(EventParts::size).sum::<usize>();
            let mut writer = CommitWriter::new(size, &cause);
            for (i, (name, event)) in names.iter().enumerate() {
                writer.name(name, [Mark::Keep, Mark::InDoubt, Mark::Vouched][i % 3], *event);
            }
            rows.iter().for_each(|row| writer.row(row));
            for (sample, parts) in samples.iter().zip(&parts) {
                writer.event(parts, sample.cursor, token);
            }
            let payload = writer.finish();
            prop_assert!(payload.len() <= size && payload.len().is_multiple_of(8), "{} of {size}", payload.len());

            let view = CommitView::parse(&payload).unwrap();
            prop_assert_eq!(view.cause, cause);
            let read: Vec<_> = view.names().map(|n| (n.text.parse::<Name>().unwrap(), n.event)).collect();
            prop_assert_eq!(read, names);
            let read: Vec<_> = view.rows().map(|r| (r.table, r.id, r.value)).collect();
            let written: Vec<_> = rows.iter().map(|r| (r.table, &*r.id, r.value.as_deref())).collect();
            prop_assert_eq!(read, written);
            let events: Vec<_> = view.events().map(Result::unwrap).collect();
            prop_assert_eq!(events.len(), samples.len());
            for ((event, sample), open) in events.iter().zip(&samples).zip(open) {
                let mut json = open;
                close_committed(&mut json, sample.cursor, token);
                let record = event.record(&payload, "s".parse().unwrap(), sample.cursor, token);
                prop_assert_eq!(&record.json[..], &json[..]);
                prop_assert_eq!((event.stream, record.type_text()), (&sample.texts[0][..], &sample.texts[1][..]));
                prop_assert_eq!((record.source_text(), record.id_text()), (&sample.texts[2][..], &sample.texts[3][..]));
                prop_assert_eq!(record.subject_text(), sample.subject.as_deref());
                prop_assert_eq!((event.cursor, event.hash, event.durability), (sample.cursor, sample.hash, sample.durability));
                let latest = event.latest.clone().map(|(key, value)| (key.to_owned(), value.map(|r| payload[r].to_vec())));
                prop_assert_eq!(&latest, &sample.latest);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(view) = CommitView::parse(&bytes) {
                let _ = (view.names().count(), view.rows().count(), view.events().count());
            }
        }

        #[test]
        fn no_damaged_commit_panics(sample in samples(), at: prop::sample::Index, with: u8) {
            let open = sample.json_open();
            let mut writer = CommitWriter::new(0, "cause");
            writer.name(&Name::scope("x"), Mark::Keep, None);
            writer.event(&sample.parts(&open), sample.cursor, Token { inc: Incarnation(1), position: Position(1) });
            let mut bytes = writer.finish().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = with;
            let bytes = Bytes::from(bytes);
            if let Ok(view) = CommitView::parse(&bytes) {
                for event in view.events().flatten() {
                    event.record(&bytes, "s".parse().unwrap(), event.cursor, Token { inc: Incarnation(1), position: Position(1) });
                }
            }
        }
    }
}
