//! What the parts of a shared store have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use undercurrent_types::{Position, Token};

use super::barrier::barrier;
use super::connection::Link;
use super::follow::Rings;
use super::lease::Vouched;
use super::replicate::Replication;
use super::rounds::Rounds;
use crate::store::moment::nanos;
use crate::store::{Moment, StoreError};

/// The most time between two barriers that keep reads at `bounded` without a round trip.
const WARM: Duration = Duration::from_millis(100);
/// How old the note of the last read at `bounded` may be, in nanoseconds.
const NOTE: u64 = 1_000_000;

/// The state of a store, shared with its tasks.
pub(super) struct Shared {
    pub(super) link: Link,
    pub(super) rings: Rings,
    pub(super) vouched: Vouched,
    pub(super) replication: Replication,
    barriers: Arc<Rounds<Result<Token, StoreError>>>,
    last: LastBarrier,
    warm: Warm,
    closed_tx: watch::Sender<bool>,
}

/// The last barrier that came back, as nanoseconds and a position. The position is written first and read last, so it
/// is at least that of the barrier that was sent then.
#[derive(Default)]
struct LastBarrier {
    sent: AtomicU64,
    position: AtomicU64,
}

/// Who reads at `bounded`.
#[derive(Default)]
struct Warm {
    /// When somebody last did, in nanoseconds.
    asked: AtomicU64,
    /// The shortest age that was asked for lately, in nanoseconds.
    age: AtomicU64,
    begun: Notify,
}

impl Warm {
    /// Notes that somebody reads at `bounded`. Most reads have nothing new to say, and write nothing that all share.
    #[inline]
    fn ask(&self, now: u64, age: u64) {
        let quiet = now.saturating_sub(self.asked.load(Ordering::Relaxed));
        let shorter = age < self.age.load(Ordering::Relaxed);
        if quiet <= NOTE && !shorter {
            return;
        }
        self.asked.store(now, Ordering::Relaxed);
        if self.age.fetch_min(age, Ordering::Relaxed) > age || quiet > nanos(WARM) {
            self.begun.notify_one();
        }
    }
}

impl Shared {
    pub(super) fn new(link: Link, vouched: Vouched) -> Self {
        Self {
            link,
            rings: Rings::new(),
            vouched,
            replication: Replication::default(),
            barriers: Arc::default(),
            last: LastBarrier::default(),
            warm: Warm { age: AtomicU64::new(u64::MAX), ..Warm::default() },
            closed_tx: watch::Sender::new(false),
        }
    }

    /// Returns a position that is not below any invalidation that returned before the call.
    pub(super) async fn barrier(&self) -> Result<Token, StoreError> {
        self.barriers
            // Boxed, since only few of those who share it send it.
            .share(|| {
                Box::pin(async {
                    let sent = Moment::now().since_boot();
                    let token = barrier(&self.link).await?;
                    self.last.position.fetch_max(token.position.0, Ordering::AcqRel);
                    self.last.sent.fetch_max(sent, Ordering::AcqRel);
                    Ok(token)
                })
            })
            .await
            .unwrap_or(Err(StoreError::Closed))
    }

    /// Returns the last barrier that came back, if it was sent no longer ago than this.
    pub(super) fn barrier_within(&self, age: Duration) -> Option<Position> {
        let now = Moment::now().since_boot();
        let age = nanos(age);
        self.warm.ask(now, age);
        let sent = self.last.sent.load(Ordering::Acquire);
        let position = Position(self.last.position.load(Ordering::Acquire));
        (sent > 0 && now.saturating_sub(sent) <= age).then_some(position)
    }

    pub(super) fn close(&self) {
        self.closed_tx.send_replace(true);
        self.rings.ring();
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closed_tx.borrow()
    }

    /// Waits until the store is closed.
    pub(super) async fn closed(&self) {
        // The sender is here, so it can not be gone.
        let _ = self.closed_tx.subscribe().wait_for(|closed| *closed).await;
    }
}

/// Sends barriers while reads at `bounded` come, so that they need none themselves; until the store ends.
pub(super) async fn keep_warm(shared: Arc<Shared>) {
    let warm = &shared.warm;
    while !shared.is_closed() {
        let age = warm.age.load(Ordering::Relaxed);
        let every = Duration::from_nanos(age / 2).min(WARM);
        let quiet = Moment::now().since_boot().saturating_sub(warm.asked.load(Ordering::Relaxed));
        if age == u64::MAX || quiet > nanos(WARM * 20) {
            warm.age.store(u64::MAX, Ordering::Relaxed);
            tokio::select! {
                () = warm.begun.notified() => {}
                () = shared.closed() => return,
            }
            continue;
        }
        // A failure is found by whoever asks next.
        let _ = shared.barrier().await;
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = shared.closed() => return,
        }
    }
}
