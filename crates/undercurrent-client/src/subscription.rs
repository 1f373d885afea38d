//! Following a stream, across broken connections.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use undercurrent_types::{Cursor, ErrorBody, Event, EventError, LogCursor, Start, StreamName, wire};

/// A cursor of one stream, or a [`LogCursor`] of several.
pub trait Place: Copy + fmt::Display + FromStr<Err: fmt::Display> {}

impl<C: Copy + fmt::Display + FromStr<Err: fmt::Display>> Place for C {}

use crate::client::Client;
use crate::error::ClientError;
use crate::sse::{Frame, Parser};

/// How long after a broken connection the first new one is tried; each further try waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a subscription brings.
#[derive(Debug)]
#[non_exhaustive]
pub enum Delivery<C = Cursor> {
    /// An event.
    Event(Received<C>),
    /// The end of the history: what follows is live. Comes again after each new connection.
    CaughtUp(C),
    /// An event that is not kept, and how many before it were dropped because the reader was slow.
    Ephemeral(Bytes, u64),
    /// Events that the stream does not have any more.
    Gap(wire::Gap),
    /// The connection broke; the next call connects anew, and goes on where the subscription stood.
    Interrupted(ClientError),
}

/// An event as the daemon sent it.
#[derive(Clone, Debug)]
pub struct Received<C = Cursor> {
    /// Where to go on after it.
    pub cursor: C,
    /// The event in CloudEvents JSON, one line.
    pub json: Bytes,
}

impl<C> Received<C> {
    /// Reads the event.
    ///
    /// # Errors
    ///
    /// Fails when the daemon sent no event.
    pub fn event(&self) -> Result<Event, EventError> {
        Event::from_committed_json(&self.json).or_else(|_| Event::from_json(&self.json))
    }
}

/// A subscription in preparation.
#[derive(Clone, Debug)]
#[must_use = "a subscription does nothing until it is opened"]
pub struct Subscribe<C = Cursor> {
    client: Client,
    path: String,
    start: Start<C>,
    filter: Vec<(&'static str, String)>,
}

impl Subscribe {
    pub(crate) fn new(client: Client, stream: &StreamName) -> Self {
        Self { client, path: format!("/v1/events/{stream}"), start: Start::default(), filter: Vec::new() }
    }
}

impl Subscribe<LogCursor> {
    pub(crate) fn all(client: Client, pattern: &str) -> Self {
        let filter = vec![("streams", pattern.to_owned())];
        Self { client, path: "/v1/events".to_owned(), start: Start::default(), filter }
    }
}

impl Subscribe {
    /// Asks for the ephemeral events of the stream as well, once the history has been given.
    pub fn with_ephemeral(self) -> Self {
        self.with("ephemeral", "true")
    }
}

impl<C: Place> Subscribe<C> {
    /// Says where to begin.
    pub fn from(self, start: Start<C>) -> Self {
        Self { start, ..self }
    }

    /// Asks for events of a type, such as `message` or `observation.*`; several widen the choice.
    pub fn with_type(self, pattern: &str) -> Self {
        self.with("type", pattern)
    }

    /// Asks for events of a source and of those below it; several widen the choice.
    pub fn with_source(self, prefix: &str) -> Self {
        self.with("source", prefix)
    }

    /// Asks for events about a subject; several widen the choice.
    pub fn with_subject(self, subject: &str) -> Self {
        self.with("subject", subject)
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// Fails when no daemon answers or the daemon refuses.
    pub async fn open(self) -> Result<Subscription<C>, ClientError> {
        let connection = self.connect(self.start).await?;
        let start = self.start;
        Ok(Subscription { subscribe: self, start, connection: Some(connection), failures: 0 })
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.filter.push((name, value.to_owned()));
        self
    }

    async fn connect(&self, start: Start<C>) -> Result<Connection, ClientError> {
        let request = self.client.request(Method::GET, &self.path);
        let request = request
            .query(&[("from", start.to_string())])
            .query(&self.filter)
            .header(ACCEPT, "text/event-stream");
        let response = self.client.send(request).await?;
        let content_type =
            response.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
        if !content_type.is_some_and(|text| text.starts_with("text/event-stream")) {
            return Err(self.client.foreign("it does not answer with an event stream".to_owned()));
        }
        Ok(Connection { bytes: response.bytes_stream().boxed(), parser: Parser::default() })
    }
}

/// A subscription that connects anew by itself, and goes on after the last event that it delivered.
pub struct Subscription<C = Cursor> {
    subscribe: Subscribe<C>,
    /// Where a new connection begins.
    start: Start<C>,
    connection: Option<Connection>,
    /// How many tries in a row have failed.
    failures: u32,
}

struct Connection {
    bytes: BoxStream<'static, reqwest::Result<Bytes>>,
    parser: Parser,
}

impl Connection {
    /// Waits for the next frame; `None` at the end of the connection.
    async fn frame(&mut self, client: &Client) -> Result<Option<Frame>, ClientError> {
        loop {
            if let Some(frame) = self.parser.next_frame() {
                return Ok(Some(frame));
            }
            let Some(bytes) = self.bytes.next().await else { return Ok(None) };
            let bytes = bytes.map_err(|error| client.broken(error))?;
            self.parser.push(&bytes).map_err(|error| client.foreign(error.to_string()))?;
        }
    }
}

impl<C: Place> Subscription<C> {
    /// Returns the cursor of the last delivery, where there is one.
    pub fn cursor(&self) -> Option<C> {
        match self.start {
            Start::After(cursor) => Some(cursor),
            Start::Beginning | Start::Now => None,
        }
    }

    /// Waits for the next delivery. May be dropped and called again without losing one.
    ///
    /// A connection that breaks is delivered as [`Delivery::Interrupted`]; from then on the subscription tries to
    /// connect anew for as long as it is waited for.
    ///
    /// # Errors
    ///
    /// Fails when the daemon refuses what will not succeed later, such as a cursor that is gone.
    pub async fn next(&mut self) -> Result<Delivery<C>, ClientError> {
        loop {
            let Some(connection) = &mut self.connection else {
                self.reconnect().await?;
                continue;
            };
            let frame = match connection.frame(&self.subscribe.client).await {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    let url = self.subscribe.client.url().to_owned();
                    return self.interrupt(ClientError::Ended { url });
                }
                Err(error) => return self.interrupt(error),
            };
            match self.read(&frame)? {
                Some(Delivery::Interrupted(error)) => return self.interrupt(error),
                Some(delivery) => {
                    self.failures = 0;
                    return Ok(delivery);
                }
                None => {}
            }
        }
    }

    fn interrupt(&mut self, error: ClientError) -> Result<Delivery<C>, ClientError> {
        self.connection = None;
        if error.is_retryable() { Ok(Delivery::Interrupted(error)) } else { Err(error) }
    }

    async fn reconnect(&mut self) -> Result<(), ClientError> {
        tokio::time::sleep(pause(self.failures)).await;
        self.failures = self.failures.saturating_add(1);
        match self.subscribe.connect(self.start).await {
            Ok(connection) => self.connection = Some(connection),
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Turns a frame into a delivery; `None` for a name that is not known.
    fn read(&mut self, frame: &Frame) -> Result<Option<Delivery<C>>, ClientError> {
        let client = &self.subscribe.client;
        let malformed =
            |error: &dyn std::fmt::Display| client.foreign(format!("a frame does not parse: {error}"));
        if frame.name == "failed" {
            let body: ErrorBody = serde_json::from_slice(&frame.data).map_err(|error| malformed(&error))?;
            return Ok(Some(Delivery::Interrupted(ClientError::Refused(Box::new(body)))));
        }
        if frame.name == "ephemeral" {
            let passing: Passing<'_> =
                serde_json::from_slice(&frame.data).map_err(|error| malformed(&error))?;
            let json = Bytes::copy_from_slice(passing.event.get().as_bytes());
            return Ok(Some(Delivery::Ephemeral(json, passing.dropped)));
        }
        let cursor: C = frame.id.parse().map_err(|error: C::Err| malformed(&error))?;
        let delivery = match frame.name.as_str() {
            "" | "message" => Delivery::Event(Received { cursor, json: frame.data.clone() }),
            "caught_up" => Delivery::CaughtUp(cursor),
            "gap" => Delivery::Gap(serde_json::from_slice(&frame.data).map_err(|error| malformed(&error))?),
            _ => return Ok(None),
        };
        self.start = Start::After(cursor);
        Ok(Some(delivery))
    }
}

/// The data of a frame with an ephemeral event.
#[derive(serde::Deserialize)]
struct Passing<'a> {
    dropped: u64,
    #[serde(borrow)]
    event: &'a serde_json::value::RawValue,
}

/// Returns how long to wait before another try.
fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let pauses: Vec<_> = [0, 1, 5, 6, u32::MAX].map(|failures| pause(failures).as_millis()).into();
        assert_eq!(pauses, [100, 200, 3200, 5000, 5000]);
    }
}
