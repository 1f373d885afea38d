//! A subscription as server-sent events.
//!
//! Every frame has the cursor from which to go on as its `id`, which a client sends back as `Last-Event-ID`. The data
//! of a frame without a name is one bare event; `ephemeral` has no id; `caught_up` and `gap` are named; `failed` is the last frame of a
//! subscription that can not go on. A client that reads slowly is not written to: the subscription reads on from the
//! log when there is room again.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{FutureExt, stream};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use undercurrent_types::wire;

use crate::app::App;
use crate::query::Params;
use crate::reading::{Given, Reading};
use crate::reply::Refusal;

/// How many bytes of frames are written at once while there are more to write.
const CHUNK: usize = 64 << 10;

/// Answers with a subscription that ends with the client or the daemon.
pub(crate) async fn follow(app: &Arc<App>, parts: &Parts) -> Result<Response, Refusal> {
    let mut params = Params::of(&parts.uri)?;
    let from = params.take("from")?;
    // A client that reconnects sends the header and repeats the address: the header is newer.
    let last = parts.headers.get("last-event-id").map(|value| value.to_str().unwrap_or("\u{fffd}"));
    let from = last.filter(|id| !id.is_empty()).or(from.as_deref());
    let permit = app.begin_subscription()?;
    let reading = Reading::open(app, &parts.uri, params, from).await?;
    let mut heartbeat = interval_at(Instant::now() + app.heartbeat(), app.heartbeat());
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let follow =
        Follow { reading, heartbeat, stopping: app.stopping().clone(), failed: false, _permit: permit };
    let frames = stream::unfold(follow, async |mut follow| {
        let chunk = follow.chunk().await?;
        Some((Ok::<_, Infallible>(chunk), follow))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(frames)).into_response())
}

struct Follow {
    reading: Reading,
    heartbeat: Interval,
    stopping: CancellationToken,
    /// Whether the last frame has been written.
    failed: bool,
    _permit: OwnedSemaphorePermit,
}

impl Follow {
    /// Waits for the next frame, and adds those that are there already.
    async fn chunk(&mut self) -> Option<Bytes> {
        if self.failed {
            return None;
        }
        let first = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return None,
            delivery = self.reading.next() => delivery,
            _ = self.heartbeat.tick() => return Some(Bytes::from_static(b":\n\n")),
        };
        self.heartbeat.reset();
        let mut out = BytesMut::with_capacity(1024);
        let mut next = Some(first);
        while let Some(delivery) = next {
            match delivery {
                Ok(given) => write_given(&mut out, &given),
                Err(error) => {
                    write_named(&mut out, "failed", None, &error);
                    self.failed = true;
                    break;
                }
            }
            next = if out.len() < CHUNK { self.reading.next().now_or_never() } else { None };
        }
        Some(out.freeze())
    }
}

fn write_given(out: &mut BytesMut, given: &Given) {
    match given {
        Given::Event(cursor, json) => {
            write_id(out, cursor);
            out.put_slice(b"data: ");
            out.put_slice(json);
            out.put_slice(b"\n\n");
        }
        Given::Ephemeral(json, dropped) => {
            out.put_slice(format!("event: ephemeral\ndata: {{\"dropped\":{dropped},\"event\":").as_bytes());
            out.put_slice(json);
            out.put_slice(b"}\n\n");
        }
        Given::CaughtUp(cursor) => {
            let caught_up = wire::CaughtUp { cursor: cursor.clone() };
            write_named(out, "caught_up", Some(&caught_up.cursor), &caught_up);
        }
        Given::Gap(gap) => write_named(out, "gap", Some(&gap.resumes), gap),
    }
}

fn write_id(out: &mut BytesMut, id: &str) {
    out.put_slice(b"id: ");
    out.put_slice(id.as_bytes());
    out.put_slice(b"\n");
}

fn write_named(out: &mut BytesMut, name: &str, id: Option<&str>, data: &impl Serialize) {
    if let Some(id) = id {
        write_id(out, id);
    }
    out.put_slice(b"event: ");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\ndata: ");
    if let Err(error) = serde_json::to_writer((&mut *out).writer(), data) {
        tracing::error!(%error, name, "a frame has no JSON");
    }
    out.put_slice(b"\n\n");
}
