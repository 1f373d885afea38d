//! What is known in memory of each stream: its tail, the newest events, and where older ones lie in the log.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::broadcast;
use undercurrent_types::{Cursor, Durability, Epoch, Seq, StreamName};

use super::codec::{Fields, Malformed, Out};
use super::commit::{durability_code, durability_of};
use super::control::{self, Change};
use super::index::{Dropped, Index};
use crate::ablation::{Step, skips};
use crate::store::{PublishError, Record, Retention, StreamState};

/// How many events a live ring holds. A receiver that falls further behind reads on from the log.
const LIVE: usize = 1024;

/// How many readers of a stream can be far behind at once without looking for their place anew for each page.
const PAGE_ENDS: usize = 16;

/// One stream.
///
/// About 400 bytes, 32 for each of at most 128 marks of its index, and the events that the tail still holds.
pub(super) struct Stream {
    pub(super) name: StreamName,
    pub(super) durability: Durability,
    /// Fixed while the store is open: only an unclean end changes it.
    pub(super) epoch: Epoch,
    /// The epoch in which it was made: what has an earlier one is of a stream of that name that was deleted.
    pub(super) born: Epoch,
    inner: Mutex<Inner>,
}

/// A mutex of its own, since readers of one stream do not concern those of another, nor the appender.
struct Inner {
    next: Seq,
    visible: Seq,
    oldest: Seq,
    /// The newest events, contiguous: those of commits that are not written yet, and those that the tail holds.
    recent: VecDeque<Record>,
    index: Index,
    /// Where the last pages that were read from the log ended, since their readers go on there: the next seq, and the
    /// place from where on it is found. At most [`PAGE_ENDS`], the oldest first.
    page_ends: Vec<(Seq, u64)>,
    retention: Retention,
    live: Option<broadcast::Sender<Record>>,
}

/// Where to read on in a stream.
pub(super) enum Place {
    /// Here they are.
    Memory(Vec<Record>),
    /// In the log: the seqs up to this one, which the tail no longer holds.
    Log { to: Seq },
}

impl Stream {
    fn new(known: Known, live: Option<broadcast::Sender<Record>>) -> Self {
        let Known { name, durability, epoch, born, oldest, tail, tail_is_told: _, index, retention } = known;
        let (recent, page_ends) = (VecDeque::new(), Vec::new());
        let inner =
            Inner { next: tail.next(), visible: tail, oldest, recent, index, page_ends, retention, live };
        Self { name, durability, epoch, born, inner: Mutex::new(inner) }
    }

    /// Sets how much is kept.
    pub(super) fn keep(&self, retention: Retention) {
        self.inner.lock().retention = retention;
    }

    /// Returns the stream as a control record says it.
    pub(super) fn change(&self) -> Change<'_> {
        let inner = self.inner.lock();
        Change::Stream {
            name: self.name.as_str(),
            durability: self.durability,
            epoch: self.epoch,
            born: self.born,
            oldest: inner.oldest,
            tail: Seq(inner.next.0 - 1),
            retention: inner.retention,
        }
    }

    /// Returns the seq that the next event takes.
    pub(super) fn next(&self) -> Seq {
        self.inner.lock().next
    }

    /// Takes in an event that has been given its place, without showing it.
    pub(super) fn append(&self, record: Record) {
        let mut inner = self.inner.lock();
        inner.next = record.cursor.seq.next();
        inner.recent.push_back(record);
    }

    /// Takes back events that nobody has seen, from a seq on: it is given again.
    pub(super) fn take_back(&self, from: Seq) {
        let mut inner = self.inner.lock();
        inner.next = inner.next.min(from);
        while inner.recent.back().is_some_and(|record| record.cursor.seq >= from) {
            inner.recent.pop_back();
        }
    }

    /// Notes in which commit an event lies.
    pub(super) fn written(&self, record: &Record, offset: u64, time_ms: u64) {
        self.inner.lock().index.note(record.cursor.seq, offset, time_ms, record.json.len());
    }

    /// Lets go what need not be kept; says whether that is more than before.
    pub(super) fn trim(&self, now_ms: u64) -> bool {
        let mut inner = self.inner.lock();
        let oldest = inner.index.oldest_kept(&inner.retention, inner.visible, now_ms);
        if oldest <= inner.oldest {
            return false;
        }
        inner.oldest = oldest;
        inner.index.trim(oldest);
        true
    }

    /// Forgets that there was log before the segment at `base`.
    pub(super) fn cut(&self, base: u64) {
        let mut inner = self.inner.lock();
        inner.index.cut(base);
        inner.page_ends.clear();
    }

    /// Has places in dropped parts of the log be where it is said that they are dropped.
    pub(super) fn drop_within(&self, dropped: &[Dropped]) {
        let mut inner = self.inner.lock();
        inner.index.drop_within(dropped);
        inner.page_ends.clear();
    }

    /// Shows an event, to readers and then to those who follow.
    pub(super) fn show(&self, record: &Record) {
        let mut inner = self.inner.lock();
        inner.visible = record.cursor.seq;
        if inner.live.as_ref().is_some_and(|live| live.send(record.clone()).is_err()) {
            inner.live = None;
        }
    }

    /// Lets the oldest of the newest events go: the log has them.
    pub(super) fn forget(&self, count: usize) {
        let mut inner = self.inner.lock();
        inner.recent.drain(..count);
        if inner.recent.is_empty() {
            inner.recent = VecDeque::new();
        }
    }

    pub(super) fn visible(&self) -> Seq {
        self.inner.lock().visible
    }

    pub(super) fn oldest(&self) -> Seq {
        self.inner.lock().oldest
    }

    /// Says where the visible events after a seq are.
    pub(super) fn after(&self, seq: Seq, limit: usize, bytes: usize) -> Place {
        let inner = self.inner.lock();
        let Some(first) = inner.recent.front().map(|record| record.cursor.seq) else {
            return Place::Log { to: inner.visible };
        };
        let Some(skip) = seq.next().0.checked_sub(first.0) else {
            return Place::Log { to: Seq(first.0 - 1).min(inner.visible) };
        };
        let visible = inner.visible;
        let mut left = bytes;
        let records = inner.recent.iter().skip(skip as usize).take(limit);
        let records = records.take_while(|record| {
            let taken = left > 0 && (record.cursor.seq <= visible || skips(Step::VisibleOnly));
            left = left.saturating_sub(record.json.len());
            taken
        });
        Place::Memory(records.cloned().collect())
    }

    /// Returns the nearest known place from where on a seq is found.
    pub(super) fn indexed(&self, seq: Seq) -> Option<u64> {
        let inner = self.inner.lock();
        let page_end = inner.page_ends.iter().rev().find(|(next, _)| *next == seq);
        inner.index.find(seq).max(page_end.map(|(_, offset)| *offset))
    }

    /// Notes where a page ended.
    pub(super) fn ended_page(&self, next: Seq, offset: u64) {
        let mut inner = self.inner.lock();
        if inner.page_ends.len() == PAGE_ENDS {
            inner.page_ends.remove(0);
        }
        inner.page_ends.push((next, offset));
    }

    /// Forgets where pages ended: room was given back while one was read, and the places are others.
    pub(super) fn forget_page_ends(&self) {
        self.inner.lock().page_ends.clear();
    }

    /// Returns the last visible event.
    pub(super) fn tail(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.visible() }
    }

    /// Ends the live ring.
    fn end(&self) {
        self.inner.lock().live = None;
    }

    fn follow(&self) -> broadcast::Receiver<Record> {
        let mut inner = self.inner.lock();
        inner.live.get_or_insert_with(|| broadcast::channel(LIVE).0).subscribe()
    }

    pub(super) fn state(&self) -> StreamState {
        let inner = self.inner.lock();
        StreamState {
            stream: self.name.clone(),
            tail: Cursor { epoch: self.epoch, seq: inner.visible },
            oldest: inner.oldest,
            durability: self.durability,
            retention: inner.retention,
        }
    }
}

/// What is known of a stream when it appears: when it is made, or when the store is opened.
pub(super) struct Known {
    pub(super) name: StreamName,
    pub(super) durability: Durability,
    pub(super) epoch: Epoch,
    pub(super) born: Epoch,
    pub(super) oldest: Seq,
    /// The last event; the one before the oldest, if there is none.
    pub(super) tail: Seq,
    /// Whether the tail is only known from a control record; the events themselves may say less, after a full disk.
    pub(super) tail_is_told: bool,
    pub(super) index: Index,
    pub(super) retention: Retention,
}

impl Known {
    pub(super) fn encode(&self, out: &mut Out) {
        out.bytes(self.name.as_str().as_bytes());
        out.raw(&[durability_code(self.durability), u8::from(self.tail_is_told)]);
        out.u64s(&[self.epoch.0, self.born.0, self.oldest.0, self.tail.0]);
        out.u64s(&control::limits(&self.retention));
        self.index.encode(out);
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            name: fields.parsed()?,
            durability: durability_of(fields.u8()?)?,
            tail_is_told: fields.u8()? != 0,
            epoch: Epoch(fields.u64()?),
            born: Epoch(fields.u64()?),
            oldest: fields.seq()?,
            tail: fields.seq()?,
            retention: control::retention(fields)?,
            index: Index::decode(fields)?,
        })
    }

    /// Returns a stream of which nothing is known before a seq.
    pub(super) fn first_known(name: StreamName, durability: Durability, epoch: Epoch, oldest: Seq) -> Self {
        let (tail, retention) = (Seq(oldest.0 - 1), Retention::of(&name));
        let (index, tail_is_told) = (Index::default(), false);
        Self { name, durability, epoch, born: epoch, oldest, tail, tail_is_told, index, retention }
    }
}

/// All streams. Only the appender adds one.
#[derive(Default)]
pub(super) struct Streams {
    by_name: RwLock<HashMap<StreamName, Arc<Stream>>>,
    /// Rings of streams that nobody has published to yet; each goes when its last receiver does.
    awaited: Mutex<HashMap<StreamName, broadcast::Sender<Record>>>,
    /// The ring of all streams, while somebody observes it. Asked for every event, set seldom.
    all: RwLock<Option<broadcast::Sender<Record>>>,
    /// Whether there will be no more events.
    ended: AtomicBool,
}

impl Streams {
    pub(super) fn get(&self, name: &StreamName) -> Option<Arc<Stream>> {
        self.by_name.read().get(name).cloned()
    }

    /// Refuses more streams than there may be; the first of those that would be made is named.
    pub(super) fn check_room(&self, name: &StreamName, new: usize, limit: usize) -> Result<(), PublishError> {
        if self.by_name.read().len() + new > limit {
            return Err(PublishError::TooManyStreams { stream: name.clone(), limit });
        }
        Ok(())
    }

    /// Adds a stream, with those who already follow it.
    pub(super) fn add(&self, known: Known) -> Arc<Stream> {
        let mut by_name = self.by_name.write();
        let live = self.awaited.lock().remove(&known.name);
        let name = known.name.clone();
        let stream = Arc::new(Stream::new(known, live));
        by_name.insert(name, stream.clone());
        stream
    }

    /// Takes a stream out. Those who follow it follow the next one of that name, and see by its epoch that it is one.
    pub(super) fn remove(&self, name: &StreamName) {
        let mut by_name = self.by_name.write();
        let live = by_name.remove(name).and_then(|stream| stream.inner.lock().live.take());
        if let Some(live) = live {
            self.awaited.lock().insert(name.clone(), live);
        }
    }

    /// Returns a live ring of a stream, whether it is there or not.
    pub(super) fn follow(&self, name: &StreamName) -> broadcast::Receiver<Record> {
        // Held across all looks, so that the stream is not made and the rings do not end between them.
        let by_name = self.by_name.read();
        if self.ended.load(Ordering::Relaxed) {
            return broadcast::channel(1).1;
        }
        if let Some(stream) = by_name.get(name) {
            return stream.follow();
        }
        let mut awaited = self.awaited.lock();
        awaited.retain(|_, live| live.receiver_count() > 0);
        awaited.entry(name.clone()).or_insert_with(|| broadcast::channel(LIVE).0).subscribe()
    }

    /// Returns the live ring of all streams.
    pub(super) fn observe(&self) -> broadcast::Receiver<Record> {
        let mut all = self.all.write();
        if self.ended.load(Ordering::Relaxed) {
            return broadcast::channel(1).1;
        }
        all.get_or_insert_with(|| broadcast::channel(LIVE).0).subscribe()
    }

    /// Ends all live rings: receivers get what is in them, and then that nothing follows.
    pub(super) fn end(&self) {
        let by_name = self.by_name.write();
        let mut all = self.all.write();
        self.ended.store(true, Ordering::Relaxed);
        *all = None;
        self.awaited.lock().clear();
        by_name.values().for_each(|stream| stream.end());
    }

    /// Shows an event that has become visible to those who observe all streams.
    pub(super) fn show(&self, record: &Record) {
        let unheard = self.all.read().as_ref().is_some_and(|all| all.send(record.clone()).is_err());
        if unheard {
            // Somebody may have come in between.
            self.all.write().take_if(|all| all.receiver_count() == 0);
        }
    }

    /// Returns every stream.
    pub(super) fn all(&self) -> Vec<Arc<Stream>> {
        self.by_name.read().values().cloned().collect()
    }

    /// Returns every stream with its tail, by name.
    pub(super) fn states(&self) -> Vec<StreamState> {
        let mut states: Vec<_> = self.by_name.read().values().map(|stream| stream.state()).collect();
        states.sort_by(|a, b| a.stream.cmp(&b.stream));
        states
    }
}
