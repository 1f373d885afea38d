//! One step of the order: check everything, take a position, put the names in force, hand the rest to the flusher.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use undercurrent_types::{Cursor, Data, Durability, Key, Position, Seq, StreamName};

use super::body;
use super::commit::{
    CommitView, CommitWriter, EventParts, LONGEST_TEXT, Value, size_of_rows, size_without_events,
};
use super::frame::{Kind, LARGEST_PAYLOAD};
use super::history::Source;
use super::ids::{ByIdKey, Given, IdKey};
use super::log::now_ms;
use super::queue::{Appended, Failure, Item, Needs, Refused, Write};
use super::shared::{Order, ROOM, Shared};
use super::streams::{Known, Stream};
use super::tables;
use crate::ablation::{Gap, Step, gap, skips};
use crate::store::{Batch, Invalidation, NewEvent, PublishError, Published, PublishedEvent, RowWrite};

/// How many positions are reserved at once.
pub(super) const BLOCK: u64 = 1 << 32;

/// A batch with all that can be prepared before the order is taken.
pub(super) struct Draft {
    batch: Batch,
    /// The events as they were sent, each without its closing brace, one behind the other.
    json: Vec<u8>,
    events: Vec<DraftEvent>,
    /// For each name the event that caused it, where that is known.
    causes: Vec<Option<usize>>,
    size: usize,
}

struct DraftEvent {
    json_open: Range<usize>,
    hash: [u8; 16],
    id: IdKey,
}

impl Draft {
    /// Encodes the events of a batch and checks its size.
    pub(super) fn new(shared: &Shared, batch: Batch) -> Result<Self, PublishError> {
        batch.events.iter().try_for_each(check_texts)?;
        batch.rows.iter().try_for_each(check_row)?;
        let mut json = Vec::with_capacity(batch.events.iter().map(json_size).sum());
        let events: Vec<_> = batch.events.iter().map(|new| DraftEvent::new(shared, new, &mut json)).collect();
        let causes = causes(&batch);
        let parts = batch.events.iter().zip(&events).map(|(new, draft)| draft.parts(new, &json).size());
        let size = parts.sum::<usize>()
            + size_of_rows(&batch.rows)
            + size_without_events(&batch.cause, batch.names.iter().map(|moved| &moved.name));
        if size > LARGEST_PAYLOAD {
            return Err(PublishError::TooLarge { actual: size, limit: LARGEST_PAYLOAD });
        }
        Ok(Self { batch, json, events, causes, size })
    }

    /// Returns the room that the batch takes in the queue.
    pub(super) fn room(&self) -> u32 {
        self.size.min(ROOM) as u32
    }

    /// Returns the ids of its events.
    pub(super) fn ids(&self) -> Vec<IdKey> {
        self.events.iter().map(|event| event.id).collect()
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Says whether the batch has what must be logged: events or rows.
    pub(super) fn must_be_logged(&self) -> bool {
        self.has_events() || !self.batch.rows.is_empty()
    }
}

impl DraftEvent {
    fn new(shared: &Shared, new: &NewEvent, json: &mut Vec<u8>) -> Self {
        let event = &new.event;
        let begin = json.len();
        event.write_json_open(json);
        let json_open = begin..json.len();
        let hash = body::hash(&json[json_open.clone()]);
        let id = shared.id_hasher.hash(new.stream.as_str(), event.source.as_str(), &event.id);
        Self { json_open, hash, id }
    }

    fn parts<'a>(&self, new: &'a NewEvent, json: &'a [u8]) -> EventParts<'a> {
        let json_open = &json[self.json_open.clone()];
        let latest = new.latest.as_ref();
        EventParts {
            stream: new.stream.as_str(),
            durability: given(new.durability),
            hash: self.hash,
            ty: new.event.ty.as_str(),
            source: new.event.source.as_str(),
            id: &new.event.id,
            subject: new.event.subject.as_deref(),
            json_open,
            latest: latest
                .map(|(key, value)| (key.as_str(), value.as_ref().map(|v| Value::find(v, json_open)))),
        }
    }
}

/// About how much the JSON of an event takes.
fn json_size(new: &NewEvent) -> usize {
    const OTHERS: usize = 320;
    OTHERS + new.event.data.as_ref().map_or(0, Data::size)
}

/// Refuses what the lengths of the format can not say; a valid event is far below them.
fn check_texts(new: &NewEvent) -> Result<(), PublishError> {
    let event = &new.event;
    let texts = [event.ty.as_str(), event.source.as_str(), &event.id, event.subject.as_deref().unwrap_or("")];
    match texts.iter().map(|text| text.len()).max() {
        Some(actual) if actual > LONGEST_TEXT => Err(PublishError::TooLarge { actual, limit: LONGEST_TEXT }),
        _ => Ok(()),
    }
}

/// Refuses a row that is too large.
fn check_row(row: &RowWrite) -> Result<(), PublishError> {
    let actual = row.value.as_ref().map_or(0, Bytes::len);
    if actual > tables::VALUE {
        let (table, id) = (row.table.to_owned(), row.id.clone());
        return Err(PublishError::RowTooLarge { table, id, actual, limit: tables::VALUE });
    }
    match row.table.len().max(row.id.len()) {
        actual if actual > LONGEST_TEXT => Err(PublishError::TooLarge { actual, limit: LONGEST_TEXT }),
        _ => Ok(()),
    }
}

/// Finds the event that each name of a batch comes from: the one that is named, or the only one.
fn causes(batch: &Batch) -> Vec<Option<usize>> {
    let only = (batch.events.len() == 1).then_some(0);
    batch.names.iter().map(|moved| moved.event.filter(|event| *event < batch.events.len()).or(only)).collect()
}

/// Returns the durability that this store gives where another one is asked for.
pub(super) fn given(asked: Durability) -> Durability {
    asked.min(Durability::Durable)
}

/// What becomes of an event of a batch.
struct Planned {
    cursor: Cursor,
    durability: Durability,
    /// The stream; none if the event makes it.
    stream: Option<Arc<Stream>>,
    duplicate: bool,
}

/// Where a stream stands, as a batch is decided about.
struct Tail<'a> {
    name: &'a StreamName,
    /// None if the batch makes it.
    stream: Option<Arc<Stream>>,
    durability: Durability,
    /// Its last event, visible or not.
    last: Cursor,
}

/// A batch that has its place.
pub(super) struct Placed {
    pub(super) published: Published,
    /// What ends the waiting for the disk, where there is any.
    pub(super) done_rx: Option<oneshot::Receiver<Result<(), Refused>>>,
}

impl Shared {
    /// Commits a batch: when it returns, the names are in force.
    pub(super) fn place(
        &self,
        draft: &Draft,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Placed, PublishError> {
        let mut order = self.order.lock();
        self.place_next(&mut order, draft, room)
    }

    /// Moves the key of a value that was found to have changed, if the predicate holds; `None` if it does not.
    pub(super) fn announce(
        &self,
        key: &Key,
        holds: impl FnOnce() -> bool,
    ) -> Result<Option<Position>, PublishError> {
        let names = vec![Invalidation::of(key.into())];
        let batch = Batch::moving(names, "a change found");
        let draft = Draft::new(self, batch)?;
        let room = self.room_now(&draft);
        let mut order = self.order.lock();
        if !holds() {
            return Ok(None);
        }
        let placed = self.place_next(&mut order, &draft, room)?;
        Ok(Some(placed.published.token.position))
    }

    /// Takes room in the queue, if there is any: what has no events does not wait for it, and is then not logged.
    pub(super) fn room_now(&self, draft: &Draft) -> Option<OwnedSemaphorePermit> {
        self.room.clone().try_acquire_many_owned(draft.room()).ok()
    }

    pub(super) fn place_next(
        &self,
        order: &mut Order,
        draft: &Draft,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Placed, PublishError> {
        if order.closed {
            return Err(PublishError::Closed);
        }
        let now = now_ms();
        order.ids.expire(now);
        let plan = self.plan(order, draft)?;
        let rows = &draft.batch.rows;
        self.tables.check(rows)?;
        self.tables.check_held(&draft.batch.holds)?;
        let lasting = !rows.is_empty() || plan.iter().any(|planned| !planned.duplicate);
        if !lasting && (draft.has_events() || draft.batch.names.is_empty()) {
            return Ok(self.answer_duplicates(&plan, room));
        }
        let position = self.take_position(order)?;
        let refusal = self.refusal().filter(|_| lasting);
        self.put_in_force(&draft.batch.names, position, || {
            if lasting && refusal.is_none() {
                self.last_unsettled.store(position.0, Ordering::Release);
            }
        });
        if let Some(refusal) = refusal {
            return Err(refusal.refusal());
        }
        let (payload, events) = self.encode(draft, &plan, position);
        for (event, planned) in draft.events.iter().zip(&plan).filter(|(_, planned)| !planned.duplicate) {
            let Cursor { epoch, seq } = planned.cursor;
            order.ids.insert(event.id, Given { epoch, seq, hash: event.hash }, now);
        }
        let has_names = !draft.batch.names.is_empty();
        if has_names {
            let names = draft.batch.names.iter().map(|moved| moved.name.clone()).collect();
            self.history.lock().push(position, names, Source::Memory(payload.clone()));
        }
        show_at_once(self, &events, position);
        self.tables.write(rows, position);
        let needs = if rows.is_empty() { self.needs(&plan) } else { Needs::Sync };
        let (waiter, done_rx) = wait_if(needs > Needs::Nothing);
        if room.is_some() {
            let kind = if rows.is_empty() { Kind::Commit } else { Kind::CommitRows };
            let write = Some(Write { kind, position, time_ms: now, payload, has_names });
            let rows = rows.clone();
            self.queue.push(Item { write, events, rows, needs, waiter, room, ..Item::default() });
        }
        Ok(Placed { published: self.published(&plan, position), done_rx })
    }

    /// Decides about every event before anything is written.
    fn plan(&self, order: &Order, draft: &Draft) -> Result<Vec<Planned>, PublishError> {
        let mut tails: Vec<Tail<'_>> = Vec::new();
        let mut places: HashMap<&StreamName, usize> = HashMap::new();
        let mut at = 0;
        // Known besides those of the order: of this batch, where it has more than one event.
        let mut ids = ByIdKey::default();
        let several = draft.events.len() > 1;
        if several {
            ids.reserve(draft.events.len());
        }
        let mut plan = Vec::with_capacity(draft.events.len());
        for (index, (new, event)) in draft.batch.events.iter().zip(&draft.events).enumerate() {
            // Mostly the stream of the event before it.
            if tails.get(at).is_none_or(|tail| *tail.name != new.stream) {
                at = *places.entry(&new.stream).or_insert(tails.len());
                if at == tails.len() {
                    tails.push(self.tail(&new.stream, new.durability));
                }
            }
            let Tail { stream, durability, last: tail, .. } = &mut tails[at];
            let born = stream.as_ref().map_or(tail.epoch, |stream| stream.born);
            // An id of a stream that was deleted is not one of its successor.
            let known = order.ids.get(event.id).filter(|known| known.epoch >= born);
            let known = known.filter(|_| !skips(Step::IdsKnown));
            let known = known.or_else(|| ids.get(&event.id).copied());
            let (duplicate, seq) = match known {
                Some(known) if known.hash != event.hash => {
                    return Err(PublishError::IdConflict {
                        index,
                        stream: new.stream.clone(),
                        event_source: new.event.source.to_string(),
                        id: new.event.id.clone(),
                    });
                }
                Some(known) => (true, known.seq),
                None => (false, tail.seq.next()),
            };
            if !duplicate {
                check_expected(index, new, tail.seq)?;
                tail.seq = seq;
                if several {
                    ids.insert(event.id, Given { epoch: tail.epoch, seq, hash: event.hash });
                }
            }
            let cursor = Cursor { epoch: tail.epoch, seq };
            plan.push(Planned { cursor, durability: *durability, stream: stream.clone(), duplicate });
        }
        let mut new = tails.iter().filter(|tail| tail.stream.is_none());
        if let Some(first) = new.next() {
            self.streams.check_room(first.name, 1 + new.count(), self.most_streams)?;
        }
        Ok(plan)
    }

    /// Returns where a stream stands before a batch.
    fn tail<'a>(&self, name: &'a StreamName, asked: Durability) -> Tail<'a> {
        match self.streams.get(name) {
            Some(stream) => {
                let last = Cursor { epoch: stream.epoch, seq: Seq(stream.next().0 - 1) };
                Tail { name, durability: stream.durability, stream: Some(stream), last }
            }
            None => {
                let last = Cursor { epoch: self.epoch(), seq: Seq(0) };
                Tail { name, durability: given(asked), stream: None, last }
            }
        }
    }

    /// Answers a batch that moves nothing: at once, or with what the events first published wait for.
    fn answer_duplicates(&self, plan: &[Planned], room: Option<OwnedSemaphorePermit>) -> Placed {
        let needs = self.needs(plan);
        let (waiter, done_rx) = wait_if(needs > Needs::Nothing);
        if done_rx.is_some() {
            self.queue.push(Item { needs, waiter, room, ..Item::default() });
        }
        Placed { published: self.published(plan, self.horizon.applied()), done_rx }
    }

    fn published(&self, plan: &[Planned], position: Position) -> Published {
        let events = plan.iter().map(|planned| PublishedEvent {
            cursor: planned.cursor,
            durability: planned.durability,
            duplicate: planned.duplicate,
        });
        Published { token: self.token(position), events: events.collect() }
    }

    /// Says what a batch waits for: the strongest of what its events need that are not visible.
    fn needs(&self, plan: &[Planned]) -> Needs {
        let needs = plan.iter().map(|planned| {
            let visible = planned.duplicate
                && planned.stream.as_ref().is_some_and(|stream| stream.visible() >= planned.cursor.seq);
            if visible || planned.duplicate && skips(Step::RepeatWaits) {
                Needs::Nothing
            } else {
                planned.durability.into()
            }
        });
        needs.max().unwrap_or_default()
    }

    /// Takes the next position, and has more of them reserved in time.
    fn take_position(&self, order: &mut Order) -> Result<Position, PublishError> {
        let position = Position(order.position.0 + 1);
        if position.0 >= self.reserved.load(Ordering::Acquire) {
            let reason = "the positions reserved on disk are used up".to_owned();
            let refusal = self.refusal();
            let used_up = Refused::Failed(Failure { since: "now".to_owned(), reason });
            return Err(refusal.unwrap_or(used_up).refusal());
        }
        order.position = position;
        if order.asked.0 - position.0 < BLOCK / 2 {
            order.asked = Position(order.asked.0 + BLOCK);
            let payload = Bytes::copy_from_slice(&order.asked.0.to_le_bytes());
            let (kind, time_ms) = (Kind::Reserve, now_ms());
            let write = Some(Write { kind, position, time_ms, payload, has_names: false });
            self.queue.push(Item { write, needs: Needs::Sync, ..Item::default() });
        }
        Ok(position)
    }

    /// Sets names to a position: `last`, then the floors, then the position itself.
    fn put_in_force(&self, names: &[Invalidation], position: Position, before_applied: impl FnOnce()) {
        if !names.is_empty() {
            let mut last = self.last.write();
            names.iter().for_each(|moved| last.set(moved, position));
        }
        gap(Gap::Ordered);
        let late = skips(Step::FloorsFirst);
        if late {
            self.horizon.advance(position);
            gap(Gap::Ordered);
        }
        self.horizon.raise(names.iter().map(|moved| &moved.name), position);
        before_applied();
        gap(Gap::Ordered);
        self.horizon.advance(position);
    }

    /// Writes the payload of a commit, and hands its events to their streams.
    fn encode(&self, draft: &Draft, plan: &[Planned], position: Position) -> (Bytes, Vec<Appended>) {
        let mut written = 0;
        let places: Vec<Option<usize>> = plan
            .iter()
            .map(|planned| {
                (!planned.duplicate).then(|| {
                    written += 1;
                    written - 1
                })
            })
            .collect();
        let mut writer = CommitWriter::new(draft.size, &draft.batch.cause);
        for (moved, cause) in draft.batch.names.iter().zip(&draft.causes) {
            writer.name(&moved.name, moved.mark, cause.and_then(|index| places[index]));
        }
        draft.batch.rows.iter().for_each(|row| writer.row(row));
        let token = self.token(position);
        let drafts = || draft.batch.events.iter().zip(&draft.events).zip(plan).filter(|(_, p)| !p.duplicate);
        for ((new, event), planned) in drafts() {
            let parts = EventParts { durability: planned.durability, ..event.parts(new, &draft.json) };
            writer.event(&parts, planned.cursor, token);
        }
        let payload = writer.finish();
        let mut appended = Vec::with_capacity(written);
        let views = CommitView::parse(&payload).into_iter().flat_map(CommitView::events).flatten();
        for (((new, _), planned), view) in drafts().zip(views) {
            let stream = planned.stream.clone().unwrap_or_else(|| self.stream(new, planned));
            let record = view.record(&payload, stream.name.clone(), planned.cursor, token);
            stream.append(record.clone());
            let latest = new.latest.as_ref().map(|(key, _)| {
                let value = view.latest.clone().and_then(|(_, value)| value);
                (key.clone(), value.map(|range| payload.slice(range)))
            });
            appended.push(Appended { stream, record, latest });
        }
        (payload, appended)
    }

    /// Returns the stream of an event, which makes it if no earlier one of the batch did.
    fn stream(&self, new: &NewEvent, planned: &Planned) -> Arc<Stream> {
        self.streams.get(&new.stream).unwrap_or_else(|| {
            self.streams.add(Known::new(new.stream.clone(), planned.durability, planned.cursor.epoch))
        })
    }
}

fn check_expected(index: usize, new: &NewEvent, actual: Seq) -> Result<(), PublishError> {
    match new.expected_seq {
        Some(expected) if expected != actual && !skips(Step::ExpectedCompared) => {
            Err(PublishError::ExpectedSeq { index, stream: new.stream.clone(), expected, actual })
        }
        _ => Ok(()),
    }
}

type Waiter = oneshot::Sender<Result<(), Refused>>;

fn wait_if(needed: bool) -> (Option<Waiter>, Option<oneshot::Receiver<Result<(), Refused>>>) {
    needed.then(oneshot::channel).unzip()
}

/// Shows the events of streams that promise no more than memory.
fn show_at_once(shared: &Shared, events: &[Appended], position: Position) {
    for event in events.iter().filter(|event| event.stream.durability == Durability::Memory) {
        event.show(shared, position);
    }
}

impl Appended {
    /// Makes the event visible: its state first, then the event, then its live ring.
    pub(super) fn show(&self, shared: &Shared, position: Position) {
        if let Some((key, value)) = &self.latest {
            let of = (&self.stream.name, self.record.cursor.epoch);
            shared.latest.set(key, position, of, value.as_ref());
        }
        self.stream.show(&self.record);
        shared.streams.show(&self.record);
    }
}
