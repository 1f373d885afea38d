//! The event that says why another was given up.

use serde::Serialize;
use serde_json::value::RawValue;
use undercurrent_types::{Cursor, Durability, Event, GroupName, StreamName};

use super::settings::Settings;
use super::state::Open;
use crate::store::{NewEvent, Record};

/// The data of a dead letter.
#[derive(Serialize)]
struct DeadLetter<'a> {
    group: &'a GroupName,
    stream: &'a StreamName,
    cursor: String,
    deliveries: u32,
    reason: &'a str,
    /// The event as it was committed; left out where the stream had let it go already.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Box<RawValue>>,
}

/// Makes the dead letter of an event, as durable as the store gives.
pub(super) fn of(
    group: &GroupName,
    settings: &Settings,
    cursor: Cursor,
    generation: u64,
    open: &Open,
    original: Option<&Record>,
    durability: Durability,
) -> NewEvent {
    let text = original.and_then(|record| std::str::from_utf8(&record.json).ok());
    let letter = DeadLetter {
        group,
        stream: &settings.stream,
        cursor: cursor.to_string(),
        deliveries: open.deliveries,
        reason: open.reason.as_deref().unwrap_or("no reason was given"),
        event: text.and_then(|text| RawValue::from_string(text.to_owned()).ok()),
    };
    let event =
        Event::new("system.dead_letter".parse().expect("a type"), "system".parse().expect("a source"))
            .with_id(format!("{group}/{cursor}/{generation}"))
            .with_time(jiff::Timestamp::now().to_string())
            .with_json(&letter)
            .expect("it has nothing that JSON has not");
    let event = match original {
        Some(record) => event.with_causationid(record.id_text()),
        None => event,
    };
    let event = match original.and_then(Record::subject_text) {
        Some(subject) => event.with_subject(subject),
        None => event,
    };
    NewEvent { stream: settings.dead_letters.clone(), event, durability, expected_seq: None, latest: None }
}
