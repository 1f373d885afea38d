//! What became of an event, and the appends that wait for room.

use std::collections::HashMap;

use parking_lot::Mutex;
use undercurrent_types::{Cursor, Durability, Seq, StreamName};

use super::ids::IdKey;
use super::log::now_ms;
use super::manage::Done;
use super::queue::Item;
use super::shared::Shared;

/// The ids of batches that wait for room in the queue: they are not in the order yet, and may be dropped.
///
/// A mutex: taken where a batch has to wait, and by who asks. Bounded by the callers that wait.
#[derive(Default)]
pub(super) struct Awaiting(Mutex<HashMap<IdKey, usize>>);

/// A batch that waits; it leaves when this is dropped.
pub(super) struct Waits<'a> {
    awaiting: &'a Awaiting,
    ids: Vec<IdKey>,
}

impl Awaiting {
    pub(super) fn enter(&self, ids: Vec<IdKey>) -> Waits<'_> {
        let mut waiting = self.0.lock();
        ids.iter().for_each(|id| *waiting.entry(*id).or_default() += 1);
        drop(waiting);
        Waits { awaiting: self, ids }
    }

    fn has(&self, id: IdKey) -> bool {
        self.0.lock().contains_key(&id)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut waiting = self.awaiting.0.lock();
        for id in &self.ids {
            if let Some(count) = waiting.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    waiting.remove(id);
                }
            }
        }
    }
}

/// What is known of an id at one moment.
pub(super) enum Place {
    /// The event has its place, and is as safe as promised once that has ended.
    At(Cursor, Durability, Option<Done>),
    Awaited,
    Nowhere,
}

impl Shared {
    /// Looks an id up.
    pub(super) fn place_of(&self, name: &StreamName, source: &str, id: &str) -> Place {
        let id = self.id_hasher.hash(name.as_str(), source, id);
        // First: a batch enters before it waits and leaves after it has its place.
        let is_awaited = self.awaiting.has(id);
        let mut order = self.order.lock();
        order.ids.expire(now_ms());
        let stream = self.streams.get(name);
        let known = stream.zip(order.ids.get(id));
        // An id of a stream that was deleted is not one of its successor.
        let Some((stream, given)) = known.filter(|(stream, given)| given.epoch >= stream.born) else {
            return if is_awaited { Place::Awaited } else { Place::Nowhere };
        };
        let cursor = Cursor { epoch: stream.epoch, seq: given.seq };
        let done_rx = (stream.visible() < given.seq).then(|| {
            let (waiter, done_rx) = tokio::sync::oneshot::channel();
            // With the order held, so it stands behind what it waits for.
            self.queue.push(Item {
                needs: stream.durability.into(),
                waiter: Some(waiter),
                ..Item::default()
            });
            done_rx
        });
        Place::At(cursor, stream.durability, done_rx)
    }
}

/// Returns the place of a reader who reads on with that event.
pub(super) fn before(cursor: Cursor) -> Cursor {
    Cursor { seq: Seq(cursor.seq.0.saturating_sub(1)), ..cursor }
}
