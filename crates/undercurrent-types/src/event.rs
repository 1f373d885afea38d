//! What happened, where, about what: the CloudEvents 1.0 envelope.
//!
//! Owns the event, its attributes and its JSON. Promises that what a caller sent is kept: extension attributes and
//! JSON data byte for byte, `time` as it was written. Never assigns an order: `sequence` and `position` come from
//! the commit.

mod data;
mod error;
mod extensions;
mod in_stream;
mod json;
mod limits;
mod source;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Cursor, Key, Token};

pub use data::Data;
pub use error::EventError;
pub use json::close_committed;
pub use source::{EventSource, SourceKind};
pub use types::{EventType, TypeKind};

/// An immutable CloudEvents 1.0 envelope: what happened, where, about what.
///
/// An event read by [`Event::from_json`] is valid. One built in Rust is checked by [`Event::validate`], which
/// publishing calls. Two events are equal when their JSON is, byte for byte.
#[derive(Clone, Debug)]
pub struct Event {
    /// The idempotency key within the source, of 1 to 256 bytes; never used for order.
    pub id: String,
    /// The component instance that the event comes from.
    pub source: EventSource,
    /// What kind of thing happened; `type` in JSON.
    pub ty: EventType,
    /// The context key that the event is about, or any other text.
    pub subject: Option<String>,
    /// When it happened, as the caller wrote it: an RFC 3339 timestamp, informational and never used for order.
    pub time: Option<String>,
    /// The media type of the data; data without one is JSON.
    pub datacontenttype: Option<String>,
    /// The URI of the schema that the data keeps to.
    pub dataschema: Option<String>,
    /// What the event carries.
    pub data: Option<Data>,
    /// All extension attributes, as JSON, byte for byte: strings, booleans and 32-bit integers.
    pub extensions: BTreeMap<String, Box<RawValue>>,
    sequence: Option<Cursor>,
    position: Option<Token>,
}

impl Event {
    /// Returns an event with a UUIDv7 as its id, without time, subject and data.
    pub fn new(ty: EventType, source: EventSource) -> Self {
        Self::with_parts(uuid::Uuid::now_v7().to_string(), ty, source)
    }

    fn with_parts(id: String, ty: EventType, source: EventSource) -> Self {
        Self {
            id,
            source,
            ty,
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            data: None,
            extensions: BTreeMap::new(),
            sequence: None,
            position: None,
        }
    }

    /// Sets the id, which a source derives from its own position so that a repeated event is known.
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: id.into(), ..self }
    }

    /// Sets the subject: the context key that the event is about, where there is one.
    #[must_use]
    pub fn with_subject(self, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    /// Sets when it happened, as an RFC 3339 timestamp.
    #[must_use]
    pub fn with_time(self, time: impl Into<String>) -> Self {
        Self { time: Some(time.into()), ..self }
    }

    /// Sets the data; line breaks between the tokens of JSON data become spaces.
    #[must_use]
    pub fn with_data(self, data: Data) -> Self {
        Self { data: Some(data.on_one_line()), ..self }
    }

    /// Sets the data to the JSON of a value.
    ///
    /// # Errors
    ///
    /// Fails when the value has no JSON, such as a map whose keys are not text.
    pub fn with_json(self, value: &(impl Serialize + ?Sized)) -> Result<Self, EventError> {
        let json = serde_json::value::to_raw_value(value);
        let json =
            json.map_err(|e| EventError::Unserializable { attribute: "data".into(), reason: e.to_string() })?;
        Ok(self.with_data(Data::Json(json)))
    }

    /// Returns the place in the stream that the commit assigned; also the cursor from which to go on after the event.
    pub fn sequence(&self) -> Option<Cursor> {
        self.sequence
    }

    /// Returns the place in the namespace's order that the commit assigned.
    pub fn position(&self) -> Option<Token> {
        self.position
    }

    /// Forgets `sequence` and `position`, so that an event that was read can be published once more.
    #[must_use]
    pub fn without_place(self) -> Self {
        Self { sequence: None, position: None, ..self }
    }

    /// Returns the subject as a key in its canonical form, where it is one.
    pub fn subject_key(&self) -> Option<Key> {
        Key::parse(self.subject.as_deref()?).ok()
    }
}
