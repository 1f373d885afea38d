//! What operators and programs ask about the daemon itself.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use undercurrent_types::wire;

use crate::app::App;
use crate::body;
use crate::incoming::{self, Incoming};
use crate::query::Params;
use crate::reply::{Refusal, json};

/// Answers as long as the process lives.
pub(crate) async fn healthz(State(app): State<Arc<App>>) -> Response {
    json(&health(&app))
}

/// Answers 200 once the store is recovered.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    app.engine()?;
    Ok(json(&health(&app)))
}

pub(crate) async fn status(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    Params::of(request.uri())?.finish()?;
    Ok(json(&app.engine()?.status().await.map_err(|error| error.body())?))
}

/// Says which names an event would make stale, and by which rules; publishes nothing.
pub(crate) async fn test_rules(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let (parts, sent) = request.into_parts();
    Params::of(&parts.uri)?.finish()?;
    let engine = app.engine()?;
    let received = app.bodies().read(&parts.headers, sent, body::EVENTS).await?;
    match incoming::read(&parts.headers, &received.bytes)? {
        Incoming::One(event) => {
            event.validate().map_err(|error| Refusal::invalid(error.to_string()))?;
            Ok(json(&engine.rules().test(&event)))
        }
        Incoming::Many(_) => Err(Refusal::invalid("one event is tested at a time, and this is a batch")),
    }
}

/// Takes a secret, which is the body, out of all that is stored.
pub(crate) async fn scrub(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let (parts, sent) = request.into_parts();
    Params::of(&parts.uri)?.finish()?;
    let engine = app.engine()?;
    let received = app.bodies().read(&parts.headers, sent, body::NAMES).await?;
    let report = engine.scrub(&received.bytes).await;
    report.map(|report| json(&report)).map_err(|error| error.body().into())
}

fn health(app: &App) -> wire::Health {
    wire::Health {
        instance: app.instance().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ready: app.is_ready(),
    }
}
