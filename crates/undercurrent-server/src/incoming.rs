//! Events as clients send them: one or many in JSON, or one in headers and a body.
//!
//! The three modes of the CloudEvents HTTP protocol binding, version 1.0.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use percent_encoding::percent_decode;
use serde_json::value::RawValue;
use undercurrent_types::{Data, Event, EventError, EventSource, EventType, StreamName};

use crate::reply::Refusal;

/// What a client sent.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A single event.
    One(Box<Event>),
    /// A batch, which is published all or none.
    Many(Vec<Event>),
}

/// Reads what a client sent, by its content type.
pub(crate) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Incoming, Refusal> {
    let content_type = text(headers, CONTENT_TYPE.as_str())?;
    let is_binary = headers.contains_key("ce-specversion") || headers.contains_key("ce-id");
    match media_type(content_type.unwrap_or_default()).as_str() {
        BATCH => Ok(Incoming::Many(Event::batch_from_json(body)?)),
        "application/cloudevents+json" => one(Event::from_json(body)?),
        _ if is_binary => one(binary(headers, content_type, body)?),
        "application/json" => one(Event::from_json(body)?),
        other => Err(Refusal::invalid(format!(
            "the content type is `{other}`; send an event as `application/cloudevents+json`, several as `application/cloudevents-batch+json`, or its attributes as `ce-` headers and its data as the body"
        ))),
    }
}

/// Reads a batch of events that say which stream each is for.
pub(crate) fn in_streams(headers: &HeaderMap, body: &Bytes) -> Result<Vec<(StreamName, Event)>, Refusal> {
    let content_type = media_type(text(headers, CONTENT_TYPE.as_str())?.unwrap_or_default());
    if content_type != BATCH {
        return Err(Refusal::invalid(format!(
            "the content type is `{content_type}`; events of several streams are sent as `{BATCH}`, each with the attribute `stream`"
        )));
    }
    let events: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => EventError::NotABatch,
        false => EventError::Syntax { reason: error.to_string() },
    })?;
    let events = events.into_iter().enumerate().map(|(index, json)| {
        Event::from_json_in_stream(json.get().as_bytes())
            .map_err(|error| EventError::InBatch { index, error: Box::new(error) }.into())
    });
    events.collect()
}

/// The media type of several events.
const BATCH: &str = "application/cloudevents-batch+json";

fn one(event: Event) -> Result<Incoming, Refusal> {
    Ok(Incoming::One(Box::new(event)))
}

/// Returns a media type without its parameters, in small letters.
fn media_type(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(content_type: &str) -> bool {
    let media_type = media_type(content_type);
    media_type == "application/json" || media_type == "text/json" || media_type.ends_with("+json")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::invalid(format!("the header `{name}` is there twice; send it once")));
    }
    value.to_str().map(Some).map_err(|_| {
        Refusal::invalid(format!(
            "the header `{name}` is not printable ASCII; other characters are percent-encoded"
        ))
    })
}

/// Reads an event whose attributes are headers and whose data is the body.
fn binary(headers: &HeaderMap, content_type: Option<&str>, body: &Bytes) -> Result<Event, Refusal> {
    let given = required(headers, "specversion")?;
    if given != "1.0" {
        return Err(EventError::SpecVersion { given }.into());
    }
    let source: EventSource = required(headers, "source")?.parse()?;
    let ty: EventType = required(headers, "type")?.parse()?;
    let mut event = Event::new(ty, source).with_id(required(headers, "id")?);
    event.datacontenttype = content_type.map(str::to_owned);
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        match attribute {
            "specversion" | "id" | "source" | "type" => {}
            "subject" => event.subject = attribute_text(headers, attribute)?,
            "time" => event.time = attribute_text(headers, attribute)?,
            "dataschema" => event.dataschema = attribute_text(headers, attribute)?,
            _ => event = event.with_extension(attribute, attribute_text(headers, attribute)?)?,
        }
    }
    if !body.is_empty() {
        let data = match content_type {
            Some(content_type) if !is_json(content_type) => Data::Binary(body.clone()),
            _ => Data::from_json(body)?,
        };
        event = event.with_data(data);
    }
    event.validate()?;
    Ok(event)
}

fn required(headers: &HeaderMap, attribute: &'static str) -> Result<String, Refusal> {
    attribute_text(headers, attribute)?.ok_or_else(|| EventError::Missing { attribute }.into())
}

/// Returns an attribute from its header: unquoted where it is a quoted string, then percent-decoded once.
fn attribute_text(headers: &HeaderMap, attribute: &str) -> Result<Option<String>, Refusal> {
    let name = format!("ce-{attribute}");
    let Some(raw) = text(headers, &name)? else { return Ok(None) };
    let unquoted = unquote(raw.trim());
    let decoded = percent_decode(unquoted.as_bytes()).decode_utf8();
    let decoded =
        decoded.map_err(|_| Refusal::invalid(format!("the header `{name}` is not percent-encoded UTF-8")))?;
    Ok(Some(decoded.into_owned()))
}

fn unquote(raw: &str) -> String {
    let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return raw.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        plain.extend(if c == '\\' { rest.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    const BINARY: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "agent/7"), ("ce-type", "message")];

    fn binary_event(more: &[(&str, &str)], body: &'static [u8]) -> Result<Event, Refusal> {
        let all: Vec<_> = BINARY.iter().chain(more).copied().collect();
        match read(&headers(&all), &Bytes::from_static(body))? {
            Incoming::One(event) => Ok(*event),
            Incoming::Many(events) => panic!("{} events", events.len()),
        }
    }

    #[test]
    fn an_event_in_headers_is_read() {
        let more = [
            ("content-type", "application/json; charset=utf-8"),
            ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("ce-time", "2026-10-05T14:30:00Z"),
            ("ce-agentid", "\"a \\\"quoted\\\" b\""),
        ];
        let event = binary_event(&more, b"{\"a\": 1}").unwrap();
        assert_eq!(event.subject.as_deref(), Some("Euro € 😀"));
        assert_eq!(event.time.as_deref(), Some("2026-10-05T14:30:00Z"));
        assert_eq!(event.agentid().unwrap(), "a \"quoted\" b");
        assert_eq!(event.datacontenttype.as_deref(), Some("application/json; charset=utf-8"));
        assert_eq!(event.data, Some(Data::from_json(b"{\"a\": 1}").unwrap()));
    }

    #[test]
    fn data_that_is_not_json_is_kept_as_bytes() {
        let event = binary_event(&[("content-type", "text/plain")], b"\xff{").unwrap();
        assert_eq!(event.data, Some(Data::Binary(Bytes::from_static(b"\xff{"))));
        assert_eq!(binary_event(&[], b"").unwrap().data, None);
    }

    #[test]
    fn what_is_no_event_in_headers_is_refused() {
        type Headers = &'static [(&'static str, &'static str)];
        let refused: [(Headers, &[u8]); 6] = [
            (&[("ce-id", "2")], b""),
            (&[("ce-sequence", "1")], b""),
            (&[("ce-data", "1")], b""),
            (&[("ce-a-b", "1")], b""),
            (&[("ce-subject", "%ff")], b""),
            (&[("content-type", "application/json")], b"{"),
        ];
        for (more, body) in refused {
            assert!(binary_event(more, body).is_err(), "{more:?}");
        }
    }

    #[test]
    fn the_content_type_says_the_mode() {
        const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"agent/7","type":"message"}"#;
        for content_type in [
            "application/cloudevents+json",
            "application/json",
            "Application/CloudEvents+JSON; charset=utf-8",
        ] {
            let got = read(&headers(&[("content-type", content_type)]), &EVENT.into()).unwrap();
            assert!(matches!(got, Incoming::One(_)));
        }
        let batch = headers(&[("content-type", "application/cloudevents-batch+json")]);
        let got = read(&batch, &format!("[{EVENT}]").into()).unwrap();
        assert!(matches!(got, Incoming::Many(events) if events.len() == 1));
        for content_type in ["text/plain", "application/x-www-form-urlencoded"] {
            assert!(read(&headers(&[("content-type", content_type)]), &EVENT.into()).is_err());
        }
    }
}
