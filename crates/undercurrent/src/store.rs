//! The one order of a namespace, its log and its streams.
//!
//! Owns positions, the position of each name's last invalidation, the events, the last state that events carried
//! about a key, and the tables. Promises that commit is one atomic step: an event, its invalidations, its rows and its position. Never runs a
//! loader and never decides which names an event makes stale.

mod batch;
#[cfg(test)]
mod contract;
pub mod dragonfly;
pub mod embedded;
mod horizon;
mod kept;
mod log;
mod moment;
mod outcome;
mod record;
mod secret;
mod settings;

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{broadcast, watch};
use undercurrent_types::{Cursor, Durability, Key, Name, Position, Seq, StreamName, Token};

pub use batch::{
    Batch, Invalidation, Mark, NewEvent, PublishError, Published, PublishedEvent, Row, RowCheck, RowWrite,
};
pub use horizon::{Horizon, Slot};
pub use kept::{Commit, Keep, Kept, KeptEntry, Lease, Over, Read};
pub use log::{LogCommit, LogPage, ReadLogError};
pub use moment::Moment;
pub use outcome::{ID_WINDOW, Outcome, REMEMBERED_IDS};
pub use record::Record;
pub(crate) use secret::in_json;
pub use secret::{Scrubbed, Secret, SecretError};
pub use settings::{CreateStreamError, Retention, StreamSettings};

/// The seam between the engine and where things are kept.
///
/// A name that was never invalidated, or whose invalidation is no longer remembered, counts as invalidated at `low`:
/// so forgetting costs a load and never a stale answer.
pub trait Store: Send + Sync + 'static {
    /// Returns what this process knows of the order; hits in memory look at nothing else.
    fn horizon(&self) -> &Horizon;

    /// Commits a batch of events and bare invalidations in one step, all or nothing.
    ///
    /// The invalidations are in force when the first poll returns, unless events wait for room in the store's queue
    /// first; without events nothing is waited for. The future ends when the batch is as durable as its streams
    /// promise. Dropping it earlier leaves the batch whole: committed, or not begun.
    fn publish(&self, batch: Batch) -> BoxFuture<'_, Result<Published, PublishError>>;

    /// Says what became of an event, by its source and id: after a publish whose answer was lost.
    ///
    /// An event that has its place is waited for until it is as safe as its stream promises. The answer holds over
    /// restarts, within the window of ids.
    fn outcome<'a>(
        &'a self,
        stream: &'a StreamName,
        source: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Outcome, StoreError>>;

    /// Returns a position that is not below any invalidation that returned before the call, and has raised the
    /// horizon to it.
    fn barrier(&self) -> BoxFuture<'_, Result<Token, StoreError>>;

    /// Returns the barrier at once, where the order lives in this process; `None` where it takes a round trip.
    fn barrier_now(&self) -> Option<Position>;

    /// Returns the last barrier that came back, if it was sent no longer ago than this; where the order lives in this
    /// process, the barrier itself.
    fn barrier_within(&self, age: Duration) -> Option<Position> {
        let _ = age;
        self.barrier_now()
    }

    /// Says whether the store keeps values for other processes too. Where it does not, memory is their only home.
    fn keeps_entries(&self) -> bool {
        false
    }

    /// Asks what the store keeps under a key, which is a barrier as well: the position returned is not below any
    /// invalidation that returned before the call.
    ///
    /// An entry of another loader version than the one named counts as none. With `lease`, a read that finds nothing
    /// valid also asks to be the one who fills it; a lease only saves double work.
    fn read<'a>(
        &'a self,
        key: &'a Key,
        loader_version: Option<u32>,
        lease: bool,
    ) -> BoxFuture<'a, Result<Read, StoreError>> {
        let _ = (key, loader_version, lease);
        Box::pin(async {
            let at = self.barrier().await?;
            Ok(Read { at, known: at.position, kept: Kept::Nothing, lease: Lease::Held })
        })
    }

    /// Gives up the lease on a key, if this process has it still. A commit gives it up by itself.
    fn release<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, ()> {
        let _ = key;
        Box::pin(std::future::ready(()))
    }

    /// Evaluates the predicate with `as_of = h` over the names of a value, and returns the position it is good for.
    ///
    /// With `announce` the step also takes a position and sets it for that key, because the value differs from one
    /// that was still valid: a change found is a change announced. A store that keeps entries keeps this one with it,
    /// and finds such a change in what it keeps by itself.
    fn commit<'a>(&'a self, commit: Commit<'a>) -> BoxFuture<'a, Result<Committed, StoreError>>;

    /// Evaluates the predicate over these names now: the position that an entry may be raised to, if it is valid.
    ///
    /// Asked where a floor says no, which may be another name in the same slot. `None` where it takes a round trip.
    fn still_valid(&self, closure: &[Name], as_of: Position) -> Option<Position>;

    /// Evaluates the predicate over these names as [`Store::still_valid`] does, with a round trip where it takes one.
    fn valid<'a>(
        &'a self,
        closure: &'a [Name],
        as_of: Token,
    ) -> BoxFuture<'a, Result<Option<Position>, StoreError>>;

    /// Waits until every event up to a position is visible or failed.
    fn settled(&self, at: Position) -> BoxFuture<'_, ()>;

    /// Returns the data of the last fact that events carried about a key.
    fn latest<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<bytes::Bytes>, StoreError>>;

    /// Reads visible events after a cursor, oldest first: at most `limit` of them, and at most about 1 MiB.
    ///
    /// `None` begins at the oldest event kept. A stream that nobody has published to is empty, not an error.
    fn read_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, ReadStreamError>>;

    /// Reads visible commits of all streams after a position, in order: at most `limit` of them, and about 1 MiB.
    ///
    /// `None` begins at the oldest commit kept. The page stops below the lowest position that is not visible yet.
    /// Invalidations without an event are in the log only where there was room for them.
    fn read_log(&self, after: Option<Position>, limit: usize)
    -> BoxFuture<'_, Result<LogPage, ReadLogError>>;

    /// Returns the position up to which everything is visible.
    fn visible(&self) -> BoxFuture<'_, Result<Position, StoreError>>;

    /// Returns a receiver that is told when more has become visible.
    fn watch_visible(&self) -> watch::Receiver<u64>;

    /// Returns a live ring of a stream's events as they become visible. It is a hint: a receiver that lags reads on
    /// from the log.
    fn follow(&self, stream: &StreamName) -> broadcast::Receiver<Record>;

    /// Returns a live ring of the events of all streams as they become visible; a hint like the other.
    fn observe(&self) -> broadcast::Receiver<Record>;

    /// Returns the last visible event of a stream: seq 0 where nobody has published.
    fn tail<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Cursor, StoreError>>;

    /// Makes a stream, or sets how much one keeps that is there. It holds over restarts.
    ///
    /// A stream that nobody sets up is made by its first event, with that event's durability and the retention of
    /// [`Retention::of`].
    fn create_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        settings: StreamSettings,
    ) -> BoxFuture<'a, Result<StreamState, CreateStreamError>>;

    /// Deletes a stream with its events, its ids and the states that they carried; says whether there was one.
    ///
    /// The keys of those states are moved in the same step. A later stream of that name has another epoch, so no old
    /// cursor is taken for one of its own. What was being published to it while it was deleted is gone with it.
    fn delete_stream<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<bool, PublishError>>;

    /// Returns every stream with its tail.
    fn streams(&self) -> BoxFuture<'_, Result<Vec<StreamState>, StoreError>>;

    /// Returns the last invalidations of any of these names, latest first.
    fn invalidations<'a>(&'a self, names: &'a [Name], limit: usize)
    -> BoxFuture<'a, Vec<InvalidationRecord>>;

    /// Returns for each name the position of its last invalidation, where one is remembered, and its mark of doubt.
    fn last<'a>(&'a self, names: &'a [Name]) -> BoxFuture<'a, Result<Vec<NameState>, StoreError>>;

    /// Returns a row of a table, as far as it is durable. Rows are written with [`Store::publish`], and what was
    /// acknowledged is there.
    fn row<'a>(&'a self, table: &'a str, id: &'a str) -> BoxFuture<'a, Result<Option<Row>, StoreError>>;

    /// Returns the durable rows of a table, by id.
    fn rows<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<Vec<(String, Row)>, StoreError>>;

    /// Takes a secret out of everything that is stored, and returns the names of what said it: their values are others
    /// now, and they have not been moved yet. Every event keeps its place.
    ///
    /// What is published meanwhile may still have it. A crash leaves some of it: ask again.
    fn scrub<'a>(&'a self, secret: &'a Secret) -> BoxFuture<'a, Result<(Scrubbed, Vec<Name>), StoreError>>;

    /// Returns the most that an acknowledgement of this store can promise.
    fn strongest(&self) -> Durability {
        Durability::Durable
    }

    /// Says whether events are accepted, or why not.
    fn state(&self) -> StoreState;

    /// Ends the store: what was accepted is written, and what waits is answered.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// The answer to a commit of a loaded value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// No name moved since `h`: the value is good for this position.
    Accepted(Position),
    /// A name moved, or the incarnation is another: right for the reads that waited, and not kept.
    Moved,
    /// Nobody can vouch for a name: only the value's validator can make it useful again.
    InDoubt,
}

/// What a store remembers of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameState {
    /// The position of its last invalidation; none where none is remembered, which counts as invalidated at `low`.
    pub position: Option<Position>,
    /// Whether nobody can vouch for it now.
    pub in_doubt: bool,
}

/// Visible events of one stream.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events, contiguous.
    pub records: Vec<Record>,
    /// Where to go on: the last event of the page, or where the reader stood.
    pub next: Cursor,
    /// Whether the page ends at the tail as it was when the page was read.
    pub at_tail: bool,
}

/// One stream of a namespace.
#[derive(Clone, Debug)]
pub struct StreamState {
    /// Its name.
    pub stream: StreamName,
    /// The last visible event.
    pub tail: Cursor,
    /// The oldest event kept.
    pub oldest: Seq,
    /// What its acknowledgements promise.
    pub durability: Durability,
    /// How much is kept.
    pub retention: Retention,
}

/// One invalidation with its cause, as the namespace's log has it.
#[derive(Clone, Debug)]
pub struct InvalidationRecord {
    /// The name that was invalidated.
    pub name: Name,
    /// Its place in the one order.
    pub position: Position,
    /// The event that caused it, where one did.
    pub event: Option<Record>,
    /// What caused it otherwise.
    pub cause: String,
}

/// Whether a store accepts events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreState {
    /// Why events are refused, where they are.
    pub failed: Option<String>,
    /// Where the data lies, for people.
    pub place: String,
    /// The bytes of the log in use.
    pub log_bytes: u64,
}

/// Why a store can not be asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It has been closed.
    #[error("the store is closed")]
    Closed,
    /// The log can not be read.
    #[error("the log can not be read: {0}")]
    Io(String),
    /// Its server can not be asked now; nothing is known of what was asked.
    #[error("the store at `{place}` is not available: {reason}")]
    Unavailable {
        /// Where it is, without its password.
        place: String,
        /// Why.
        reason: String,
    },
}

/// Why a stream can not be read from a cursor.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadStreamError {
    /// The stream is in another epoch, or the cursor is before the oldest event kept.
    #[error(
        "the cursor `{given}` of stream `{stream}` can not be continued ({reason}); the oldest that can is `{oldest}`"
    )]
    Gone {
        /// The stream that was asked for.
        stream: StreamName,
        /// The cursor that was given.
        given: Cursor,
        /// The oldest cursor that can be continued.
        oldest: Cursor,
        /// `epoch`, `retention`, or `future` for a cursor behind the tail.
        reason: &'static str,
    },
    /// The log can not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
