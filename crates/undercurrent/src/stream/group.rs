//! Groups: members share the events of a stream, each with a lease, and say when they are done.
//!
//! Owns what each group has given. Promises that every event is given until a member acknowledges it or it becomes a
//! dead letter, once, in one step with the group's state; that what was acknowledged is not given again, over a crash
//! as well; and that an old lease changes nothing. Never decides by a wall clock.
//!
//! The state of a group is one row of the table `group`, and its [`Coordinator`] is the only
//! one in this process that writes it once it is made.

mod coordinator;
mod dead_letter;
mod error;
mod look;
mod op;
mod row;
mod serve;
mod settings;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use undercurrent_types::wire::{GroupGap, GroupOptions, GroupStatus};
use undercurrent_types::{Cursor, GroupName, Lease, Seq, Start};

use self::coordinator::Coordinator;
use self::op::{Op, Reply, Waiting};
use self::settings::{Settings, check, check_delay, check_lease};
use self::state::State;
use crate::store::{Batch, PublishError, Record, Row, RowWrite, Store, StoreError};

pub use self::error::{GroupError, Refused};
pub(crate) use self::state::{Verdict, short};

const TABLE: &str = "group";
/// How many operations wait for a group's coordinator; who comes then waits for room.
const QUEUE: usize = 1024;
/// How many members of a group wait for events at once; who comes then is refused.
const WAITING: usize = 1024;
/// The most events that a member may ask for at once, and leases that it may name.
pub const MOST_AT_ONCE: usize = 1000;

/// The groups of a namespace.
///
/// At most as many as a table has rows, 65 536, and 256 MiB of them together; the store refuses more.
pub struct Groups {
    store: Arc<dyn Store>,
    /// Those that were asked for lately; each ends by itself. A mutex held for the time of a look.
    coordinators: Mutex<HashMap<GroupName, mpsc::Sender<Op>>>,
}

/// What a member is given.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The events, each with its lease.
    pub deliveries: Vec<GroupDelivery>,
    /// What the group has missed; told to one member.
    pub gaps: Vec<GroupGap>,
    /// Whether there was nothing because as many events are open as may be.
    pub full: bool,
}

/// An event with its lease.
#[derive(Clone, Debug)]
pub struct GroupDelivery {
    /// What its end is told with.
    pub lease: Lease,
    /// The how-manieth delivery this is, from 1.
    pub deliveries: u32,
    /// For how long the lease counts, in milliseconds.
    pub lease_ms: u64,
    /// The event.
    pub record: Record,
}

impl Groups {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, coordinators: Mutex::default() }
    }

    /// Makes a group, or sets what of one that is there may be changed.
    pub(crate) async fn create(
        &self,
        group: &GroupName,
        options: &GroupOptions,
    ) -> Result<GroupStatus, GroupError> {
        if read_row(&*self.store, group).await?.is_none() && self.make(group, options).await? {
            self.reread(group).await;
        } else {
            let options = Box::new(options.clone());
            self.ask(group, |reply| Op::Change { options, reply }).await?;
        }
        self.status(group).await
    }

    /// Makes a group; says whether nobody else was first.
    async fn make(&self, group: &GroupName, options: &GroupOptions) -> Result<bool, GroupError> {
        let settings = Settings::new(group, options)?;
        let begin = self.begin(&settings).await?;
        let generation = self.store.barrier().await.map_err(unread)?.position.0;
        let state = State::new(settings, begin, generation);
        let row = RowWrite {
            table: TABLE,
            id: group.to_string(),
            expected: Some(None),
            value: Some(state.encode()),
        };
        match self.store.publish(Batch::writing(vec![row])).await {
            Ok(_) => Ok(true),
            Err(PublishError::RowConflict { actual, .. }) => {
                if let Some(at) = actual {
                    self.store.settled(at).await;
                }
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the cursor that a group begins behind.
    async fn begin(&self, settings: &Settings) -> Result<Cursor, GroupError> {
        let stream = &settings.stream;
        let after = match settings.from.parse::<Start>()? {
            Start::Beginning => None,
            Start::Now => return tail_of(&*self.store, settings).await,
            Start::After(cursor) => Some(cursor),
        };
        let page = self.store.read_stream(stream, after, 1).await?;
        let first = page.records.first().map(|record| record.cursor);
        Ok(first.map_or(page.next, |at| Cursor { seq: Seq(at.seq.0.saturating_sub(1)), ..at }))
    }

    /// Deletes a group; says whether there was one. What is out then does not count any more.
    pub(crate) async fn delete(&self, group: &GroupName) -> Result<bool, GroupError> {
        if read_row(&*self.store, group).await?.is_none() {
            return Ok(false);
        }
        let row = RowWrite { table: TABLE, id: group.to_string(), expected: None, value: None };
        self.store.publish(Batch::writing(vec![row])).await?;
        self.reread(group).await;
        Ok(true)
    }

    /// Returns every group, by name.
    pub(crate) async fn list(&self) -> Result<Vec<GroupStatus>, GroupError> {
        let mut statuses = Vec::new();
        for (id, row) in self.store.rows(TABLE).await.map_err(unread)? {
            if let Ok(group) = id.parse() {
                statuses.push(self.status_of(&group, &row).await?);
            }
        }
        Ok(statuses)
    }

    /// Returns a group.
    pub(crate) async fn status(&self, group: &GroupName) -> Result<GroupStatus, GroupError> {
        let row = read_row(&*self.store, group).await?;
        let row = row.ok_or_else(|| GroupError::NoGroup { group: group.clone() })?;
        self.status_of(group, &row).await
    }

    async fn status_of(&self, group: &GroupName, row: &Row) -> Result<GroupStatus, GroupError> {
        let state = State::decode(group, &row.value, None, 0)?;
        Ok(state.status(group, tail_of(&*self.store, &state.settings).await?))
    }

    /// Gives a member events: at once where there are some, else as soon as there are, up to the end of `wait`.
    pub(crate) async fn fetch(
        &self,
        group: &GroupName,
        most: usize,
        wait: Duration,
    ) -> Result<Fetched, GroupError> {
        check("the number of events", most as u64, 1, MOST_AT_ONCE as u64)?;
        let until = Instant::now() + wait;
        let given = self.ask(group, |reply| Op::Fetch(Waiting { most, until, reply })).await?;
        Ok(given.take())
    }

    /// Takes in what a member says of leases.
    pub(crate) async fn settle(
        &self,
        group: &GroupName,
        leases: Vec<Lease>,
        verdict: Verdict,
    ) -> Result<(), GroupError> {
        check("the number of leases", leases.len() as u64, 1, MOST_AT_ONCE as u64)?;
        match verdict {
            Verdict::Nack { delay_ms: Some(ms), .. } => check_delay(ms)?,
            Verdict::Extend { lease_ms: Some(ms) } => check_lease(ms)?,
            _ => {}
        }
        self.ask(group, |reply| Op::Settle { leases, verdict, reply }).await
    }

    /// Has coordinators read their rows again, which something else has changed.
    pub(crate) async fn reread_all(&self) {
        let all: Vec<_> = self.coordinators.lock().values().cloned().collect();
        for ops_tx in all {
            // One that has ended reads when it begins.
            let _ = ops_tx.send(Op::Reread).await;
        }
    }

    /// Ends all coordinators; who waits is told.
    pub(crate) fn end(&self) {
        self.coordinators.lock().clear();
    }

    async fn reread(&self, group: &GroupName) {
        let ops_tx = self.coordinators.lock().get(group).cloned();
        if let Some(ops_tx) = ops_tx {
            let _ = ops_tx.send(Op::Reread).await;
        }
    }

    /// Asks the coordinator of a group, which is started where none runs.
    async fn ask<T>(&self, group: &GroupName, op: impl FnOnce(Reply<T>) -> Op) -> Result<T, GroupError> {
        let (reply, answer_rx) = oneshot::channel();
        let mut op = op(reply);
        loop {
            let ops_tx = self.coordinator(group);
            match ops_tx.send(op).await {
                Ok(()) => break,
                // It ended just now.
                Err(mpsc::error::SendError(unsent)) => op = unsent,
            }
        }
        answer_rx.await.unwrap_or(Err(GroupError::Closed))
    }

    fn coordinator(&self, group: &GroupName) -> mpsc::Sender<Op> {
        let mut coordinators = self.coordinators.lock();
        if let Some(ops_tx) = coordinators.get(group).filter(|ops_tx| !ops_tx.is_closed()) {
            return ops_tx.clone();
        }
        coordinators.retain(|_, ops_tx| !ops_tx.is_closed());
        let (coordinator, ops_tx) = Coordinator::new(group.clone(), self.store.clone());
        tokio::spawn(coordinator.run());
        coordinators.insert(group.clone(), ops_tx.clone());
        ops_tx
    }
}

/// Returns the row of a group.
async fn read_row(store: &dyn Store, group: &GroupName) -> Result<Option<Row>, GroupError> {
    store.row(TABLE, group.as_str()).await.map_err(unread)
}

/// Returns the end of a group's stream.
async fn tail_of(store: &dyn Store, settings: &Settings) -> Result<Cursor, GroupError> {
    store.tail(&settings.stream).await.map_err(unread)
}

fn unread(error: StoreError) -> GroupError {
    GroupError::Read(error.into())
}
