//! How the sources are doing, told as events.

use std::sync::{Arc, Weak};

use serde_json::json;
use undercurrent_types::wire::SourceStatus;
use undercurrent_types::{Event, EventSource, EventType};

use super::publish::Outgoing;
use super::{EventStream, Parts, Source};

/// Publishes each change of a source's health as `system.health`, to the stream named like the source, until the handle
/// or the store is gone. Of several changes at once the latest is told.
///
/// An event that the log refuses is not tried again: `status` says the same, and the next change is told anew.
pub(super) async fn tell(handle: Weak<Parts>, source: Arc<dyn Source>) {
    let mut known = Vec::new();
    loop {
        let now = source.status_after(&known).await;
        let Some(parts) = handle.upgrade() else { return };
        let changed = now.iter().filter(|status| !known.iter().any(|before| is_same(before, status)));
        let events = changed.filter_map(health_event).collect();
        if let Err(error) = EventStream(parts).publish_with(events, Vec::new(), "").await {
            tracing::warn!(%error, "the health of a source was not told");
        }
        known = now;
    }
}

/// Says whether two states are the same but for the time they have lasted.
pub(crate) fn is_same(one: &SourceStatus, other: &SourceStatus) -> bool {
    (&one.name, &one.health, &one.reason) == (&other.name, &other.health, &other.reason)
}

fn health_event(status: &SourceStatus) -> Option<Outgoing> {
    let source: EventSource = status.name.parse().ok()?;
    let ty: EventType = "system.health".parse().expect("it is a type");
    let SourceStatus { target, health, reason, .. } = status;
    let event = Event::new(ty, source).with_time(jiff::Timestamp::now().to_string());
    let event = event.with_json(&json!({ "target": target, "health": health, "reason": reason })).ok()?;
    let stream = status.name.parse().ok()?;
    Some(Outgoing { stream, event, durability: None, expected_seq: None })
}
