//! Subscribing to a stream.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use tokio::sync::broadcast;
use undercurrent_types::{Cursor, StreamName, StreamNameError};

use super::EventStream;
use crate::store::Record;
use crate::stream::{
    Filter, LiveSubscription, LogStart, LogSubscription, Start, Streams, SubscribeError, Subscription,
};

/// A subscription that is not open yet: say where it begins and what it takes, then await it.
#[must_use = "a subscription opens when it is awaited"]
pub struct Subscribe {
    events: EventStream,
    stream: Result<StreamName, StreamNameError>,
    start: Start,
    filter: Filter,
}

impl EventStream {
    /// Subscribes to a stream: history, a mark between history and live, then live, in one call. A stream that nobody
    /// has published to is empty.
    pub fn subscribe<S>(&self, stream: S) -> Subscribe
    where
        S: TryInto<StreamName>,
        StreamNameError: From<S::Error>,
    {
        let stream = stream.try_into().map_err(StreamNameError::from);
        Subscribe { events: self.clone(), stream, start: Start::Beginning, filter: Filter::default() }
    }

    /// Subscribes to several streams, in the order of the namespace: history as far as the log reaches, a mark, then
    /// live.
    ///
    /// # Errors
    ///
    /// Fails when the cursor belongs to another store, or the store can not be asked.
    pub async fn subscribe_all(
        &self,
        streams: Streams,
        start: LogStart,
        filter: Filter,
    ) -> Result<LogSubscription, SubscribeError> {
        LogSubscription::open(self.0.store.clone(), streams, start, filter).await
    }

    /// Returns every event of every stream as it becomes visible. It is a hint for people and counters: a receiver
    /// that lags is told how many it missed.
    pub fn observe(&self) -> broadcast::Receiver<Record> {
        self.0.store.observe()
    }
}

impl Subscribe {
    /// Begins after the event that the cursor names.
    pub fn from(mut self, cursor: Cursor) -> Self {
        self.start = Start::After(cursor);
        self
    }

    /// Begins at the oldest event kept, which is also the default.
    pub fn from_beginning(mut self) -> Self {
        self.start = Start::Beginning;
        self
    }

    /// Begins after the last event there is now.
    pub fn from_now(mut self) -> Self {
        self.start = Start::Now;
        self
    }

    /// Begins there.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Opens it with the ephemeral events of the stream as well, once the history has been given.
    ///
    /// # Errors
    ///
    /// Fails as the subscription alone does.
    pub async fn with_ephemeral(self) -> Result<LiveSubscription, SubscribeError> {
        let events = self.events.clone();
        Ok(LiveSubscription::new(self.await?, &events.0.ephemeral))
    }

    /// Takes only what the filter takes.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }
}

impl IntoFuture for Subscribe {
    type Output = Result<Subscription, SubscribeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            Subscription::open(self.events.0.store.clone(), self.stream?, self.start, self.filter).await
        })
    }
}
