//! `/metrics`: the state of the daemon for Prometheus.
//!
//! Everything is read when it is asked for, from where it is kept anyway: nothing is counted on the way of a read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use undercurrent_types::wire::{GroupStatus, Status};

use crate::app::App;
use crate::query::Params;
use crate::reply::Refusal;

/// The states that a source may be in; of each source one is 1 and the others are 0.
const STATES: [&str; 4] = ["starting", "live", "degraded", "down"];

/// Takes a figure out of the state of a group.
type FigureOfGroup = fn(&GroupStatus) -> u64;

/// The labels of the health of a source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: String,
    state: &'static str,
}

/// The label of what is said of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GroupLabels {
    group: String,
}

pub(crate) async fn metrics(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    Params::of(request.uri())?.finish()?;
    let status = app.engine()?.status().await.map_err(|error| error.body())?;
    let groups = app.engine()?.groups().await.map_err(|error| error.body())?;
    let page = write(&status, &groups, app.open_subscriptions());
    let page = page.map_err(|error| Refusal::internal(format!("the metrics can not be written: {error}")))?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, media_type)], page).into_response())
}

fn write(status: &Status, groups: &[GroupStatus], subscriptions: u64) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("undercurrent");
    let mut gauge = |name: &str, help: &str, value: u64| {
        let gauge = Gauge::<u64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    gauge("position", "The last position of the one order", status.token.position.0);
    gauge("log_bytes", "The bytes of the log in use", status.log_bytes);
    gauge("log_writable", "1 while events are accepted", u64::from(status.store == "writable"));
    gauge("streams", "How many streams there are", status.streams);
    gauge("entries", "How many values are in memory", status.entries);
    gauge("entry_bytes", "The bytes that the values in memory take", status.entry_bytes);
    gauge("subscriptions", "How many subscriptions are open", subscriptions);
    let health = Family::<SourceLabels, Gauge<u64, AtomicU64>>::default();
    for source in &status.sources {
        for state in STATES {
            let labels = SourceLabels { source: source.name.clone(), state };
            health.get_or_create(&labels).set(u64::from(source.health == state));
        }
    }
    registry.register("source_health", "1 for the state that the source is in", health);
    let of_groups: [(&str, &str, FigureOfGroup); 4] = [
        ("group_lag", "How many events of its stream a group has not done", |group| group.lag),
        ("group_out", "How many of them members have", |group| group.out),
        ("group_dead", "How many events of a group became dead letters", |group| group.dead),
        ("group_lost", "How many events were gone before a group had done them", |group| group.lost),
    ];
    for (name, help, value) in of_groups {
        let family = Family::<GroupLabels, Gauge<u64, AtomicU64>>::default();
        for group in groups {
            family.get_or_create(&GroupLabels { group: group.group.to_string() }).set(value(group));
        }
        registry.register(name, help, family);
    }
    let mut page = String::new();
    text::encode(&mut page, &registry)?;
    Ok(page)
}
