//! An event as it lies in its stream.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use undercurrent_types::{Cursor, StreamName, Token, close_committed};

use super::reply::Malformed;
use crate::store::Record;

/// What stands beside an event, before the time for people.
pub(super) struct Stamp {
    pub(super) token: Token,
    pub(super) nonce: String,
}

impl std::str::FromStr for Stamp {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parse = || {
            let mut words = text.split(' ');
            let token = words.next()?.parse().ok()?;
            let nonce = words.next()?.to_owned();
            Some(Self { token, nonce })
        };
        parse().ok_or_else(|| Malformed(format!("`{text}` beside an event")))
    }
}

/// What filters look at.
#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    ty: Cow<'a, str>,
    #[serde(borrow)]
    subject: Option<Cow<'a, str>>,
}

/// Makes the record of an event from its JSON as it is stored, which has no place in it.
pub(super) fn record(
    stream: StreamName,
    cursor: Cursor,
    token: Token,
    mut json: Vec<u8>,
) -> Result<Record, Malformed> {
    json.pop();
    close_committed(&mut json, cursor, token);
    let json = Bytes::from(json);
    let seen: Seen<'_> = serde_json::from_slice(&json).map_err(|e| Malformed(format!("an event: {e}")))?;
    let bytes = |text: &Cow<'_, str>| match text {
        Cow::Borrowed(text) => json.slice_ref(text.as_bytes()),
        Cow::Owned(text) => Bytes::copy_from_slice(text.as_bytes()),
    };
    Ok(Record {
        stream,
        cursor,
        token,
        event_type: bytes(&seen.ty),
        source: bytes(&seen.source),
        subject: seen.subject.as_ref().map(bytes),
        id: bytes(&seen.id),
        json: json.clone(),
    })
}
