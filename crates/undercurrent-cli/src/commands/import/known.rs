//! What the streams have already: how an import goes on after a break, however long ago that was.
//!
//! The daemon knows the ids of its last ten minutes. An import reads the streams themselves, side by side with the lines:
//! both have a stream's events in the same order, so what was imported before is met event by event, and no stream is
//! kept in memory but for what others published in between.

use std::collections::{HashMap, HashSet};

use undercurrent_client::Client;
use undercurrent_types::{Event, EventSource, StreamName};

use crate::failure::Failure;

/// The events of the streams that lines were about.
pub(super) struct Known<'a> {
    client: &'a Client,
    streams: HashMap<StreamName, Stream>,
}

/// One stream, as far as it was read.
#[derive(Default)]
struct Stream {
    /// Read and not met by a line. At least a page at a time; it grows with what the lines do not have.
    ahead: HashSet<(EventSource, String)>,
    next: Option<String>,
    /// Whether all that was there at the beginning has been read.
    at_tail: bool,
}

impl<'a> Known<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        Self { client, streams: HashMap::new() }
    }

    /// Says whether a stream had an event when the import met that stream first.
    pub(super) async fn has(&mut self, name: &StreamName, event: &Event) -> Result<bool, Failure> {
        let stream = self.streams.entry(name.clone()).or_default();
        let wanted = (event.source.clone(), event.id.clone());
        loop {
            if stream.ahead.remove(&wanted) {
                return Ok(true);
            }
            if stream.at_tail {
                return Ok(false);
            }
            let page = self.client.page(name, stream.next.as_deref()).await?;
            stream.ahead.extend(page.events.into_iter().map(|event| (event.source, event.id)));
            stream.next = Some(page.next);
            stream.at_tail = page.at_tail;
        }
    }
}
