//! What a group's coordinator is asked, and the events on their way to a member.

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use undercurrent_types::Lease;
use undercurrent_types::wire::GroupOptions;

use super::Fetched;
use super::error::GroupError;
use super::state::Verdict;

/// What a group is asked.
pub(super) enum Op {
    /// A member wants events.
    Fetch(Waiting),
    /// A member says something of leases.
    Settle { leases: Vec<Lease>, verdict: Verdict, reply: Reply<()> },
    /// Settings are named anew.
    Change { options: Box<GroupOptions>, reply: Reply<()> },
    /// Events went to a caller that was gone.
    GiveBack(Vec<Lease>),
    /// The row may be another.
    Reread,
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, GroupError>>;

/// A member that waits for events.
pub(super) struct Waiting {
    pub(super) most: usize,
    pub(super) until: Instant,
    pub(super) reply: Reply<Given>,
}

/// Events on their way to a member: given back if nobody takes them.
pub(super) struct Given {
    fetched: Fetched,
    ops_tx: mpsc::WeakSender<Op>,
}

impl Given {
    pub(super) fn new(fetched: Fetched, ops_tx: mpsc::WeakSender<Op>) -> Self {
        Self { fetched, ops_tx }
    }

    pub(super) fn take(mut self) -> Fetched {
        std::mem::take(&mut self.fetched)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if self.fetched.deliveries.is_empty() {
            return;
        }
        let leases = self.fetched.deliveries.iter().map(|delivery| delivery.lease).collect();
        // Where the queue is full or the coordinator has ended, the leases run out.
        if let Some(ops_tx) = self.ops_tx.upgrade() {
            let _ = ops_tx.try_send(Op::GiveBack(leases));
        }
    }
}
