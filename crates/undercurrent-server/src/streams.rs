//! The streams: listing them, setting them up, deleting them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use undercurrent::store::Retention;
use undercurrent_types::{ErrorCode, LimitError, parse_age, parse_bytes, parse_count, wire};

use crate::app::App;
use crate::query::{Params, stream_below};
use crate::reply::{Refusal, json};

pub(crate) async fn list(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    Params::of(request.uri())?.finish()?;
    Ok(json(&app.engine()?.streams().await.map_err(|error| error.body())?))
}

/// Makes a stream, or sets how much one keeps: what is not named stays as it is.
pub(crate) async fn create(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let stream = stream_below(request.uri(), PATH)?;
    let mut params = Params::of(request.uri())?;
    let engine = app.engine()?;
    let mut settings = engine.stream_settings(&stream).await.map_err(|error| error.body())?;
    if let Some(durability) = params.parse("durability", "`memory`, `page` or `durable`")? {
        settings.durability = durability;
    }
    let Retention { age, bytes, count } = &mut settings.retention;
    limit(&mut params, "max_age", parse_age, age)?;
    limit(&mut params, "max_bytes", parse_bytes, bytes)?;
    limit(&mut params, "max_count", parse_count, count)?;
    params.finish()?;
    let status = engine.create_stream(&stream, settings).await;
    status.map(|status| json(&status)).map_err(|error| error.body().into())
}

pub(crate) async fn delete(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let stream = stream_below(request.uri(), PATH)?;
    Params::of(request.uri())?.finish()?;
    match app.engine()?.delete_stream(&stream).await {
        Ok(true) => Ok(json(&wire::Deleted { stream })),
        Ok(false) => Err(Refusal::new(ErrorCode::NotFound, format!("there is no stream `{stream}`"))),
        Err(error) => Err(error.body().into()),
    }
}

const PATH: &str = "/v1/streams/";

fn limit<T>(
    params: &mut Params,
    name: &str,
    parse: fn(&str) -> Result<Option<T>, LimitError>,
    limit: &mut Option<T>,
) -> Result<(), Refusal> {
    if let Some(text) = params.take(name)? {
        *limit =
            parse(&text).map_err(|error| Refusal::invalid(format!("the parameter `{name}`: {error}")))?;
    }
    Ok(())
}
