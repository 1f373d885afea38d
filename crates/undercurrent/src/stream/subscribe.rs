//! History and live in one call.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use undercurrent_types::{Cursor, LogCursor, Seq, Start, StreamName, StreamNameError, wire};

use super::filter::Filter;
use crate::ablation::{Step, skips};
use crate::store::{ReadStreamError, Record, Store, StoreError};

/// How many events are read from the log at once, if they are small: the store gives about 1 MiB at most.
const PAGE: usize = 1024;

/// What a subscriber is given next.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// An event.
    Event(Record),
    /// All that was there when the subscription was opened has been given; what follows is live. Comes once.
    CaughtUp(Cursor),
    /// Events are missing; the stream goes on behind them.
    Gap(wire::Gap),
}

/// Why a subscription can not be opened or go on.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The name of the stream is none.
    #[error(transparent)]
    Stream(#[from] StreamNameError),
    /// The cursor of several streams belongs to the life of another store.
    #[error(
        "the cursor `{given}` belongs to another data directory, or to one that was made anew: begin again"
    )]
    OtherStore {
        /// The cursor that was given.
        given: LogCursor,
    },
    /// The stream can not be read from there.
    #[error(transparent)]
    Read(#[from] ReadStreamError),
}

/// One reader of one stream.
///
/// It holds at most one page of events; the live ring keeps the last 1024 for all readers of the stream, and a reader
/// that falls behind it reads on from the log.
pub struct Subscription {
    store: Arc<dyn Store>,
    stream: StreamName,
    filter: Filter,
    cursor: Cursor,
    page: VecDeque<Record>,
    live: broadcast::Receiver<Record>,
    /// Whether the next event is expected from the live ring.
    following: bool,
    /// Whether the mark between history and live has been given.
    caught_up: bool,
}

impl Subscription {
    /// Opens a subscription. The live ring is joined before the log is read, so nothing falls between the two.
    ///
    /// # Errors
    ///
    /// Fails when the cursor can not be continued, with the oldest that can.
    pub async fn open(
        store: Arc<dyn Store>,
        stream: StreamName,
        start: Start,
        filter: Filter,
    ) -> Result<Self, SubscribeError> {
        let live = store.follow(&stream);
        let after = match start {
            Start::Beginning => None,
            Start::Now => Some(store.tail(&stream).await.map_err(ReadStreamError::from)?),
            Start::After(cursor) => Some(cursor),
        };
        let first = store.read_stream(&stream, after, PAGE).await?;
        Ok(Self {
            store,
            stream,
            filter,
            cursor: first.records.first().map_or(first.next, |record| before(record.cursor)),
            page: first.records.into(),
            live,
            following: false,
            caught_up: false,
        })
    }

    pub(super) fn stream(&self) -> &StreamName {
        &self.stream
    }

    pub(super) fn wanted(&self) -> &Filter {
        &self.filter
    }

    /// Returns where the reader stands: the last event that was given or passed over.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// Fails when the log can not be read, or the store is closed and everything has been given.
    pub async fn next(&mut self) -> Result<Delivery, SubscribeError> {
        loop {
            while let Some(record) = self.page.pop_front() {
                self.cursor = record.cursor;
                if self.filter.matches(&record) {
                    return Ok(Delivery::Event(record));
                }
            }
            if self.following {
                match self.live.recv().await {
                    Ok(record) => self.take_live(record),
                    Err(RecvError::Lagged(_)) => self.following = skips(Step::LiveInOrder),
                    Err(RecvError::Closed) => return Err(ReadStreamError::Store(StoreError::Closed).into()),
                }
            } else if let Some(delivery) = self.catch_up().await? {
                return Ok(delivery);
            }
        }
    }

    /// Takes an event from the live ring if it is the next one, and goes back to the log if one is missing.
    fn take_live(&mut self, record: Record) {
        let Cursor { epoch, seq } = record.cursor;
        if epoch == self.cursor.epoch && seq <= self.cursor.seq && !skips(Step::LiveOnce) {
            return;
        }
        if epoch == self.cursor.epoch && seq == self.cursor.seq.next()
            || skips(Step::LiveInOrder)
            || seq <= self.cursor.seq && skips(Step::LiveOnce)
        {
            self.page.push_back(record);
        } else {
            self.following = false;
        }
    }

    /// Reads the next page of the log; at its end the reader follows.
    async fn catch_up(&mut self) -> Result<Option<Delivery>, SubscribeError> {
        match self.store.read_stream(&self.stream, Some(self.cursor), PAGE).await {
            Ok(page) => {
                let ended = page.records.is_empty() && page.at_tail;
                self.page = page.records.into();
                if !ended {
                    return Ok(None);
                }
                self.following = true;
                if self.caught_up {
                    return Ok(None);
                }
                self.caught_up = true;
                Ok(Some(Delivery::CaughtUp(self.cursor)))
            }
            Err(ReadStreamError::Gone { given, oldest, reason, .. }) => {
                self.cursor = oldest;
                let gap = wire::Gap {
                    reason: reason.to_owned(),
                    after: given.to_string(),
                    resumes: oldest.to_string(),
                };
                Ok(Some(Delivery::Gap(gap)))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The place of a reader who has not seen this event.
fn before(cursor: Cursor) -> Cursor {
    Cursor { epoch: cursor.epoch, seq: Seq(cursor.seq.0.saturating_sub(1)) }
}
