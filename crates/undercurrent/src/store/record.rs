//! A committed event as readers get it.

use bytes::Bytes;
use undercurrent_types::{Cursor, Event, EventError, StreamName, Token};

/// A committed event: its JSON as it goes out, and what filters look at, without parsing it.
///
/// Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Record {
    /// The stream that it is in.
    pub stream: StreamName,
    /// Its place in its stream.
    pub cursor: Cursor,
    /// Its place in the one order.
    pub token: Token,
    /// The event in CloudEvents JSON, one line, with `sequence` and `position`.
    pub json: Bytes,
    /// The `type` attribute.
    pub event_type: Bytes,
    /// The `source` attribute.
    pub source: Bytes,
    /// The `subject` attribute.
    pub subject: Option<Bytes>,
    /// The `id` attribute.
    pub id: Bytes,
}

impl Record {
    /// Reads the whole event.
    ///
    /// # Errors
    ///
    /// Fails when the stored JSON is no event, which is a defect.
    pub fn event(&self) -> Result<Event, EventError> {
        Event::from_committed_json(&self.json)
    }

    /// Returns the type as text.
    pub fn type_text(&self) -> &str {
        text(&self.event_type)
    }

    /// Returns the source as text.
    pub fn source_text(&self) -> &str {
        text(&self.source)
    }

    /// Returns the subject as text.
    pub fn subject_text(&self) -> Option<&str> {
        self.subject.as_deref().map(text)
    }

    /// Returns the id as text.
    pub fn id_text(&self) -> &str {
        text(&self.id)
    }
}

/// The attributes were text when they were written, and their checksum held.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("\u{fffd}")
}
