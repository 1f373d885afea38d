//! The state that an event carries about its subject.

use bytes::Bytes;
use undercurrent_types::{Data, Event, Key, TypeKind};

/// Returns the key whose state the event carries, with that state byte for byte; the inner `None` deletes it.
///
/// Only a `state_update` about a `state:` or `ci:` key carries one. JSON `null` and absent data delete. The rules make
/// the same key stale, so a projection never lags what invalidated it.
pub fn latest(event: &Event) -> Option<(Key, Option<Bytes>)> {
    if event.ty.kind() != TypeKind::StateUpdate {
        return None;
    }
    let key = event.subject_key().filter(|key| matches!(key.kind(), "state" | "ci"))?;
    let state = match event.data.as_ref() {
        None => None,
        Some(Data::Json(json)) if json.get() == "null" => None,
        Some(Data::Json(json)) => Some(Bytes::copy_from_slice(json.get().as_bytes())),
        Some(Data::Binary(bytes)) => Some(bytes.clone()),
    };
    Some((key, state))
}
