//! What the appender hands to the flusher.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use undercurrent_types::{Durability, Key, Position};

use super::frame::Kind;
use super::streams::Stream;
use crate::store::{PublishError, Record, RowWrite};

/// How long a record that nobody waits for may stay unwritten.
const UNHURRIED: Duration = Duration::from_millis(10);
/// How many bytes nobody waits for are written at once.
const ENOUGH: usize = 256 << 10;

/// A step of the appender that the flusher has to finish.
#[derive(Default)]
pub(super) struct Item {
    /// What is written; without it the item only waits for those before it.
    pub(super) write: Option<Write>,
    pub(super) events: Vec<Appended>,
    /// Shown when they are synced.
    pub(super) rows: Vec<RowWrite>,
    /// Ends the segment, and lets the newest events go from memory.
    pub(super) ends_segment: bool,
    /// What has to happen before those who wait are answered.
    pub(super) needs: Needs,
    pub(super) waiter: Option<oneshot::Sender<Result<(), Refused>>>,
    /// Whether it is written however long that takes, since memory has it already.
    pub(super) holds: bool,
    /// The room that the item takes in the queue, until it is dropped.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Item {
    /// Says whether readers saw events of it as soon as it had its place.
    pub(super) fn is_shown(&self) -> bool {
        self.events.iter().any(Appended::is_shown)
    }

    /// Says whether nothing of it remains to be shown.
    pub(super) fn is_all_shown(&self) -> bool {
        self.rows.is_empty() && self.events.iter().all(Appended::is_shown)
    }

    /// Lets whoever waits for it go, and its room in the queue: it is written later.
    pub(super) fn deferred(mut self, why: &Refused) -> Self {
        self.room = None;
        self.needs = Needs::Nothing;
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.send(Err(why.clone()));
        }
        self
    }
}

impl Appended {
    fn is_shown(&self) -> bool {
        self.stream.durability == Durability::Memory
    }
}

/// A record on its way to the log.
pub(super) struct Write {
    pub(super) kind: Kind,
    pub(super) position: Position,
    pub(super) time_ms: u64,
    pub(super) payload: Bytes,
    pub(super) has_names: bool,
}

/// An event that has its place.
pub(super) struct Appended {
    pub(super) stream: Arc<Stream>,
    pub(super) record: Record,
    pub(super) latest: Option<(Key, Option<Bytes>)>,
}

/// What those who wait for an item wait for, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    #[default]
    Nothing,
    Write,
    Sync,
}

impl From<Durability> for Needs {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Memory => Self::Nothing,
            Durability::Page => Self::Write,
            Durability::Durable | Durability::Replicated => Self::Sync,
        }
    }
}

/// What ended the writing, or holds it up.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) since: String,
    pub(super) reason: String,
}

/// Why an item was not written.
#[derive(Clone, Debug)]
pub(super) enum Refused {
    /// The disk is full. Nothing of the item is left, and it can be tried again.
    Full(Failure),
    /// The log has failed. What was under way may be there after a restart.
    Failed(Failure),
}

impl Failure {
    /// Begins now.
    pub(super) fn new(error: &std::io::Error) -> Self {
        Self { since: jiff::Timestamp::now().to_string(), reason: error.to_string() }
    }
}

impl Refused {
    /// The answer to what comes later: it is not written.
    pub(super) fn refusal(self) -> PublishError {
        match self {
            Self::Full(Failure { since, reason }) => PublishError::Full { since, reason },
            Self::Failed(Failure { since, reason }) => PublishError::Failed { since, reason },
        }
    }

    /// The answer to what was under way.
    pub(super) fn doubt(self) -> PublishError {
        match self {
            Self::Full(_) => self.refusal(),
            Self::Failed(Failure { reason, .. }) => PublishError::Unknown { reason },
        }
    }
}

/// Items in the order of their positions.
///
/// Bounded by the room that items with events or rows take before they come here, and that items without leave the log
/// unwritten for. A mutex with a condition: the flusher is a thread and takes everything at once.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    items: Vec<Item>,
    bytes: usize,
    urgent: bool,
    closing: bool,
    ended: bool,
}

impl Queue {
    pub(super) fn push(&self, item: Item) {
        let mut waiting = self.waiting.lock();
        if waiting.ended {
            return;
        }
        waiting.bytes += item.write.as_ref().map_or(0, |write| write.payload.len());
        let was_urgent = waiting.urgent;
        waiting.urgent |= item.needs > Needs::Nothing || waiting.bytes >= ENOUGH;
        let wake = waiting.items.is_empty() || waiting.urgent != was_urgent;
        waiting.items.push(item);
        drop(waiting);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Waits for items, for no longer than that, and takes them all; says whether no more will come.
    pub(super) fn take(&self, at_most: Option<Duration>) -> (Vec<Item>, bool) {
        let mut waiting = self.waiting.lock();
        let is_idle = |w: &mut Waiting| w.items.is_empty() && !w.closing;
        match at_most {
            None => self.changed.wait_while(&mut waiting, is_idle),
            Some(at_most) => {
                self.changed.wait_while_for(&mut waiting, is_idle, at_most);
            }
        }
        if !waiting.urgent && !waiting.closing {
            self.changed.wait_while_for(&mut waiting, |w| !w.urgent && !w.closing, UNHURRIED);
        }
        waiting.bytes = 0;
        waiting.urgent = false;
        (std::mem::take(&mut waiting.items), waiting.closing)
    }

    /// Takes what is there.
    pub(super) fn take_now(&self) -> Vec<Item> {
        let mut waiting = self.waiting.lock();
        waiting.bytes = 0;
        waiting.urgent = false;
        std::mem::take(&mut waiting.items)
    }

    /// Has the flusher end once it has taken what is there.
    pub(super) fn close(&self) {
        self.waiting.lock().closing = true;
        self.changed.notify_one();
    }

    /// Drops what is there and whatever comes: nobody takes it any more.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting.lock();
        waiting.ended = true;
        waiting.items = Vec::new();
    }
}
