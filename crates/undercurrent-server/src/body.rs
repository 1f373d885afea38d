//! Bodies of requests: read whole, within limits.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use undercurrent_types::ErrorCode;

use crate::reply::Refusal;

/// The largest body with events, in bytes.
pub(crate) const EVENTS: usize = 16 << 20;
/// The largest value that is put, in bytes.
pub(crate) const VALUE: usize = 8 << 20;
/// The largest body with names, in bytes.
pub(crate) const NAMES: usize = 1 << 20;

/// What all bodies that are being read may take together, in KiB; a request that finds no room waits.
const ROOM: u32 = 256 << 10;
/// How long a client may take to send a body.
const TIME: Duration = Duration::from_secs(60);
/// How much of a body that is too large is read and thrown away, so that the client comes to read the refusal.
const THROWN_AWAY: usize = 128 << 20;

/// The room for bodies.
pub(crate) struct Bodies(Arc<Semaphore>);

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM as usize)))
    }
}

/// A body with the room that it takes.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Bodies {
    /// Reads a body of at most `limit` bytes.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
    ) -> Result<Received, Refusal> {
        let read = async {
            let length = content_length(headers);
            if length.is_some_and(|length| length > limit) {
                throw_away(body, length.unwrap_or_default()).await;
                return Err(too_large(limit));
            }
            let room = Arc::clone(&self.0).acquire_many_owned(kib(length.unwrap_or(limit))).await;
            let room = room.map_err(|_| Refusal::new(ErrorCode::Unavailable, "the daemon is ending"))?;
            Ok(Received { bytes: collect(body, limit).await?, _room: room })
        };
        let late = || {
            Refusal::new(ErrorCode::TimedOut, format!("the body did not arrive within {} s", TIME.as_secs()))
        };
        tokio::time::timeout(TIME, read).await.map_err(|_| late())?
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).map_or(ROOM, |kib| kib.min(ROOM))
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limit: usize) -> Refusal {
    let message =
        format!("the body has more than {limit} bytes, the most that is taken here; send less at once");
    Refusal::new(ErrorCode::TooLarge, message)
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let mut chunks = body.into_data_stream();
    let mut all = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Refusal::invalid(format!("the body broke off: {error}")))?;
        if all.len() + chunk.len() > limit {
            throw_away(Body::from_stream(chunks), 0).await;
            return Err(too_large(limit));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

async fn throw_away(body: Body, announced: usize) {
    let mut chunks = body.into_data_stream();
    let mut seen = 0;
    while announced <= THROWN_AWAY && seen <= THROWN_AWAY {
        let Some(Ok(chunk)) = chunks.next().await else { return };
        seen += chunk.len();
    }
}
