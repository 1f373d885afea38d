//! Rebuilding what memory holds from the records of the log, in order.

use std::collections::HashMap;

use undercurrent_types::{Cursor, Durability, Epoch, Key, Name, Position, Seq};

use super::codec::{Fields, Malformed, Out};
use super::commit::{CommitView, EventView};
use super::control::{Change, decode};
use super::frame::{Frame, Kind};
use super::history::{History, Source};
use super::ids::{Given, IdHasher, Ids, WINDOW};
use super::index::{Dropped, Index, range_of};
use super::latest::Latest;
use super::scan::Places;
use super::segment::HEADER;
use super::streams::Known;
use super::tables::Tables;
use crate::ablation::{Step, skips};

/// What the records up to some place of the log say.
pub(super) struct Replay {
    pub(super) streams: HashMap<String, Known>,
    pub(super) ids: Ids,
    pub(super) id_hasher: IdHasher,
    pub(super) latest: Latest,
    pub(super) history: History,
    pub(super) tables: Tables,
    pub(super) places: Places,
    /// How often the log was opened.
    pub(super) start: u64,
    /// The end of the positions reserved.
    pub(super) reserved: Position,
    /// The last position given, if the last record says that the log was closed.
    pub(super) closed_at: Option<Position>,
    /// The epoch of the streams that an unclean end may have taken events from.
    pub(super) volatile_epoch: Epoch,
    /// The epoch of streams that are made at the end of the log. No stream has a higher one.
    pub(super) epoch: Epoch,
    /// The base of the first segment that is needed.
    pub(super) from: u64,
    /// The base of the first segment.
    begins_at: u64,
    /// Whether records were dropped from the log.
    has_holes: bool,
    now_ms: u64,
    history_from: u64,
}

impl Replay {
    /// Begins before the first record; invalidations are remembered from an offset of the log on.
    pub(super) fn new(now_ms: u64, begins_at: u64, history_from: u64) -> Self {
        Self {
            streams: HashMap::new(),
            ids: Ids::default(),
            id_hasher: IdHasher::default(),
            latest: Latest::default(),
            history: History::default(),
            tables: Tables::default(),
            places: Places::default(),
            start: 0,
            reserved: Position(1),
            closed_at: Some(Position(1)),
            volatile_epoch: Epoch(1),
            epoch: Epoch(1),
            from: 0,
            begins_at,
            has_holes: begins_at > 0,
            now_ms,
            history_from,
        }
    }

    /// Writes all of it, for a checkpoint.
    pub(super) fn encode(&self, out: &mut Out) {
        let closed_at = self.closed_at.map_or(u64::MAX, |at| at.0);
        let numbers =
            [self.start, self.reserved.0, closed_at, self.volatile_epoch.0, self.epoch.0, self.from];
        out.u64s(&numbers);
        out.u64(u64::from(self.has_holes));
        out.u64(self.streams.len() as u64);
        self.streams.values().for_each(|stream| stream.encode(out));
        self.id_hasher.encode(out);
        self.ids.encode(out);
        self.latest.encode(out);
        self.history.encode(out);
        self.tables.encode(out);
        self.places.encode(out);
    }

    /// Reads what a checkpoint has, for a log that begins at an offset by now.
    pub(super) fn decode(
        fields: &mut Fields<'_>,
        now_ms: u64,
        begins_at: u64,
        history_from: u64,
    ) -> Result<Self, Malformed> {
        let (start, reserved, closed_at) = (fields.u64()?, Position(fields.u64()?), fields.u64()?);
        let (volatile_epoch, epoch, from) = (Epoch(fields.u64()?), Epoch(fields.u64()?), fields.u64()?);
        let has_holes = fields.u64()? != 0 || begins_at > 0;
        let mut streams = HashMap::new();
        for _ in 0..fields.u64()? {
            let mut known = Known::decode(fields)?;
            known.index.cut(begins_at);
            streams.insert(known.name.to_string(), known);
        }
        let id_hasher = IdHasher::decode(fields)?;
        let ids = Ids::decode(fields, now_ms)?;
        let latest = Latest::decode(fields)?;
        let mut history = History::decode(fields)?;
        history.forget(|offset| offset < history_from);
        let (tables, places) = (Tables::decode(fields)?, Places::decode(fields)?);
        places.cut(begins_at);
        let closed_at = (closed_at != u64::MAX).then_some(Position(closed_at));
        Ok(Self {
            streams,
            ids,
            id_hasher,
            latest,
            history,
            tables,
            places,
            start,
            reserved,
            closed_at,
            volatile_epoch,
            epoch,
            from,
            begins_at,
            has_holes,
            now_ms,
            history_from,
        })
    }

    /// Has places in dropped parts of the log be where it is said that they are dropped.
    pub(super) fn drop_within(&mut self, dropped: &[Dropped]) {
        self.has_holes = true;
        self.streams.values_mut().for_each(|stream| stream.index.drop_within(dropped));
        self.places.drop_within(dropped);
        self.history.forget(|offset| range_of(dropped, offset).is_some());
    }

    /// Takes in a record; the error says what can not be.
    pub(super) fn apply(&mut self, frame: &Frame, payload: &[u8]) -> Result<(), String> {
        // What is left of a log begins in the middle of a start.
        if frame.offset == self.begins_at + HEADER && self.begins_at > 0 {
            self.start = frame.start;
        }
        if frame.start < self.start {
            return Err(format!(
                "the log was opened {} times before and {} times here",
                self.start, frame.start
            ));
        }
        // A segment too full for the record of a start is sealed just before it.
        if !matches!(frame.kind, Kind::Start | Kind::Seal) && frame.start != self.start {
            return Err("a start is missing".to_owned());
        }
        let closed_at = self.closed_at.take();
        self.places.note(Position(frame.position), frame.offset);
        match frame.kind {
            Kind::Start => self.begin(frame, closed_at.is_some(), payload)?,
            Kind::Reserve => self.reserved = reserved(payload)?,
            Kind::Clean => self.closed_at = Some(Position(frame.position)),
            Kind::Seal => self.closed_at = closed_at,
            Kind::Commit | Kind::CommitRows => self.commit(frame, payload)?,
            Kind::Control => self.control(frame, payload)?,
            Kind::Dropped => self.has_holes = true,
        }
        Ok(())
    }

    fn begin(&mut self, frame: &Frame, clean: bool, payload: &[u8]) -> Result<(), String> {
        self.start = frame.start;
        self.reserved = reserved(payload)?;
        if !clean {
            self.volatile_epoch = self.epoch_after_unclean(frame.start);
            self.epoch = self.volatile_epoch;
        }
        Ok(())
    }

    /// Returns the epoch that a start has that finds the log not closed.
    pub(super) fn epoch_after_unclean(&self, start: u64) -> Epoch {
        Epoch(start.max(self.epoch.0.saturating_add(1)))
    }

    fn control(&mut self, frame: &Frame, payload: &[u8]) -> Result<(), String> {
        for (i, change) in decode(payload).map_err(unreadable)?.into_iter().enumerate() {
            match change {
                Change::Stream { name, durability, epoch, born, oldest, tail, retention } => {
                    let stream = match self.streams.get_mut(name) {
                        Some(stream) => stream,
                        None => {
                            let known = name.parse().map_err(|e| format!("{e}"))?;
                            let known = Known::new(known, durability, epoch);
                            let tail_is_told = true;
                            self.streams.entry(name.to_owned()).or_insert(Known {
                                tail,
                                tail_is_told,
                                ..known
                            })
                        }
                    };
                    (stream.born, stream.retention) = (born, retention);
                    stream.oldest = stream.oldest.max(oldest);
                    stream.epoch = stream.epoch.max(epoch);
                }
                Change::Deleted { name, epoch } => {
                    self.epoch = self.epoch.max(epoch);
                    if let Some(stream) = self.streams.remove(name) {
                        self.latest.forget_stream(&stream.name, epoch);
                    }
                }
                Change::Base { from, epoch, unclean, reserved } => {
                    self.from = self.from.max(from);
                    self.epoch = self.epoch.max(epoch);
                    self.volatile_epoch = self.volatile_epoch.max(unclean);
                    self.reserved = self.reserved.max(reserved);
                }
                Change::Fact { key, stream, epoch, at, value } => {
                    if let (Ok(key), Ok(stream)) = (Key::parse(key), stream.parse()) {
                        self.latest.restore(&key, at, (&stream, epoch), value, (frame.offset, i));
                    }
                }
                Change::Row { table, id, at, value } => self.tables.restore(table, id, Some(value), at),
            }
        }
        Ok(())
    }

    fn commit(&mut self, frame: &Frame, payload: &[u8]) -> Result<(), String> {
        let view = CommitView::parse(payload).map_err(unreadable)?;
        for (i, event) in view.events().enumerate() {
            self.event(frame, payload, i, &event.map_err(unreadable)?)?;
        }
        for row in view.rows() {
            self.tables.restore(row.table, row.id, row.value, Position(frame.position));
        }
        if frame.offset >= self.history_from {
            let names: Box<[Name]> = view.names().filter_map(|name| name.text.parse().ok()).collect();
            if !names.is_empty() {
                self.history.push(Position(frame.position), names, Source::Log(frame.offset));
            }
        }
        Ok(())
    }

    fn event(
        &mut self,
        frame: &Frame,
        payload: &[u8],
        i: usize,
        event: &EventView<'_>,
    ) -> Result<(), String> {
        let seq = event.cursor.seq;
        let stream = match self.streams.get_mut(event.stream) {
            Some(stream) => stream,
            None => self.streams.entry(event.stream.to_owned()).or_insert(first_seen(event)?),
        };
        let goes_on = seq == stream.tail.next() || stream.tail_is_told || self.has_holes && seq > stream.tail;
        if !goes_on {
            return Err(format!("stream `{}` goes on at seq {seq} after {}", event.stream, stream.tail));
        }
        if seq != stream.tail.next() {
            // What lay between was let go, so what lay before it was too.
            (stream.index, stream.oldest) = (Index::default(), stream.oldest.max(seq));
        }
        (stream.tail, stream.tail_is_told) = (seq, false);
        stream.epoch = event.cursor.epoch;
        stream.index.note(seq, frame.offset, frame.time_ms, event.json.len());
        let at = Position(frame.position);
        if let Some((key, value)) = &event.latest
            && let Ok(key) = Key::parse(key)
        {
            let value = value.clone().map(|range| &payload[range]);
            let of = (&stream.name, event.cursor.epoch);
            self.latest.restore(&key, at, of, value, (frame.offset, i));
        }
        let is_recent = self.now_ms.saturating_sub(frame.time_ms) <= WINDOW.as_millis() as u64;
        if is_recent && !skips(Step::IdsRestored) {
            self.remember(frame, payload, event);
        }
        Ok(())
    }

    fn remember(&mut self, frame: &Frame, payload: &[u8], event: &EventView<'_>) {
        let text = |range: &std::ops::Range<usize>| std::str::from_utf8(&payload[range.clone()]);
        let (Ok(source), Ok(id)) = (text(&event.source), text(&event.id)) else { return };
        let key = self.id_hasher.hash(event.stream, source, id);
        let Cursor { epoch, seq } = event.cursor;
        self.ids.insert(key, Given { epoch, seq, hash: event.body_hash(payload) }, frame.time_ms);
    }

    /// Returns the streams as they go on after the start that follows the last record.
    pub(super) fn streams(&mut self, volatile_epoch: Epoch) -> Vec<Known> {
        let streams = std::mem::take(&mut self.streams).into_values();
        let found = streams.map(|known| match known.index.find(known.tail) {
            Some(_) => known,
            // No event is left.
            None => Known { oldest: known.tail.next(), ..known },
        });
        let going_on = found.map(|known| match known.durability {
            Durability::Memory | Durability::Page => {
                Known { epoch: known.epoch.max(volatile_epoch), ..known }
            }
            Durability::Durable | Durability::Replicated => known,
        });
        going_on.collect()
    }
}

fn first_seen(event: &EventView<'_>) -> Result<Known, String> {
    let name = event.stream.parse().map_err(|e| format!("{e}"))?;
    let Cursor { epoch, seq } = event.cursor;
    if seq == Seq(0) {
        return Err("an event has seq 0".to_owned());
    }
    Ok(Known::first_known(name, event.durability, epoch, seq))
}

fn reserved(payload: &[u8]) -> Result<Position, String> {
    Fields::of(payload).u64().map(Position).map_err(unreadable)
}

fn unreadable(_: Malformed) -> String {
    "the checksum of the record holds, and its content can not be read".to_owned()
}
