//! The thread that writes: everything that waits with one write, and one sync where anything needs it.
//!
//! An event of a `page` stream becomes visible when it is written, one of a `durable` stream when it is synced: its
//! state first, then the event, then its live ring, and then whoever published it is answered. A row is shown when it
//! is synced.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use undercurrent_types::{Key, Position};

use super::control::{Change, decode};
use super::file::Lock;
use super::frame::{FRAME, Kind};
use super::log::{Log, is_full, now_ms};
use super::queue::{Failure, Item, Needs, Refused};
use super::shared::Shared;
use super::streams::Stream;
use crate::store::Record;

/// How many bytes of written commits stay in memory, so that readers at the tail need no disk.
const TAIL: usize = 4 << 20;

/// Writes the log. It ends when the queue is closed.
pub(super) struct Flusher {
    shared: Arc<Shared>,
    log: Log,
    /// Written commits whose events are still in memory, oldest first.
    tail: VecDeque<Held>,
    tail_bytes: usize,
    /// The end of the last record that a reader may have seen an event of.
    seen: u64,
    /// Events of `memory` streams that readers saw before the disk was found full. They are written first when there is
    /// room; until then no event is accepted, so they stay within the bound of the queue.
    deferred: Vec<Item>,
    full_retry: Duration,
    /// The thread that gives room back, which ends before the directory is given free.
    cleaner: Option<JoinHandle<()>>,
}

struct Held {
    bytes: usize,
    events: Vec<(Arc<Stream>, usize)>,
}

/// A record whose item waits to be finished.
struct Placed {
    item: Item,
    offset: u64,
}

impl Flusher {
    pub(super) fn new(
        shared: Arc<Shared>,
        log: Log,
        cleaner: Option<JoinHandle<()>>,
        full_retry: Duration,
    ) -> Self {
        let tail = VecDeque::new();
        Self { shared, log, tail, tail_bytes: 0, seen: 0, deferred: Vec::new(), full_retry, cleaner }
    }

    /// Runs until the queue is closed, then writes that the log was closed and gives the directory free.
    pub(super) fn run(mut self, lock: Lock, closed_tx: &watch::Sender<bool>) {
        loop {
            let is_full = self.shared.full.lock().is_some();
            let (items, closing) = self.shared.queue.take(is_full.then_some(self.full_retry));
            self.flush(items);
            if closing {
                break;
            }
        }
        // Without that mark the streams of what could not be written go on in a new epoch.
        if self.shared.failure.get().is_none()
            && self.deferred.is_empty()
            && let Err(e) = self.write_clean()
            && !is_full(&e)
        {
            self.fail(&e);
        }
        // The live rings and the segment under way first, then who gives room back, then the lock.
        let cleaner = self.cleaner.take();
        drop(self);
        if let Some(cleaner) = cleaner {
            // It has said what went wrong.
            let _ = cleaner.join();
        }
        drop(lock);
        closed_tx.send_replace(true);
    }

    fn write_clean(&mut self) -> io::Result<()> {
        let position = self.shared.order.lock().position;
        self.log.place(Kind::Clean, position, now_ms(), &[])?;
        self.log.write()?;
        self.log.sync()
    }

    fn flush(&mut self, items: Vec<Item>) {
        if let Some(failure) = self.shared.failure.get() {
            refuse(items, &Refused::Failed(failure.clone()));
            return;
        }
        let was_full = self.shared.full.lock().is_some();
        let segment = self.log.segment_base();
        let mut waiting = std::mem::take(&mut self.deferred);
        waiting.extend(items);
        let mut placed = Vec::with_capacity(waiting.len());
        let result = match if was_full { self.log.make_room() } else { Ok(()) } {
            Ok(()) => self.write_and_show(waiting, &mut placed),
            Err(e) => self.write_what_gives_room(e, waiting, &mut placed),
        };
        if self.log.segment_base() != segment {
            self.shared.closing.wake();
        }
        match result {
            Ok(()) if was_full => {
                tracing::info!("the disk has room again: events are accepted");
                *self.shared.full.lock() = None;
            }
            Ok(()) => {}
            Err((e, items)) if is_full(&e) => self.wait_for_room(&e, items),
            Err((e, items)) => {
                let failure = self.fail(&e);
                let items = placed.into_iter().map(|placed| placed.item).chain(items).collect();
                refuse(items, &Refused::Failed(failure));
            }
        }
    }

    /// While the disk is full, control records are written if the segment has room for them: they come before a removal.
    fn write_what_gives_room(
        &mut self,
        full: io::Error,
        waiting: Vec<Item>,
        placed: &mut Vec<Placed>,
    ) -> Result<(), (io::Error, Vec<Item>)> {
        let is_control = |item: &Item| item.write.as_ref().is_some_and(|write| write.kind == Kind::Control);
        let (control, mut others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_control);
        // Nothing that readers saw may come behind them.
        if others.iter().any(Item::is_shown) {
            others.extend(control);
            return Err((full, others));
        }
        match self.write_and_show(control, placed) {
            Ok(()) => Err((full, others)),
            Err((e, left)) => Err((e, left.into_iter().chain(others).collect())),
        }
    }

    /// Does all of it; on an error, returns the items that are not placed. If the disk is full, the others are done.
    fn write_and_show(
        &mut self,
        items: Vec<Item>,
        placed: &mut Vec<Placed>,
    ) -> Result<(), (io::Error, Vec<Item>)> {
        let mut items = items.into_iter();
        let mut full = None;
        while let Some(item) = items.next() {
            match self.place(&item) {
                Ok(offset) => placed.push(Placed { item, offset }),
                Err(e) => {
                    let left = std::iter::once(item).chain(items).collect();
                    if !is_full(&e) {
                        return Err((e, left));
                    }
                    full = Some((e, left));
                    break;
                }
            }
        }
        match self.log.write() {
            Ok(()) => {}
            Err(e) if is_full(&e) => full = Some((e, full.map_or_else(Vec::new, |(_, left)| left))),
            Err(e) => return Err((e, full.map_or_else(Vec::new, |(_, left)| left))),
        }
        if let Some((_, left)) = &mut full {
            let taken_back =
                placed.split_off(placed.partition_point(|placed| placed.offset < self.log.end()));
            left.splice(..0, taken_back.into_iter().map(|placed| placed.item));
        }
        self.shared.log_bytes.store(self.log.end() - self.shared.segments.oldest(), Ordering::Relaxed);
        self.shared.written.store(self.log.end(), Ordering::Release);
        self.note_places(placed);
        self.finish(placed, Needs::Write);
        if placed.iter().any(|placed| placed.item.needs == Needs::Sync)
            && let Err(e) = self.log.sync()
        {
            return Err((e, full.map_or_else(Vec::new, |(_, left)| left)));
        }
        self.finish(placed, Needs::Sync);
        self.keep_tail(placed);
        full.map_or(Ok(()), Err)
    }

    /// Refuses what has no room, and all that came behind it, as if it had never been; the seqs are given again.
    ///
    /// What readers of a `memory` stream saw already can not be refused, and waits. A commit that has such events and
    /// stronger ones can do neither, which is a failure of the log.
    fn wait_for_room(&mut self, error: &io::Error, mut items: Vec<Item>) {
        let shared = self.shared.clone();
        let mut order = shared.order.lock();
        items.extend(shared.queue.take_now());
        if items.iter().any(|item| item.is_shown() && !item.is_all_shown()) {
            drop(order);
            let failure = self.fail(error);
            refuse(items, &Refused::Failed(failure));
            return;
        }
        let failure = shared.full.lock().get_or_insert_with(|| Failure::new(error)).clone();
        let (shown, unseen): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| item.is_shown() || item.holds);
        shared.take_back(&mut order, &unseen);
        drop(order);
        tracing::warn!(reason = %failure.reason, refused = unseen.len(), "the disk is full: no events are accepted");
        let refused = Refused::Full(failure);
        self.deferred.extend(shown.into_iter().map(|item| item.deferred(&refused)));
        self.settle(unseen.iter().filter_map(|item| Some(item.write.as_ref()?.position)).max());
        refuse(unseen, &refused);
    }

    fn place(&mut self, item: &Item) -> io::Result<u64> {
        if item.ends_segment {
            let position = self.shared.horizon.applied();
            self.log.end_segment(position)?;
        }
        match &item.write {
            Some(write) => self.log.place(write.kind, write.position, write.time_ms, &write.payload),
            None => Ok(self.log.end()),
        }
    }

    /// Says where in the log the commits lie, now that they can be read there.
    fn note_places(&self, placed: &[Placed]) {
        for Placed { item, offset } in placed {
            if let Some(write) = &item.write {
                self.shared.places.note(write.position, *offset);
            }
            for event in &item.events {
                let time_ms = item.write.as_ref().map_or(0, |write| write.time_ms);
                event.stream.written(&event.record, *offset, time_ms);
            }
        }
        let mut history = self.shared.history.lock();
        let moving = placed.iter().filter_map(|placed| Some((placed.item.write.as_ref()?, placed.offset)));
        for (write, offset) in moving.filter(|(write, _)| write.has_names) {
            history.written(write.position, offset);
        }
    }

    /// Shows the events and answers the callers that needed just this.
    fn finish(&mut self, placed: &mut [Placed], stage: Needs) {
        for Placed { item, offset } in placed.iter_mut() {
            let Some(write) = &item.write else {
                answer(item, stage);
                continue;
            };
            for (i, event) in item.events.iter().enumerate() {
                if Needs::from(event.stream.durability) == stage {
                    event.show(&self.shared, write.position);
                    self.seen = self.seen.max(*offset + (FRAME + write.payload.len()) as u64);
                }
                if stage == Needs::Sync
                    && let Some((key, _)) = &event.latest
                {
                    self.shared.latest.written(key, write.position, (*offset, i));
                }
            }
            if stage == Needs::Sync && !item.rows.is_empty() {
                self.shared.tables.show(&item.rows, write.position);
                self.seen = self.seen.max(*offset + (FRAME + write.payload.len()) as u64);
            }
            if stage == Needs::Sync && write.kind == Kind::Control {
                follow_control(&self.shared, &write.payload, *offset);
            }
            if stage == Needs::Sync && write.kind == Kind::Reserve {
                self.shared.reserved.store(reserved_by(&write.payload), Ordering::Release);
            }
        }
        // Those who wait for the order to settle come before those who published: who has an answer sees the event.
        self.settle(settled_after(placed, stage));
        placed.iter_mut().for_each(|placed| answer(&mut placed.item, stage));
    }

    fn settle(&self, settled: Option<Position>) {
        let Some(settled) = settled else { return };
        self.shared.settled_tx.send_if_modified(|at| {
            let risen = settled.0 > *at;
            *at = (*at).max(settled.0);
            risen
        });
    }

    /// Keeps the events of the newest commits in memory, up to a bound, and lets those before them go.
    fn keep_tail(&mut self, placed: &[Placed]) {
        for Placed { item, .. } in placed.iter().filter(|placed| !placed.item.events.is_empty()) {
            let payload = item.write.as_ref().map_or(0, |write| write.payload.len());
            let bytes = payload + item.events.len() * size_of::<Record>();
            let mut events: Vec<(Arc<Stream>, usize)> = Vec::new();
            for event in &item.events {
                match events.last_mut().filter(|(stream, _)| Arc::ptr_eq(stream, &event.stream)) {
                    Some((_, count)) => *count += 1,
                    None => events.push((event.stream.clone(), 1)),
                }
            }
            self.tail_bytes += bytes;
            self.tail.push_back(Held { bytes, events });
        }
        let most = if placed.iter().any(|placed| placed.item.ends_segment) { 0 } else { TAIL };
        while self.tail_bytes > most
            && let Some(held) = self.tail.pop_front()
        {
            self.tail_bytes -= held.bytes;
            held.events.iter().for_each(|(stream, count)| stream.forget(*count));
        }
    }

    /// Ends the writing for good: the log is not tried again, and what no one has seen is cut off it.
    fn fail(&mut self, error: &io::Error) -> Failure {
        let failure = Failure::new(error);
        tracing::error!(reason = %failure.reason, "the log can not be written: no more events are accepted");
        let failure = self.shared.failure.get_or_init(|| failure).clone();
        self.log.cut(self.seen);
        self.shared.settled_tx.send_replace(u64::MAX);
        failure
    }
}

impl Drop for Flusher {
    /// Whatever ends the thread, nobody waits for it any more: a defect here is a failure of the log.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fail(&io::Error::other("the thread that writes it panicked"));
        }
        self.shared.closing.say();
        self.shared.queue.end();
        self.shared.streams.end();
    }
}

/// Returns the last position up to which a stage leaves nothing open.
fn settled_after(placed: &[Placed], stage: Needs) -> Option<Position> {
    let settled = placed.iter().take_while(|placed| placed.item.needs <= stage);
    settled.filter_map(|placed| Some(placed.item.write.as_ref()?.position)).last()
}

/// Forgets what events of a deleted stream said that became visible when it was deleted already, and notes where states
/// lie that were written once more.
fn follow_control(shared: &Shared, payload: &[u8], offset: u64) {
    for (i, change) in decode(payload).into_iter().flatten().enumerate() {
        match change {
            Change::Deleted { name, epoch } => {
                if let Ok(name) = name.parse() {
                    shared.latest.forget_stream(&name, epoch);
                }
            }
            Change::Fact { key, at, .. } => {
                if let Ok(key) = Key::parse(key) {
                    shared.latest.moved(&key, at, (offset, i));
                }
            }
            _ => {}
        }
    }
}

fn reserved_by(payload: &[u8]) -> u64 {
    payload.try_into().map_or(0, u64::from_le_bytes)
}

fn answer(item: &mut Item, stage: Needs) {
    if item.needs <= stage
        && let Some(waiter) = item.waiter.take()
    {
        // Whoever has stopped waiting has stopped waiting.
        let _ = waiter.send(Ok(()));
    }
}

fn refuse(items: Vec<Item>, why: &Refused) {
    for waiter in items.into_iter().filter_map(|item| item.waiter) {
        let _ = waiter.send(Err(why.clone()));
    }
}
