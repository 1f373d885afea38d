//! Events with the stream that they are in, as several streams are read together and exported.

use super::json::{Members, Place};
use super::{Event, EventError};
use crate::StreamName;

/// How the JSON of an event with its stream begins. A stream's name needs no escapes.
const OPENING: &[u8] = b"{\"stream\":\"";

impl Event {
    /// Reads an event with the attribute `stream`, which names the stream and is none of the event's.
    ///
    /// `sequence` and `position` are left out, since the next commit assigns others. If the event has an attribute
    /// `stream` of its own, the first one is meant.
    ///
    /// # Errors
    ///
    /// Fails as [`Event::from_json`] does, and when the stream is not named.
    pub fn from_json_in_stream(bytes: &[u8]) -> Result<(StreamName, Self), EventError> {
        let (stream, event) = match split(bytes) {
            Some((stream, rest)) => (Some(stream.to_owned()), Members::parse(&rest)?),
            None => {
                let mut members = Members::parse(bytes)?;
                (members.text("stream")?, members)
            }
        };
        let event = event.into_event(Place::Read)?.without_place();
        event.check_limits()?;
        let stream = stream.ok_or(EventError::NoStream)?.parse().map_err(EventError::Stream)?;
        Ok((stream, event))
    }

    /// Appends what [`Event::from_json_in_stream`] reads.
    pub fn write_json_in_stream(&self, stream: &StreamName, out: &mut Vec<u8>) {
        out.extend_from_slice(OPENING);
        out.extend_from_slice(stream.as_str().as_bytes());
        out.extend_from_slice(b"\",");
        let brace = out.len();
        self.write_json(out);
        out.remove(brace);
    }
}

/// Returns the stream that stands first, and the event that follows it.
fn split(bytes: &[u8]) -> Option<(&str, Vec<u8>)> {
    let rest = bytes.trim_ascii_start().strip_prefix(OPENING)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let event = rest[end + 1..].strip_prefix(b",")?;
    Some((std::str::from_utf8(&rest[..end]).ok()?, [b"{", event].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event::new("message".parse().unwrap(), "agent/7".parse().unwrap())
    }

    #[test]
    fn an_event_survives_its_json_with_its_stream() {
        let stream: StreamName = "sessions/42".parse().unwrap();
        let own = event().with_extension("stream", "its own").unwrap();
        for event in [event(), own, event().with_subject("a \"b\"")] {
            let mut json = Vec::new();
            event.write_json_in_stream(&stream, &mut json);
            assert_eq!(Event::from_json_in_stream(&json).unwrap(), (stream.clone(), event));
        }
    }

    #[test]
    fn the_stream_may_stand_anywhere_and_a_place_is_left_out() {
        let json = br#" {"specversion":"1.0","id":"1","stream":"s","source":"agent/7","type":"message",
            "sequence":"0000000000000001.0000000000000017","position":"9f1c22e07d5b3a48-131"}"#;
        let (stream, read) = Event::from_json_in_stream(json).unwrap();
        assert_eq!((stream.as_str(), read), ("s", event().with_id("1")));
    }

    #[test]
    fn what_names_no_stream_is_refused() {
        let check = |json: &str, reason: &str| {
            let error = Event::from_json_in_stream(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        };
        let with = |stream: &str| {
            format!(r#"{{{stream}"specversion":"1.0","id":"1","source":"agent/7","type":"message"}}"#)
        };
        check(&with(""), "`stream` is missing");
        check(&with(r#""stream":"a//b","#), "empty");
        check(&with(r#""stream":7,"#), "`stream`");
        check(r#"{"stream":"s","id":"1"}"#, "`specversion` is missing");
        check(r#"{"stream":"s""#, "not JSON");
    }
}
