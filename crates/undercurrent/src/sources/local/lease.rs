//! How long the watcher is believed without a sign of life.
//!
//! A cookie that comes back proves that the kernel, the watcher's thread and the pipeline all work, and renews the lease
//! for a time counted from before the cookie was written. A thread of its own, which waits for none of them, puts the
//! roots in doubt when the lease has lapsed: so reads need no clock, and a watcher that hangs looks fresh for one lease
//! and one look at most. When cookies come back again, the roots are walked anew before anything is vouched for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::cookie::Cookies;
use super::guard::doubts;
use super::health::{Board, Health};
use super::publish::{Publish, Refusal};
use crate::cache::Moment;
use crate::store::Invalidation;
use crate::workspace::Workspace;
use undercurrent_types::Name;

/// The lease of one watcher.
pub(super) struct Lease {
    time: Duration,
    /// Written at each beat, and looked at by the keeper: two threads, and neither in a hurry.
    until: Mutex<Moment>,
    has_lapsed: AtomicBool,
    /// Whether the store did not hear of this node for too long, and the roots have not been walked since.
    is_forgotten: AtomicBool,
    /// Wakes the pipeline when a lapsed lease has been renewed; one permit is enough, since one walk answers for all.
    renewed: Notify,
}

impl Lease {
    /// Begins a lease now.
    pub(super) fn new(time: Duration) -> Self {
        let until = Mutex::new(Moment::now().after(time));
        Self {
            time,
            until,
            has_lapsed: AtomicBool::new(false),
            is_forgotten: AtomicBool::new(false),
            renewed: Notify::new(),
        }
    }

    /// Says whether it has lapsed, and the roots have not been walked since.
    pub(super) fn has_lapsed(&self) -> bool {
        self.has_lapsed.load(Ordering::Acquire)
    }

    /// Returns why the roots are in doubt, for people.
    pub(super) fn reason(&self) -> String {
        if self.is_forgotten.load(Ordering::Acquire) && !self.has_lapsed() {
            return "the store did not hear of this node for too long".to_owned();
        }
        format!("the watcher gave no sign of life for {} ms", self.time.as_millis())
    }

    /// Waits until a lapsed lease is renewed, and says why the roots are in doubt; the caller then walks them anew.
    pub(super) async fn revived(&self) -> String {
        self.renewed.notified().await;
        let reason = self.reason();
        self.has_lapsed.store(false, Ordering::Release);
        self.is_forgotten.store(false, Ordering::Release);
        reason
    }

    /// Asks for a sign of life again and again. Ends when it is dropped.
    ///
    /// Where all is well here and the store has nevertheless put a root in doubt, since it did not hear of this node for
    /// too long, the roots are walked anew as well.
    pub(super) async fn beat(self: Arc<Self>, cookies: Arc<Cookies>, watched: Watched) {
        loop {
            let asked = Moment::now();
            if cookies.sign_of_life().await {
                *self.until.lock() = asked.after(self.time);
                if watched.board.is_live() && !watched.publisher.is_believed(&watched.scopes).await {
                    self.is_forgotten.store(true, Ordering::Release);
                    self.renewed.notify_one();
                }
                if self.has_lapsed() {
                    self.renewed.notify_one();
                }
            }
            sleep(self.time / 3).await;
        }
    }

    fn is_over(&self) -> bool {
        *self.until.lock() < Moment::now()
    }
}

/// What a beat looks at besides the watcher itself.
pub(super) struct Watched {
    pub(super) board: Arc<Board>,
    pub(super) publisher: Arc<dyn Publish>,
    pub(super) scopes: Vec<Name>,
}

/// What puts the roots in doubt when the lease lapses.
pub(super) struct Keeper {
    pub(super) lease: Arc<Lease>,
    pub(super) publisher: Arc<dyn Publish>,
    pub(super) workspace: Arc<Workspace>,
    pub(super) board: Arc<Board>,
    pub(super) cookies: Arc<Cookies>,
    pub(super) runtime: Handle,
}

impl Keeper {
    /// Looks again and again, on a thread of its own, until the other end of the channel is gone.
    pub(super) fn run(&self, ended_rx: &Receiver<()>) {
        let names = doubts(&self.workspace);
        while ended_rx.recv_timeout(self.lease.time / 4) == Err(RecvTimeoutError::Timeout) {
            // Where the roots are down already they are in doubt, for a reason that says more.
            let is_known = self.lease.has_lapsed() || self.board.is_down();
            if self.lease.is_over() && !is_known && self.lapse(names.clone()).is_err() {
                return;
            }
        }
    }

    /// Puts the roots in doubt. What the store refuses is tried at the next look.
    fn lapse(&self, names: Vec<Invalidation>) -> Result<(), ()> {
        let reason = self.lease.reason();
        self.workspace.roots().for_each(|root| self.workspace.unset_below(&root.path));
        self.cookies.fail(&reason);
        match self.runtime.block_on(self.publisher.publish(Vec::new(), names, &reason)) {
            Ok(()) => self.lease.has_lapsed.store(true, Ordering::Release),
            Err(Refusal::Closed) => return Err(()),
            Err(Refusal::Events(_) | Refusal::Log(_)) => {}
        }
        self.board.set_all(&Health::Down(reason));
        Ok(())
    }
}
