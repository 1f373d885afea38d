//! The JSON of events: structured mode and batch, one line each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::cursor::clip;
use crate::{Cursor, Token};

use super::data::one_line;
use super::{Data, Event, EventError, limits};

impl Event {
    /// Reads the event that a client sent: one JSON object in structured mode.
    ///
    /// Members that are null are absent, except `data`. Line breaks between the tokens of `data` become spaces, so
    /// that the event is one line; all else of it is kept byte for byte, as are the extension attributes.
    ///
    /// # Errors
    ///
    /// Fails when the object breaks a rule of CloudEvents, passes a limit, has a member twice, or has `sequence` or
    /// `position`, which the commit assigns.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EventError> {
        let event = Members::parse(bytes)?.into_event(Place::Refused)?;
        event.check_limits()?;
        Ok(event)
    }

    /// Reads an event as the store and the daemon give it, with `sequence` and `position` where it has them.
    ///
    /// Limits on size are not checked: what was accepted once stays readable.
    ///
    /// # Errors
    ///
    /// Fails when the object breaks a rule of CloudEvents or has a member twice, or a place is malformed.
    pub fn from_committed_json(bytes: &[u8]) -> Result<Self, EventError> {
        Members::parse(bytes)?.into_event(Place::Read)
    }

    /// Reads the events of a batch that a client sent, all or none; an empty batch has none.
    ///
    /// # Errors
    ///
    /// Fails when the JSON is no array, or with [`EventError::InBatch`] when an event is refused.
    pub fn batch_from_json(bytes: &[u8]) -> Result<Vec<Self>, EventError> {
        let members: Vec<&RawValue> =
            serde_json::from_slice(bytes).map_err(|e| malformed(&e, EventError::NotABatch))?;
        let events = members.into_iter().enumerate().map(|(index, json)| {
            Self::from_json(json.get().as_bytes())
                .map_err(|e| EventError::InBatch { index, error: Box::new(e) })
        });
        events.collect()
    }

    /// Returns the event as one line of JSON in structured mode, with its place where it has one.
    ///
    /// The order of members is fixed: `specversion id source type subject time datacontenttype dataschema`, extensions
    /// by name, `data` or `data_base64`, `sequence`, `position`.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size_hint());
        self.write_json(&mut out);
        out
    }

    /// Appends what [`Event::to_json`] returns.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.push_open(out);
        if let Some(sequence) = self.sequence {
            push_sequence(out, sequence);
        }
        if let Some(position) = self.position {
            push_position(out, position);
        }
        out.push(b'}');
    }

    /// Appends the event as the caller sent it, without the closing brace and without a place.
    ///
    /// [`close_committed`] completes it.
    pub fn write_json_open(&self, out: &mut Vec<u8>) {
        out.reserve(self.size_hint());
        self.push_open(out);
    }

    /// Appends the event with the place that a commit assigned.
    pub fn write_committed_json(&self, sequence: Cursor, position: Token, out: &mut Vec<u8>) {
        self.write_json_open(out);
        close_committed(out, sequence, position);
    }

    /// Returns the hash of what the caller sent, by which a repeated id with another body is told.
    ///
    /// It is the first 16 bytes of the BLAKE3 hash of the event's JSON without its place, so it is the same before
    /// and after the commit. The order of the members that the caller sent does not count; `time` does.
    pub fn content_hash(&self) -> [u8; 16] {
        let mut json = Vec::new();
        self.write_json_open(&mut json);
        json.push(b'}');
        let mut hash = [0; 16];
        hash.copy_from_slice(&blake3::hash(&json).as_bytes()[..16]);
        hash
    }

    fn size_hint(&self) -> usize {
        let data = self.data.as_ref().map_or(0, Data::size);
        let extensions: usize =
            self.extensions.iter().map(|(name, json)| name.len() + json.get().len() + 4).sum();
        320 + self.subject.as_ref().map_or(0, String::len) + extensions + data + data / 3
    }

    /// Appends all members except the place, in their fixed order, without the closing brace.
    fn push_open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"specversion":"1.0","id":"#);
        push_string(out, &self.id);
        let texts = [
            (r#","source":"#, Some(self.source.as_str())),
            (r#","type":"#, Some(self.ty.as_str())),
            (r#","subject":"#, self.subject.as_deref()),
            (r#","time":"#, self.time.as_deref()),
            (r#","datacontenttype":"#, self.datacontenttype.as_deref()),
            (r#","dataschema":"#, self.dataschema.as_deref()),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                out.extend_from_slice(name.as_bytes());
                push_string(out, text);
            }
        }
        for (name, json) in &self.extensions {
            out.push(b',');
            push_string(out, name);
            out.push(b':');
            out.extend_from_slice(json.get().as_bytes());
        }
        match &self.data {
            Some(Data::Json(json)) => {
                out.extend_from_slice(br#","data":"#);
                out.extend_from_slice(one_line(json).get().as_bytes());
            }
            Some(Data::Binary(bytes)) => {
                out.extend_from_slice(br#","data_base64":""#);
                out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
                out.push(b'"');
            }
            None => {}
        }
    }
}

/// Appends a JSON string. Looked through at once, since hardly any has something to escape.
fn push_string(out: &mut Vec<u8>, text: &str) {
    let is_plain = |b: u8| b >= b' ' && b != b'"' && b != b'\\';
    if text.bytes().fold(true, |plain, b| plain & is_plain(b)) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("text has a JSON form and writing to a vector does not fail");
    }
}

/// Completes what [`Event::write_json_open`] began with the place that the commit assigned.
pub fn close_committed(out: &mut Vec<u8>, sequence: Cursor, position: Token) {
    push_sequence(out, sequence);
    push_position(out, position);
    out.push(b'}');
}

fn push_sequence(out: &mut Vec<u8>, sequence: Cursor) {
    out.extend_from_slice(br#","sequence":""#);
    sequence.push_text(out);
    out.push(b'"');
}

fn push_position(out: &mut Vec<u8>, position: Token) {
    out.extend_from_slice(br#","position":""#);
    position.push_text(out);
    out.push(b'"');
}

/// Writes what [`Event::to_json`] returns, to `serde_json` only.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = String::from_utf8(self.to_json()).map_err(S::Error::custom)?;
        RawValue::from_string(json).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// Reads as [`Event::from_committed_json`] does, from `serde_json` only; what a client sends is read by
/// [`Event::from_json`].
impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Members::deserialize(deserializer)?.into_event(Place::Read).map_err(D::Error::custom)
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.to_json() == other.to_json()
    }
}

impl Eq for Event {}

/// Whether `sequence` and `position` may be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Refused,
    Read,
}

/// The members of a JSON object as they stand, and the first that is there twice.
pub(super) struct Members {
    by_name: BTreeMap<String, Box<RawValue>>,
    duplicate: Option<String>,
}

impl Members {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, EventError> {
        serde_json::from_slice(bytes).map_err(|e| malformed(&e, EventError::NotAnObject))
    }

    pub(super) fn into_event(mut self, place: Place) -> Result<Event, EventError> {
        if let Some(name) = &self.duplicate {
            return Err(EventError::Duplicate { attribute: clip(name) });
        }
        let specversion = self.required("specversion")?;
        if specversion != "1.0" {
            return Err(EventError::SpecVersion { given: clip(&specversion) });
        }
        let id = self.required("id")?;
        let source = self.required("source")?.parse()?;
        let ty = self.required("type")?.parse()?;
        let mut event = Event::with_parts(id, ty, source);
        event.subject = self.text("subject")?;
        event.time = self.text("time")?;
        event.datacontenttype = self.text("datacontenttype")?;
        event.dataschema = self.text("dataschema")?;
        event.data = self.data()?;
        if place == Place::Read {
            event.sequence =
                self.text("sequence")?.map(|t| t.parse().map_err(EventError::Sequence)).transpose()?;
            event.position =
                self.text("position")?.map(|t| t.parse().map_err(EventError::Position)).transpose()?;
        }
        for (name, json) in self.by_name {
            match (json.get(), name.as_str()) {
                ("null", "sequence" | "position") => {}
                ("null", _) => limits::check_extension_name(&name)?,
                _ => {
                    event.extensions.insert(name, json);
                }
            }
        }
        event.check_rules()?;
        Ok(event)
    }

    fn required(&mut self, attribute: &'static str) -> Result<String, EventError> {
        self.text(attribute)?.ok_or(EventError::Missing { attribute })
    }

    /// Takes a string out; `None` when it is absent or null.
    pub(super) fn text(&mut self, attribute: &'static str) -> Result<Option<String>, EventError> {
        let Some(json) = self.by_name.remove(attribute).filter(|json| json.get() != "null") else {
            return Ok(None);
        };
        if !json.get().starts_with('"') {
            return Err(EventError::NotAString { attribute });
        }
        limits::decode(attribute, &json).map(Some)
    }

    fn data(&mut self) -> Result<Option<Data>, EventError> {
        match (self.by_name.remove("data"), self.text("data_base64")?) {
            (None, None) => Ok(None),
            (Some(json), None) => Ok(Some(Data::Json(json).on_one_line())),
            (None, Some(text)) => match STANDARD.decode(text) {
                Ok(bytes) => Ok(Some(Data::Binary(bytes.into()))),
                Err(e) => Err(EventError::Base64 { reason: e.to_string() }),
            },
            (Some(_), Some(_)) => Err(EventError::TwoData),
        }
    }
}

/// Tells JSON of the wrong shape from what is no JSON.
fn malformed(error: &serde_json::Error, wrong_shape: EventError) -> EventError {
    if error.is_data() { wrong_shape } else { EventError::Syntax { reason: error.to_string() } }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent as a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members { by_name: BTreeMap::new(), duplicate: None };
        while let Some((name, json)) = map.next_entry::<String, Box<RawValue>>()? {
            match members.by_name.entry(name) {
                Entry::Vacant(free) => {
                    free.insert(json);
                }
                Entry::Occupied(taken) => {
                    members.duplicate.get_or_insert_with(|| taken.key().clone());
                }
            }
        }
        Ok(members)
    }
}
