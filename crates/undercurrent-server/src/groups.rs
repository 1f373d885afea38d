//! `/v1/groups`: making groups, and what their members do.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::response::Response;
use serde_json::value::RawValue;
use undercurrent::event_stream::Group;
use undercurrent::stream::{self, GroupDelivery, GroupError};
use undercurrent_types::wire::{self, GroupOptions};
use undercurrent_types::{ErrorCode, GroupName, GroupNameError, Lease};

use crate::app::App;
use crate::body;
use crate::query::Params;
use crate::reply::{Refusal, json};

/// How long a member may wait for events at most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How many events are given where no number is named.
const MOST: usize = 1;

pub(crate) async fn list(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    Params::of(request.uri())?.finish()?;
    answer(app.engine()?.groups().await)
}

/// Makes a group, or sets what of one that is there may be changed: what is not named stays as it is.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Path(group): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let mut params = Params::of(request.uri())?;
    let options = GroupOptions {
        stream: params.parse("stream", "the name of a stream")?,
        from: params.take("from")?,
        order: params.parse("order", "`none` or `subject`")?,
        lease_ms: params.time("lease")?.map(millis),
        max_deliveries: params.parse("max_deliveries", "a number")?,
        backoff_ms: params.time("backoff")?.map(millis),
        max_backoff_ms: params.time("max_backoff")?.map(millis),
        max_open: params.parse("max_open", "a number")?,
        dead_letters: params.parse("dead_letters", "the name of a stream")?,
    };
    params.finish()?;
    answer(app.engine()?.create_group(&name(&group)?, &options).await)
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(group): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    answer(group_of(&app, &group, request.uri())?.status().await)
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path(group): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    Params::of(request.uri())?.finish()?;
    let group = name(&group)?;
    match app.engine()?.delete_group(&group).await {
        Ok(true) => Ok(json(&wire::GroupDeleted { group })),
        Ok(false) => Err(Refusal::new(ErrorCode::NotFound, format!("there is no group `{group}`"))),
        Err(error) => Err(error.body().into()),
    }
}

/// Gives a member events, each with a lease; waits for some if there are none.
pub(crate) async fn fetch(
    State(app): State<Arc<App>>,
    Path(group): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let mut params = Params::of(request.uri())?;
    let most = params.parse("max", "how many events, from 1 to 1000")?.unwrap_or(MOST);
    let wait = params.time("wait")?.unwrap_or_default();
    params.finish()?;
    if wait > LONGEST_WAIT {
        let most = LONGEST_WAIT.as_secs();
        return Err(Refusal::invalid(format!(
            "the parameter `wait` is over {most} s, the most: ask again then"
        )));
    }
    let group = app.engine()?.group(name(&group)?);
    tokio::select! {
        biased;
        fetched = group.fetch(most, wait) => answer(fetched.map(written)),
        () = app.stopping().cancelled() => Err(crate::events::ending().into()),
    }
}

/// Takes in what a member says of leases; the verb is the last word of the path.
pub(crate) async fn settle(
    State(app): State<Arc<App>>,
    Path((group, verb)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, sent) = request.into_parts();
    let group = group_of(&app, &group, &parts.uri)?;
    let received = app.bodies().read(&parts.headers, sent, body::NAMES).await?;
    let said = serde_json::from_slice(&received.bytes).map_err(|error| {
        Refusal::invalid(format!("the body is not `{{\"leases\": [\"SEQ:GENERATION\", …]}}`: {error}"))
    })?;
    let wire::Leases { leases, delay_ms, lease_ms, reason } = said;
    let only = |given: bool, member: &str, verbs: &str| match given {
        true => Err(Refusal::invalid(format!("`{member}` belongs to {verbs}, not to `{verb}`"))),
        false => Ok(()),
    };
    only(delay_ms.is_some() && verb != "nack", "delay_ms", "`nack`")?;
    only(lease_ms.is_some() && verb != "extend", "lease_ms", "`extend`")?;
    only(reason.is_some() && !matches!(&*verb, "nack" | "term"), "reason", "`nack` and `term`")?;
    let done = leases.len();
    let settled = say(&group, &verb, &leases, [delay_ms, lease_ms], reason.as_deref()).await?;
    answer(settled.map(|()| wire::Settled { done }))
}

async fn say(
    group: &Group,
    verb: &str,
    leases: &[Lease],
    [delay_ms, lease_ms]: [Option<u64>; 2],
    reason: Option<&str>,
) -> Result<Result<(), GroupError>, Refusal> {
    Ok(match verb {
        "ack" => group.ack(leases).await,
        "nack" => group.nack(leases, delay_ms.map(Duration::from_millis), reason).await,
        "extend" => group.extend(leases, lease_ms.map(Duration::from_millis)).await,
        "term" => group.term(leases, reason).await,
        "release" => group.release(leases).await,
        other => {
            let message = format!(
                "a group has no `{other}`; it has `fetch`, `ack`, `nack`, `extend`, `term` and `release`"
            );
            return Err(Refusal::new(ErrorCode::NotFound, message));
        }
    })
}

fn group_of(app: &App, group: &str, uri: &Uri) -> Result<Group, Refusal> {
    Params::of(uri)?.finish()?;
    Ok(app.engine()?.group(name(group)?))
}

fn name(text: &str) -> Result<GroupName, Refusal> {
    text.parse().map_err(|error: GroupNameError| Refusal::invalid(error.to_string()))
}

fn answer(result: Result<impl serde::Serialize, GroupError>) -> Result<Response, Refusal> {
    result.map(|value| json(&value)).map_err(|error| error.body().into())
}

fn written(fetched: stream::Fetched) -> wire::Fetched {
    let stream::Fetched { deliveries, gaps, full } = fetched;
    wire::Fetched { deliveries: deliveries.iter().filter_map(delivery).collect(), gaps, full }
}

fn delivery(given: &GroupDelivery) -> Option<wire::GroupDelivery> {
    let GroupDelivery { lease, deliveries, lease_ms, record } = given;
    let Ok(event) = serde_json::from_slice::<Box<RawValue>>(&record.json) else {
        tracing::error!(%lease, "a committed event has no JSON");
        return None;
    };
    let Lease { seq, generation } = *lease;
    let (lease, deliveries, lease_ms) = (*lease, *deliveries, *lease_ms);
    Some(wire::GroupDelivery { lease, seq, generation, deliveries, lease_ms, event })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
