//! `/v1/events/{stream}`: publish, and read as a page or a subscription.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Uri;
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::response::Response;
use undercurrent::EventStream;
use undercurrent::event_stream::Outgoing;
use undercurrent::stream::{Filter, Start, Subscription};
use undercurrent_types::{CursorError, ErrorBody, ErrorCode, Seq, StreamName, wire};

use crate::app::App;
use crate::body;
use crate::incoming::{self, Incoming};
use crate::query::{Params, stream_below};
use crate::reply::{Refusal, json};
use crate::{follow, page};

/// Publishes one event or a batch, and answers with one acknowledgement or a list of them.
pub(crate) async fn publish(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let (parts, sent) = request.into_parts();
    let stream = stream_of(&parts.uri)?;
    let mut params = Params::of(&parts.uri)?;
    let expected_seq =
        params.parse("expected_seq", "the seq of the stream's last event, 0 for an empty one")?.map(Seq);
    let durability = params.parse("durability", "`memory`, `page`, `durable` or `replicated`")?;
    let ephemeral = params.parse("ephemeral", "`true` or `false`")?.unwrap_or(false);
    params.finish()?;
    let engine = app.engine()?;
    let received = app.bodies().read(&parts.headers, sent, body::EVENTS).await?;
    let outgoing = |event| Outgoing { stream: stream.clone(), event, durability, expected_seq: None };
    let publish = async |mut events: Vec<Outgoing>| {
        // The batch is one step: what holds for its first event holds for all.
        if let Some(first) = events.first_mut() {
            first.expected_seq = expected_seq;
        }
        engine.publish_with(events, Vec::new(), "").await.map_err(|error| Refusal::from(error.body()))
    };
    let incoming = incoming::read(&parts.headers, &received.bytes)?;
    if ephemeral {
        return pass(engine, &stream, incoming, expected_seq.is_some() || durability.is_some()).await;
    }
    match incoming {
        Incoming::Many(events) if events.is_empty() => Ok(json(&[(); 0])),
        Incoming::Many(events) => Ok(json(&publish(events.into_iter().map(outgoing).collect()).await?)),
        Incoming::One(event) => match publish(vec![outgoing(*event)]).await?.first() {
            Some(ack) => Ok(json(ack)),
            None => {
                Err(Refusal::new(ErrorCode::Internal, "the event was published without an acknowledgement"))
            }
        },
    }
}

/// Publishes a batch of events of several streams, all or none, each with the attribute `stream`.
pub(crate) async fn publish_all(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let (parts, sent) = request.into_parts();
    Params::of(&parts.uri)?.finish()?;
    let engine = app.engine()?;
    let received = app.bodies().read(&parts.headers, sent, body::EVENTS).await?;
    let events = incoming::in_streams(&parts.headers, &received.bytes)?;
    let outgoing = events.into_iter().map(|(stream, event)| Outgoing {
        stream,
        event,
        durability: None,
        expected_seq: None,
    });
    let published = engine.publish_with(outgoing.collect(), Vec::new(), "").await;
    published.map(|acks| json(&acks)).map_err(|error| Refusal::from(error.body()))
}

/// Hands an event to those who follow, without keeping it.
async fn pass(
    engine: &EventStream,
    stream: &StreamName,
    incoming: Incoming,
    is_kept: bool,
) -> Result<Response, Refusal> {
    if is_kept {
        return Err(Refusal::invalid("an ephemeral event has no seq and no durability: leave these out"));
    }
    let Incoming::One(event) = incoming else {
        return Err(Refusal::invalid("ephemeral events are sent one by one"));
    };
    let listeners = engine.publish_ephemeral(stream, *event).await.map_err(|error| error.body())?;
    Ok(json(&wire::Passed { listeners }))
}

/// Reads a stream: as a subscription where the client accepts one, otherwise as a page.
pub(crate) async fn read(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let (parts, _) = request.into_parts();
    if accepts(&parts, "text/event-stream") {
        follow::follow(&app, &parts).await
    } else {
        page::page(&app, &parts).await
    }
}

pub(crate) fn accepts(parts: &Parts, media_type: &str) -> bool {
    let accepted = parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(','));
    types.any(|one| one.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type))
}

/// Reads the name of the stream, which is all that follows `/v1/events/`.
pub(crate) fn stream_of(uri: &Uri) -> Result<StreamName, Refusal> {
    stream_below(uri, "/v1/events/")
}

/// Reads where to begin: `beginning`, `now` or a cursor; nothing is the beginning.
pub(crate) fn start_of(text: Option<&str>) -> Result<Start, Refusal> {
    let Some(text) = text else { return Ok(Start::default()) };
    text.parse().map_err(|error: CursorError| {
        Refusal::new(ErrorCode::InvalidCursor, format!("{error}; or `beginning`, or `now`"))
    })
}

/// Takes the filter out of the parameters: `type`, `source`, `subject`, each as often as wanted.
pub(crate) fn filter_of(params: &mut Params) -> Result<Filter, Refusal> {
    let mut filter = Filter::default();
    for pattern in params.take_all("type") {
        filter = filter.with_type(&pattern).map_err(|error| error.body())?;
    }
    for prefix in params.take_all("source") {
        filter = filter.with_source(&prefix).map_err(|error| error.body())?;
    }
    for pattern in params.take_all("subject") {
        filter = filter.with_subject(&pattern).map_err(|error| error.body())?;
    }
    Ok(filter)
}

pub(crate) async fn subscribe(
    app: &App,
    stream: StreamName,
    start: Start,
    filter: Filter,
) -> Result<Subscription, Refusal> {
    let opened = app.engine()?.subscribe(stream).start(start).filter(filter).await;
    opened.map_err(|error| error.body().into())
}

/// Says that the daemon ends.
pub(crate) fn ending() -> ErrorBody {
    ErrorBody::new(ErrorCode::Unavailable, "the daemon is ending")
}
