//! History and live of several streams in one call, in the order of the namespace.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use undercurrent_types::{LogCursor, Pattern, Position, Token, wire};

use super::filter::{Filter, FilterError, pattern};
use super::subscribe::SubscribeError;
use crate::store::{LogCommit, ReadLogError, ReadStreamError, Record, Store, StoreError};

/// How many commits are read from the log at once.
const PAGE: usize = 256;

/// Which streams of a namespace a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// All of them.
    #[default]
    All,
    /// Those whose name one of the patterns covers.
    Named(Vec<Pattern>),
    /// No stream: the commits that made something stale.
    Invalidations,
}

impl Streams {
    /// The text that stands for [`Streams::Invalidations`].
    pub const INVALIDATIONS: &str = "$invalidations";

    /// Reads patterns such as `sessions/*`; one alone may be `$invalidations`.
    ///
    /// # Errors
    ///
    /// Fails when a pattern is empty or has a `*` before its end.
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, FilterError> {
        let texts: Vec<_> = patterns.into_iter().collect();
        if texts == [Self::INVALIDATIONS] {
            return Ok(Self::Invalidations);
        }
        let named = texts.into_iter().map(|text| pattern("`streams`", text));
        Ok(Self::Named(named.collect::<Result<_, _>>()?))
    }

    fn covers(&self, stream: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(patterns) => patterns.iter().any(|pattern| pattern.covers(stream)),
            Self::Invalidations => false,
        }
    }
}

/// What a subscriber of several streams is given next.
#[derive(Clone, Debug)]
pub enum LogDelivery {
    /// An event, and where to go on after it.
    Event(LogCursor, Record),
    /// A commit that made something stale, with the names.
    Invalidated(LogCursor, Arc<LogCommit>),
    /// All that was there when the subscription was opened has been given; what follows is live. Comes once.
    CaughtUp(LogCursor),
    /// Commits are missing; the log goes on behind them.
    Gap(wire::Gap),
}

/// One reader of several streams.
///
/// It reads the log and waits for the log to grow, so it is never ahead of the lowest position that is not visible;
/// it holds at most one page of commits, and no publisher waits for it.
pub struct LogSubscription {
    store: Arc<dyn Store>,
    streams: Streams,
    filter: Filter,
    cursor: LogCursor,
    /// What has been read and not given.
    page: VecDeque<LogDelivery>,
    /// Up to where the log has been read.
    read_to: Option<Position>,
    /// Whether the log had no more when it was read last.
    at_tail: bool,
    /// Whether the mark between history and live has been given.
    caught_up: bool,
    visible_rx: watch::Receiver<u64>,
    /// Ends when the store does.
    live: broadcast::Receiver<Record>,
    ended: bool,
}

/// Where a subscription of several streams begins.
pub type LogStart = undercurrent_types::Start<LogCursor>;

impl LogSubscription {
    /// Opens a subscription.
    ///
    /// # Errors
    ///
    /// Fails when the cursor belongs to the life of another store.
    pub async fn open(
        store: Arc<dyn Store>,
        streams: Streams,
        start: LogStart,
        filter: Filter,
    ) -> Result<Self, SubscribeError> {
        let inc = store.horizon().incarnation();
        let at = |position| LogCursor { token: Token { inc, position }, events: None };
        // Before the look at where it stands: what becomes visible from here on wakes the reader.
        let (visible_rx, live) = (store.watch_visible(), store.observe());
        let (cursor, read_to) = match start {
            LogStart::Beginning => (at(Position(0)), None),
            LogStart::Now => {
                let visible = store.visible().await.map_err(ReadStreamError::from)?;
                (at(visible), Some(visible))
            }
            LogStart::After(cursor) if cursor.token.inc != inc => {
                return Err(SubscribeError::OtherStore { given: cursor });
            }
            // A commit of which some events have been seen is read again.
            LogStart::After(cursor) => {
                let seen = u64::from(cursor.events.is_some());
                (cursor, Some(Position(cursor.token.position.0.saturating_sub(seen))))
            }
        };
        let page = VecDeque::new();
        let (at_tail, caught_up, ended) = (false, false, false);
        Ok(Self {
            store,
            streams,
            filter,
            cursor,
            page,
            read_to,
            at_tail,
            caught_up,
            visible_rx,
            live,
            ended,
        })
    }

    /// Returns where the reader stands: the last event that was given or passed over.
    pub fn cursor(&self) -> LogCursor {
        self.cursor
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// Fails when the log can not be read, or the store is closed and everything has been given.
    pub async fn next(&mut self) -> Result<LogDelivery, SubscribeError> {
        loop {
            if let Some(delivery) = self.page.pop_front() {
                if let LogDelivery::Event(cursor, _) | LogDelivery::Invalidated(cursor, _) = &delivery {
                    self.cursor = *cursor;
                }
                return Ok(delivery);
            }
            if !self.at_tail {
                self.read().await?;
            } else if !self.caught_up {
                self.caught_up = true;
                return Ok(LogDelivery::CaughtUp(self.cursor));
            } else if self.ended {
                return Err(ReadStreamError::Store(StoreError::Closed).into());
            } else {
                self.wait().await;
                self.at_tail = false;
            }
        }
    }

    /// Waits until the log has grown, or the store has ended.
    async fn wait(&mut self) {
        loop {
            tokio::select! {
                changed = self.visible_rx.changed() => {
                    self.ended |= changed.is_err();
                    return;
                }
                event = self.live.recv() => if matches!(event, Err(RecvError::Closed)) {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    /// Reads the next page of the log.
    async fn read(&mut self) -> Result<(), SubscribeError> {
        // What becomes visible from here on wakes the reader again.
        self.visible_rx.mark_unchanged();
        match self.store.read_log(self.read_to, PAGE).await {
            Ok(page) => {
                for commit in page.commits {
                    self.take(commit);
                }
                self.read_to = Some(page.next);
                self.at_tail = page.at_tail;
                if self.page.is_empty() {
                    self.cursor = LogCursor { token: self.token(page.next), events: None };
                }
            }
            Err(ReadLogError::Gone { oldest, .. }) => {
                let resumes = LogCursor { token: self.token(oldest), events: None };
                self.page.push_back(LogDelivery::Gap(wire::Gap {
                    reason: "retention".to_owned(),
                    after: self.cursor.to_string(),
                    resumes: resumes.to_string(),
                }));
                self.cursor = resumes;
                self.read_to = Some(oldest);
            }
            Err(ReadLogError::Store(error)) => return Err(ReadStreamError::Store(error).into()),
        }
        Ok(())
    }

    fn take(&mut self, commit: LogCommit) {
        if self.streams == Streams::Invalidations {
            let cursor = LogCursor { token: commit.token, events: None };
            if !commit.names.is_empty() {
                self.page.push_back(LogDelivery::Invalidated(cursor, Arc::new(commit)));
            }
            return;
        }
        let is_resumed = self.cursor.token == commit.token;
        let seen = self.cursor.events.filter(|_| is_resumed).unwrap_or(0) as usize;
        let last = commit.events.len();
        for (n, record) in commit.events.into_iter().enumerate().skip(seen) {
            if self.streams.covers(record.stream.as_str()) && self.filter.matches(&record) {
                let events = (n + 1 < last).then_some(n as u32 + 1);
                let cursor = LogCursor { token: record.token, events };
                self.page.push_back(LogDelivery::Event(cursor, record));
            }
        }
    }

    fn token(&self, position: Position) -> Token {
        Token { position, ..self.cursor.token }
    }
}
