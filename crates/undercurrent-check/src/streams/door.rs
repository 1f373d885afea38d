//! The ways by which clients come to streams.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use undercurrent::{Cursor, Event, StreamName};

use super::history::{Answer, Id, Place};

/// What the clients of a workload ask; `None` where the other side went away.
pub(crate) trait Door: Send + Sync {
    /// Appends events to a stream, all or none, and says how each ended.
    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        ids: &'a [Id],
        expected: Option<u64>,
    ) -> BoxFuture<'a, Vec<Answer>>;

    /// Reads a page, and says whether it ends at the tail.
    fn page<'a>(
        &'a self,
        stream: &'a StreamName,
        after: Option<Place>,
        limit: usize,
    ) -> BoxFuture<'a, Option<(Vec<(Place, Id)>, bool)>>;

    /// Returns the last event's place.
    fn tail<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Option<Place>>;

    /// Follows a stream from behind a place on.
    fn follow<'a>(
        &'a self,
        stream: &'a StreamName,
        after: Option<Place>,
    ) -> BoxFuture<'a, Option<Box<dyn Follow>>>;

    /// Ends what is behind the door.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// One who follows a stream.
pub(crate) trait Follow: Send {
    /// Waits for the next event.
    fn next(&mut self) -> BoxFuture<'_, Next>;
}

/// One who can not begin to follow where he stood.
pub(crate) struct Gone;

impl Follow for Gone {
    fn next(&mut self) -> BoxFuture<'_, Next> {
        Box::pin(async { Next::Gap })
    }
}

/// What one who follows is given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    Event(Place, Id),
    /// All that was there when it began to follow has been given.
    CaughtUp,
    /// It can not go on from there, which no workload allows.
    Gap,
    /// The other side went away.
    Ended,
}

/// Returns an event; its content is that of every other try with its id.
pub(crate) fn event(id: Id) -> Event {
    let event = Event::new("message".parse().expect("a type"), "agent/check".parse().expect("a source"));
    event.with_id(id.to_string())
}

/// Reads the id of an event.
pub(crate) fn id_in(json: &Bytes) -> Id {
    let event = Event::from_committed_json(json).expect("the log has events");
    event.id.parse().expect("the workload made it")
}

pub(crate) fn place(cursor: Cursor) -> Place {
    Place { epoch: cursor.epoch.0, seq: cursor.seq.0 }
}

pub(crate) fn cursor(place: Place) -> Cursor {
    use undercurrent::types::{Epoch, Seq};
    Cursor { epoch: Epoch(place.epoch), seq: Seq(place.seq) }
}
