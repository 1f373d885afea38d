//! `/v1/outcome`: what became of an event.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use undercurrent_types::{ErrorCode, EventError, EventSource, StreamName, StreamNameError};

use crate::app::App;
use crate::query::Params;
use crate::reply::{Refusal, json};

pub(crate) async fn outcome(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let mut params = Params::of(request.uri())?;
    let mut required = |name: &str| {
        let missing = || {
            Refusal::invalid(format!(
                "the parameter `{name}` is missing: `stream`, `source` and `id` name an event"
            ))
        };
        params.take(name)?.ok_or_else(missing)
    };
    let (stream, source, id) = (required("stream")?, required("source")?, required("id")?);
    params.finish()?;
    let stream: StreamName = stream
        .parse()
        .map_err(|error: StreamNameError| Refusal::new(ErrorCode::InvalidStream, error.to_string()))?;
    let source: EventSource = source.parse().map_err(|error: EventError| Refusal::from(error))?;
    let outcome = app.engine()?.outcome(&stream, &source, &id).await;
    let outcome = outcome.map_err(|error| Refusal::new(ErrorCode::StoreFailed, error.to_string()))?;
    Ok(json(&outcome))
}
