//! `/v1/changes`: what has changed since a session read it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use undercurrent_types::SessionName;
use undercurrent_types::wire::header;

use crate::app::App;
use crate::query::Params;
use crate::reply::{Refusal, json};

/// Answers with the notice; a POST with `ack=true` has it count as seen.
pub(crate) async fn changes(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let mut params = Params::of(request.uri())?;
    let session = params.take("session")?;
    let session = session.ok_or_else(|| Refusal::invalid("the parameter `session` is missing"))?;
    let ack = params.parse("ack", "`true` or `false`")?.unwrap_or(false);
    params.finish()?;
    if ack && request.method() != Method::POST {
        return Err(Refusal::invalid("`ack=true` changes something: send it with POST"));
    }
    let notice = app.engine()?.changes(&name(&session)?, ack).await;
    let as_text = request.headers().get(ACCEPT).is_some_and(|accept| accept == "text/plain");
    if as_text {
        return Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], notice.to_string()).into_response());
    }
    Ok(json(&notice))
}

/// Reads the session that a read belongs to.
pub(crate) fn session_of(headers: &HeaderMap) -> Result<Option<SessionName>, Refusal> {
    let Some(value) = headers.get(header::SESSION) else { return Ok(None) };
    name(value.to_str().unwrap_or("\u{fffd}")).map(Some)
}

fn name(text: &str) -> Result<SessionName, Refusal> {
    text.parse().map_err(|error: undercurrent_types::SessionNameError| Refusal::invalid(error.to_string()))
}
