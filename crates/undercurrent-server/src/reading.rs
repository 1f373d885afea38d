//! One reader of one stream or of several, as its client sees it.

use bytes::Bytes;
use serde_json::json;
use undercurrent::store::{LogCommit, Record};
use undercurrent::stream::{
    Delivery, Live, LiveSubscription, LogDelivery, LogSubscription, Streams, Subscription,
};
use undercurrent_types::{ErrorBody, LogCursorError, wire};

use crate::app::App;
use crate::events::{filter_of, start_of, stream_of, subscribe};
use crate::query::Params;
use crate::reply::Refusal;

/// The path of several streams.
const ALL: &str = "/v1/events";

/// A subscription to what a request names.
pub(crate) enum Reading {
    /// One stream.
    Stream(Box<Subscription>),
    /// One stream with its ephemeral events.
    Live(Box<LiveSubscription>),
    /// Several, or the invalidations.
    Log(Box<LogSubscription>),
}

/// What comes next, with the cursor to go on with.
pub(crate) enum Given {
    Event(String, Bytes),
    /// An ephemeral event, which has no cursor, and how many were dropped before it.
    Ephemeral(Bytes, u64),
    CaughtUp(String),
    Gap(wire::Gap),
}

impl Reading {
    /// Opens what the path and the parameters name; `from` is where to begin.
    pub(crate) async fn open(
        app: &App,
        uri: &axum::http::Uri,
        mut params: Params,
        from: Option<&str>,
    ) -> Result<Self, Refusal> {
        if uri.path() != ALL {
            let stream = stream_of(uri)?;
            let start = start_of(from)?;
            let filter = filter_of(&mut params)?;
            let ephemeral = params.parse("ephemeral", "`true` or `false`")?.unwrap_or(false);
            params.finish()?;
            if ephemeral {
                let subscribe = app.engine()?.subscribe(stream).start(start).filter(filter);
                let opened = subscribe.with_ephemeral().await.map_err(|error| error.body())?;
                return Ok(Self::Live(Box::new(opened)));
            }
            return Ok(Self::Stream(Box::new(subscribe(app, stream, start, filter).await?)));
        }
        let patterns = params.take_all("streams");
        if patterns.is_empty() {
            return Err(Refusal::invalid(
                "the parameter `streams` is missing: a pattern such as `sessions/*`",
            ));
        }
        let filter = filter_of(&mut params)?;
        params.finish()?;
        let streams = Streams::parse(patterns.iter().map(String::as_str)).map_err(|error| error.body())?;
        let start = from.unwrap_or("beginning").parse().map_err(|error: LogCursorError| {
            Refusal::new(undercurrent_types::ErrorCode::InvalidCursor, error.to_string())
        })?;
        let opened =
            app.engine()?.subscribe_all(streams, start, filter).await.map_err(|error| error.body())?;
        Ok(Self::Log(Box::new(opened)))
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Given, ErrorBody> {
        match self {
            Self::Stream(stream) => Ok(kept(stream.next().await.map_err(|error| error.body())?)),
            Self::Live(live) => Ok(match live.next().await.map_err(|error| error.body())? {
                Live::Kept(delivery) => kept(delivery),
                Live::Ephemeral(record, dropped) => Given::Ephemeral(record.json, dropped),
            }),
            Self::Log(log) => Ok(match log.next().await.map_err(|error| error.body())? {
                LogDelivery::Event(cursor, record) => Given::Event(cursor.to_string(), with_stream(&record)),
                LogDelivery::Invalidated(cursor, commit) => Given::Event(cursor.to_string(), update(&commit)),
                LogDelivery::CaughtUp(cursor) => Given::CaughtUp(cursor.to_string()),
                LogDelivery::Gap(gap) => Given::Gap(gap),
            }),
        }
    }
}

fn kept(delivery: Delivery) -> Given {
    match delivery {
        Delivery::Event(record) => Given::Event(record.cursor.to_string(), record.json),
        Delivery::CaughtUp(cursor) => Given::CaughtUp(cursor.to_string()),
        Delivery::Gap(gap) => Given::Gap(gap),
    }
}

/// Returns the JSON of an event with the stream that it is in as one more attribute. A stream's name needs no escapes.
fn with_stream(record: &Record) -> Bytes {
    let inner = record.json.strip_prefix(b"{").unwrap_or(&record.json);
    [b"{\"stream\":\"", record.stream.as_str().as_bytes(), b"\",", inner].concat().into()
}

/// Returns what a commit made stale as an event of the view `$invalidations`.
fn update(commit: &LogCommit) -> Bytes {
    let names = commit.names.iter().map(|(name, event)| {
        let event = event.and_then(|n| commit.events.get(n));
        match event {
            Some(event) => json!({ "name": name, "stream": event.stream, "event": event.id_text() }),
            None => json!({ "name": name }),
        }
    });
    let mut data = json!({ "names": names.collect::<Vec<_>>() });
    if !commit.cause.is_empty() {
        data["cause"] = json!(commit.cause);
    }
    let time = i64::try_from(commit.time_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let event = json!({
        "stream": Streams::INVALIDATIONS, "specversion": "1.0", "id": commit.token.to_string(), "source": "system",
        "type": "cache_update", "time": time.unwrap_or_default().to_string(), "data": data,
        "position": commit.token.to_string(),
    });
    event.to_string().into()
}
