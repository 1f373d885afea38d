//! What an event carries.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::EventError;

/// What an event carries: JSON, kept byte for byte, or bytes, which travel as `data_base64`.
///
/// The JSON value `null` is data; an event without data has none. An event's JSON is one line, so line breaks
/// between the tokens of JSON data, which have no meaning, become spaces when it is read; JSON strings have none.
#[derive(Clone, Debug)]
pub enum Data {
    /// A JSON value, as it was sent.
    Json(Box<RawValue>),
    /// Bytes that are not JSON.
    Binary(Bytes),
}

impl Data {
    /// Reads one JSON value and keeps it as it is.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not one JSON value.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EventError> {
        match serde_json::from_slice(bytes) {
            Ok(json) => Ok(Self::Json(json).on_one_line()),
            Err(e) => Err(EventError::DataSyntax { reason: e.to_string() }),
        }
    }

    /// Returns the JSON, where the data is JSON.
    pub fn as_json(&self) -> Option<&RawValue> {
        match self {
            Self::Json(json) => Some(json),
            Self::Binary(_) => None,
        }
    }

    /// Returns the size in bytes that the limit on data counts: of the JSON text, or of the bytes before base64.
    pub fn size(&self) -> usize {
        match self {
            Self::Json(json) => json.get().len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Replaces the line breaks between the tokens of JSON by spaces.
    pub(super) fn on_one_line(self) -> Self {
        match self {
            Self::Json(json) => match one_line(&json) {
                Cow::Borrowed(_) => Self::Json(json),
                Cow::Owned(json) => Self::Json(json),
            },
            Self::Binary(_) => self,
        }
    }
}

/// Returns JSON without line breaks, itself where it has none.
pub(super) fn one_line(json: &RawValue) -> Cow<'_, RawValue> {
    let text = json.get();
    if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_none() {
        return Cow::Borrowed(json);
    }
    let line = RawValue::from_string(text.replace(['\r', '\n'], " "));
    Cow::Owned(line.expect("a string has no raw line break, so these are white space between tokens"))
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Json(a), Self::Json(b)) => a.get() == b.get(),
            (Self::Binary(a), Self::Binary(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Data {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_between_tokens_become_spaces() {
        let cases = [
            ("{\"a\":\r\n[1,\n2]}", "{\"a\":  [1, 2]}"),
            (r#""a\nb\r""#, r#""a\nb\r""#),
            ("\n{ \"a\" :\t1 }\n", "{ \"a\" :\t1 }"),
            ("null", "null"),
        ];
        for (given, expected) in cases {
            let data = Data::from_json(given.as_bytes()).unwrap();
            assert_eq!(data.as_json().unwrap().get(), expected, "from `{given}`");
        }
    }

    #[test]
    fn what_is_not_one_json_value_is_no_json_data() {
        for bytes in [&b""[..], b"{", b"1 2", b"\"a\nb\"", b"\"\xff\"", b"nul"] {
            let error = Data::from_json(bytes).unwrap_err();
            assert!(matches!(error, EventError::DataSyntax { .. }), "{bytes:?} gave `{error}`");
        }
    }
}
