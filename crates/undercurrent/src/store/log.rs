//! The log of a namespace as readers of several streams get it.

use undercurrent_types::{Name, Position, Token};

use super::{Record, StoreError};

/// A commit with what it carries.
#[derive(Clone, Debug)]
pub struct LogCommit {
    /// Its place in the one order.
    pub token: Token,
    /// When it was made, by the wall clock, in milliseconds since 1970: for people.
    pub time_ms: u64,
    /// Why names were moved without an event.
    pub cause: String,
    /// The names that it moved, each with the place among the events of the one that caused it.
    pub names: Vec<(Name, Option<usize>)>,
    /// Its events, each with its stream.
    pub events: Vec<Record>,
}

/// Visible commits in the order of the namespace.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// The commits.
    pub commits: Vec<LogCommit>,
    /// Where to go on.
    pub next: Position,
    /// Whether the page ends at the last commit up to which all is visible.
    pub at_tail: bool,
}

/// Why the log can not be read from a position.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadLogError {
    /// What follows the position is not kept any more.
    #[error(
        "what follows position {given} is not in the log any more; the oldest that can be continued is {oldest}"
    )]
    Gone {
        /// The position that was given.
        given: Position,
        /// The oldest that can be continued.
        oldest: Position,
    },
    /// The log can not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
