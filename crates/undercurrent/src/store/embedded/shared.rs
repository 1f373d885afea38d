//! What the appender, the flusher and readers share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, watch};
use undercurrent_types::{Epoch, Incarnation, Position, Token};

use super::checkpoint::Reach;
use super::closing::Closing;
use super::history::History;
use super::ids::{IdHasher, Ids};
use super::last::Last;
use super::latest::Latest;
use super::outcome::Awaiting;
use super::queue::{Failure, Queue, Refused};
use super::scan::Places;
use super::segment::Segments;
use super::streams::Streams;
use super::tables::Tables;
use crate::store::Horizon;

/// How many bytes may wait to be written. Who publishes more waits for room.
pub(super) const ROOM: usize = 8 << 20;

/// The state of an open store. Locks are taken in the order of the fields, but for `tidying`, which comes first.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) incarnation: Incarnation,
    /// The epoch of streams that are made now. Raised with the order held.
    pub(super) epoch: AtomicU64,
    pub(super) id_hasher: IdHasher,
    pub(super) horizon: Horizon,
    /// Room in the queue, in bytes; taken before the order, so that nobody waits while holding it.
    pub(super) room: Arc<Semaphore>,
    /// What waits for that room.
    pub(super) awaiting: Awaiting,
    /// The one order. A mutex that the publishing caller holds itself, without I/O and without waiting.
    pub(super) order: Mutex<Order>,
    pub(super) streams: Streams,
    /// How many there may be.
    pub(super) most_streams: usize,
    /// Many readers, who ask where a floor says no; written with the order held.
    pub(super) last: RwLock<Last>,
    pub(super) latest: Latest,
    pub(super) history: Mutex<History>,
    pub(super) tables: Tables,
    pub(super) places: Places,
    /// How far the checkpoint goes. Held by whoever changes it, or files of the log that are sealed. Before the order.
    pub(super) tidying: Mutex<Reach>,
    pub(super) queue: Queue,
    /// Ends the thread that gives room back.
    pub(super) closing: Closing,
    /// The epoch that the streams have since the last unclean start that may have lost events then.
    pub(super) unclean_epoch: Epoch,
    pub(super) segments: Arc<Segments>,
    /// Why the log is written no more.
    pub(super) failure: OnceLock<Failure>,
    /// Why no events are accepted until the disk has room again. Set with the order held.
    pub(super) full: Mutex<Option<Failure>>,
    /// The end of the positions that are reserved on disk, so that no later start gives them again.
    pub(super) reserved: AtomicU64,
    /// The last position with events that were not visible at once.
    pub(super) last_unsettled: AtomicU64,
    /// Everything up to this position is visible or failed.
    pub(super) settled_tx: watch::Sender<u64>,
    pub(super) log_bytes: AtomicU64,
    /// The end of the log as far as it is written.
    pub(super) written: AtomicU64,
}

/// What one step of the order reads and writes.
pub(super) struct Order {
    pub(super) position: Position,
    /// The end of the positions that are reserved or about to be.
    pub(super) asked: Position,
    pub(super) ids: Ids,
    pub(super) closed: bool,
}

impl Shared {
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    pub(super) fn token(&self, position: Position) -> Token {
        Token { inc: self.incarnation, position }
    }

    /// Returns why events are refused, if they are.
    pub(super) fn refusal(&self) -> Option<Refused> {
        let failed = self.failure.get().cloned().map(Refused::Failed);
        failed.or_else(|| self.full.lock().clone().map(Refused::Full))
    }

    /// Waits until everything up to a position is visible or failed.
    pub(super) async fn settled(&self, at: Position) {
        // Events that are visible at once become so while the order is held, just after their position can be read.
        drop(self.order.lock());
        let needed = at.0.min(self.last_unsettled.load(Ordering::Acquire));
        let mut settled_rx = self.settled_tx.subscribe();
        // The sender lives as long as `self`.
        let _ = settled_rx.wait_for(|settled| *settled >= needed).await;
    }
}
