//! What was asked of streams and answered, as seen from outside.

use serde::{Deserialize, Serialize};

pub use crate::history::Time;

/// The number of a stream.
pub type Stream = u32;

/// The number that the id of an event says; the same in every try to append it.
pub type Id = u64;

/// The place of an event, as its cursor says it. Seq 0 stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The epoch.
    pub epoch: u64,
    /// The seq.
    pub seq: u64,
}

impl Place {
    /// Returns the place that follows.
    pub fn next(self) -> Self {
        Self { seq: self.seq + 1, ..self }
    }
}

/// How an append ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The event has this place.
    New(Place),
    /// It had been appended before, with this place.
    Again(Place),
    /// The stream was not where it was expected but there, if that was said; nothing was appended.
    Elsewhere(Option<u64>),
    /// Nothing was appended.
    Refused,
    /// It may have been appended or not: the caller went away, or the machine died.
    Unknown,
}

/// What was done. Every begin and end takes the next tick, so a time names one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// One event was to be appended.
    Append {
        /// Where to.
        stream: Stream,
        /// Which event.
        id: Id,
        /// The seq that the last event was to have.
        expected: Option<u64>,
        /// How it ended.
        answer: Answer,
        /// Begin.
        begin: Time,
        /// End.
        end: Time,
    },
    /// A page was read.
    Page {
        /// Of which stream.
        stream: Stream,
        /// After which place; from the beginning without one.
        after: Option<Place>,
        /// The events.
        saw: Vec<(Place, Id)>,
        /// Whether it said that no more are there.
        at_tail: bool,
        /// Begin.
        begin: Time,
        /// End.
        end: Time,
    },
    /// The last event was asked for.
    Tail {
        /// Of which stream.
        stream: Stream,
        /// Its place.
        tail: Place,
        /// Begin.
        begin: Time,
        /// End.
        end: Time,
    },
    /// A reader began to follow a stream after a place. What one reader does stands in the history in its own order.
    Opened {
        /// The number of the reader.
        reader: u32,
        /// The stream.
        stream: Stream,
        /// After which place.
        after: Place,
    },
    /// It was given an event.
    Delivered {
        /// The number of the reader.
        reader: u32,
        /// Where the event stands.
        place: Place,
        /// Which it is.
        id: Id,
        /// When.
        at: Time,
    },
    /// It has been given all that there was at a moment.
    Reached {
        /// The number of the reader.
        reader: u32,
        /// That moment.
        since: Time,
    },
    /// It was told that it can not go on where it stood: no workload lets anything go.
    Missed {
        /// The number of the reader.
        reader: u32,
    },
    /// The machine died: what had not been told by then may be undone.
    Crashed {
        /// When.
        at: Time,
    },
}
