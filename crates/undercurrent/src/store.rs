//! The one order of a namespace, its log and its streams.
//!
//! Owns positions, the position of each name's last invalidation, the events, the last state that events carried
//! about a key, and the tables. Promises that commit is one atomic step: an event, its invalidations, its rows and its position. Never runs a
//! loader and never decides which names an event makes stale.

mod batch;
#[cfg(test)]
mod contract;
pub mod embedded;
mod horizon;
mod log;
mod outcome;
mod record;
mod secret;
mod settings;

use futures_util::future::BoxFuture;
use tokio::sync::{broadcast, watch};
use undercurrent_types::{Cursor, Durability, Key, Name, Position, Seq, StreamName, Token};

pub use batch::{
    Batch, Invalidation, Mark, NewEvent, PublishError, Published, PublishedEvent, Row, RowWrite,
};
pub use horizon::{Horizon, Slot};
pub use log::{LogCommit, LogPage, ReadLogError};
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

    /// Evaluates the predicate with `as_of = h` over these names, and returns the position the value is good for.
    ///
    /// With `announce` the step also takes a position and sets it for that key, because the value differs from one
    /// that was still valid: a change found is a change announced.
    fn commit<'a>(
        &'a self,
        h: Token,
        closure: &'a [Name],
        announce: Option<&'a Key>,
    ) -> BoxFuture<'a, Result<Committed, StoreError>>;

    /// Evaluates the predicate over these names now: the position that an entry may be raised to, if it is valid.
    ///
    /// Asked where a floor says no, which may be another name in the same slot. `None` where it takes a round trip.
    fn still_valid(&self, closure: &[Name], as_of: Position) -> Option<Position>;

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
    fn visible(&self) -> Position;

    /// Returns a receiver that is told when more has become visible.
    fn watch_visible(&self) -> watch::Receiver<u64>;

    /// Returns a live ring of a stream's events as they become visible. It is a hint: a receiver that lags reads on
    /// from the log.
    fn follow(&self, stream: &StreamName) -> broadcast::Receiver<Record>;

    /// Returns a live ring of the events of all streams as they become visible; a hint like the other.
    fn observe(&self) -> broadcast::Receiver<Record>;

    /// Returns the last visible event of a stream: seq 0 where nobody has published.
    fn tail(&self, stream: &StreamName) -> Cursor;

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
    fn streams(&self) -> Vec<StreamState>;

    /// Returns the last invalidations of any of these names, latest first.
    fn invalidations<'a>(&'a self, names: &'a [Name], limit: usize)
    -> BoxFuture<'a, Vec<InvalidationRecord>>;

    /// Returns the position of a name's last invalidation, where one is remembered, and its mark of doubt.
    fn last(&self, name: &Name) -> (Option<Position>, bool);

    /// Returns a row of a table, as far as it is durable. Rows are written with [`Store::publish`], and what was
    /// acknowledged is there.
    fn row(&self, table: &str, id: &str) -> Option<Row>;

    /// Returns the durable rows of a table, by id.
    fn rows(&self, table: &str) -> Vec<(String, Row)>;

    /// Takes a secret out of everything that is stored, and returns the names of what said it: their values are others
    /// now, and they have not been moved yet. Every event keeps its place.
    ///
    /// What is published meanwhile may still have it. A crash leaves some of it: ask again.
    fn scrub<'a>(&'a self, secret: &'a Secret) -> BoxFuture<'a, Result<(Scrubbed, Vec<Name>), StoreError>>;

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
