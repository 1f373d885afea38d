//! What one commit carries.

use bytes::Bytes;
use undercurrent_types::{Cursor, Durability, Event, Key, Name, Position, Seq, StreamName, Token};

use super::StoreError;

/// Events and bare invalidations that take one position, all or nothing.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The events, in order.
    pub events: Vec<NewEvent>,
    /// The names that the batch moves, those of its events included.
    pub names: Vec<Invalidation>,
    /// Why names are moved without an event, for people; empty where an event says it.
    pub cause: String,
    /// The rows that the batch writes. Compared before anything is written, each with what stood before the batch.
    pub rows: Vec<RowWrite>,
    /// The rows that have to stand as they were read; otherwise nothing is written.
    pub holds: Vec<RowCheck>,
}

/// A row that has to stand at a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowCheck {
    /// The table.
    pub table: &'static str,
    /// The name of the row in its table.
    pub id: &'static str,
    /// Its revision.
    pub revision: Position,
}

impl Batch {
    /// Returns a batch that moves names without an event, and says why.
    pub fn moving(names: Vec<Invalidation>, cause: impl Into<String>) -> Self {
        Self { names, cause: cause.into(), ..Self::default() }
    }

    /// Returns a batch that writes rows and nothing else.
    pub fn writing(rows: Vec<RowWrite>) -> Self {
        Self { rows, ..Self::default() }
    }
}

/// A row on its way to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowWrite {
    /// The table. Tables are named in code, so there are few.
    pub table: &'static str,
    /// The name of the row in its table.
    pub id: String,
    /// What the row must be at: anything (`None`), not there (`Some(None)`), or this revision.
    pub expected: Option<Option<Position>>,
    /// The new value, at most 1 MiB; `None` deletes the row.
    pub value: Option<Bytes>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The position of the commit that wrote it.
    pub revision: Position,
    /// What was written.
    pub value: Bytes,
}

/// An event on its way to a stream.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Where it goes.
    pub stream: StreamName,
    /// The event, validated and redacted.
    pub event: Event,
    /// What the stream promises, if this event creates it; an existing stream keeps its own.
    pub durability: Durability,
    /// The seq that the last event of the stream must have.
    pub expected_seq: Option<Seq>,
    /// The state that the event carries about its subject; the inner `None` deletes it.
    pub latest: Option<(Key, Option<Bytes>)>,
}

/// A name that a batch moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// The name.
    pub name: Name,
    /// What becomes of its mark of doubt.
    pub mark: Mark,
    /// The place in the batch of the event that it follows from; none where the batch's cause says why it moves.
    pub event: Option<usize>,
}

impl Invalidation {
    /// Returns the plain invalidation of a name.
    pub fn of(name: Name) -> Self {
        Self { name, mark: Mark::Keep, event: None }
    }

    /// Returns the plain invalidation of a name by an event of the batch.
    pub fn by(name: Name, event: usize) -> Self {
        Self { event: Some(event), ..Self::of(name) }
    }
}

/// What a step does to the mark of doubt of a name that it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It stays as it is: an invalidation says nothing about who watches.
    Keep,
    /// From here on nobody can vouch for the name.
    InDoubt,
    /// Its owner vouches for it again.
    Vouched,
}

/// The answer to a committed batch.
#[derive(Clone, Debug)]
pub struct Published {
    /// The position of the batch; of a batch that had all been published before, the position now.
    pub token: Token,
    /// One answer for each event, in order.
    pub events: Vec<PublishedEvent>,
}

/// The place that an event took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedEvent {
    /// Its place in its stream.
    pub cursor: Cursor,
    /// What the stream promises.
    pub durability: Durability,
    /// Whether the event had been published before; nothing was written again.
    pub duplicate: bool,
}

/// Why a batch was refused; nothing of it was written, unless the error says *unknown*.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The stream has moved on.
    #[error(
        "stream `{stream}` is at seq {actual}, not at the expected {expected}: read on from there and decide anew (event {index} of the batch)"
    )]
    ExpectedSeq {
        /// The place in the batch, from 0.
        index: usize,
        /// The stream.
        stream: StreamName,
        /// What the caller expected.
        expected: Seq,
        /// The last seq of the stream.
        actual: Seq,
    },
    /// The id was used for another event.
    #[error(
        "stream `{stream}` has another event with source `{event_source}` and id `{id}`: an id names one event for ever (event {index} of the batch)"
    )]
    IdConflict {
        /// The place in the batch, from 0.
        index: usize,
        /// The stream.
        stream: StreamName,
        /// The source of the event.
        event_source: String,
        /// The id of the event.
        id: String,
    },
    /// A row is not at the revision that was expected.
    #[error(
        "row `{id}` of table `{table}` {}: read it again and decide anew", standing(*.actual)
    )]
    RowConflict {
        /// The table.
        table: String,
        /// The row.
        id: String,
        /// Its revision, if it is there. It may be so new that readers see it only in a moment.
        actual: Option<Position>,
    },
    /// A row that has to stand has been written since.
    #[error(
        "row `{id}` of table `{table}` has been written since it was read: read it again and decide anew"
    )]
    NotHeld {
        /// The table.
        table: &'static str,
        /// The row.
        id: &'static str,
    },
    /// A value is larger than a row may be.
    #[error("row `{id}` of table `{table}` would have {actual} bytes, and a row has at most {limit}")]
    RowTooLarge {
        /// The table.
        table: String,
        /// The row.
        id: String,
        /// The size of the value.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// A table has no room.
    #[error("table `{table}` is full, at {rows} rows or {bytes} bytes: delete rows first")]
    TableFull {
        /// The table.
        table: String,
        /// How many rows it may have.
        rows: usize,
        /// How many bytes it may have.
        bytes: usize,
    },
    /// There are as many streams as there may be.
    #[error(
        "there are {limit} streams, the most there may be, and `{stream}` would be another: delete some that are not needed"
    )]
    TooManyStreams {
        /// The stream that would be made.
        stream: StreamName,
        /// How many there may be.
        limit: usize,
    },
    /// The batch is larger than one commit may be.
    #[error("the batch has {actual} bytes, and a commit has at most {limit}: send it in parts")]
    TooLarge {
        /// Its size.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// The disk is full: nothing was written, and events are accepted again by themselves when there is room. The names
    /// of the batch are in force all the same.
    #[error("the disk has been full since {since} ({reason}): make room and try again")]
    Full {
        /// When no room was found, for people.
        since: String,
        /// The error of the file system.
        reason: String,
    },
    /// The log accepts no events. The names of the batch are in force all the same: what made them stale has happened.
    #[error("the log accepts no events since {since}: {reason}")]
    Failed {
        /// What failed, for people.
        since: String,
        /// The error of the file system.
        reason: String,
    },
    /// The log failed while the batch was being written: it may or may not be there after a restart.
    #[error("whether the events were written is unknown, because the log failed: {reason}")]
    Unknown {
        /// The error of the file system.
        reason: String,
    },
    /// The stream asks for more than the store gives.
    #[error("stream `{stream}` asks for `{asked}`, and the store at `{place}` gives at most `{most}`")]
    TooDurable {
        /// The stream.
        stream: StreamName,
        /// What it asks for.
        asked: Durability,
        /// What the store gives.
        most: Durability,
        /// Where the store is, without its password.
        place: String,
    },
    /// Another node vouches for the name.
    #[error(
        "another node vouches for `{name}`: nothing was published; it can be taken over when that one is gone"
    )]
    Owned {
        /// The name.
        name: Name,
    },
    /// The server of the store can not be asked now: nothing was published.
    #[error("the store at `{place}` is not available, so nothing was published: {reason}")]
    Unavailable {
        /// Where it is, without its password.
        place: String,
        /// Why.
        reason: String,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

impl From<StoreError> for PublishError {
    /// What had to be asked before anything was published could not be.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::Closed,
            StoreError::Unavailable { place, reason } => Self::Unavailable { place, reason },
            StoreError::Io(reason) => Self::Unavailable { place: "the log".to_owned(), reason },
        }
    }
}

fn standing(revision: Option<Position>) -> String {
    revision.map_or("is not there".to_owned(), |at| format!("is at revision {at}"))
}
