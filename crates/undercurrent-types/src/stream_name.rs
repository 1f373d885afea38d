//! The name of a stream.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::cursor::clip;

/// The name of a stream: words of `A–Z a–z 0–9 . _ - : @ + =` joined by `/`, at most 256 bytes, such as `sessions/42`.
///
/// The words `.` and `..` and names that begin with `$` (views of the namespace's own log) are refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct StreamName(Arc<str>);

/// A text that is no stream name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a stream name: {reason}")]
pub struct StreamNameError {
    name: String,
    reason: &'static str,
}

impl StreamName {
    /// The longest name, in bytes.
    pub const LONGEST: usize = 256;

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(text: &str) -> Result<Self, StreamNameError> {
        let refuse = |reason| Err(StreamNameError { name: clip(text), reason });
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.len() > Self::LONGEST {
            return refuse("it is longer than 256 bytes");
        }
        if text.starts_with('$') {
            return refuse("names that begin with `$` are views, not streams");
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-:@+=".contains(&b);
        for word in text.split('/') {
            match word {
                "" => return refuse("a word between two `/` is empty"),
                "." | ".." => return refuse("`.` and `..` are no words of a name"),
                _ if !word.bytes().all(allowed) => {
                    return refuse("allowed are letters, digits, `. _ - : @ + =` and `/` between words");
                }
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<&str> for StreamName {
    type Error = StreamNameError;

    fn try_from(text: &str) -> Result<Self, StreamNameError> {
        text.parse()
    }
}

impl From<&StreamName> for StreamName {
    fn from(name: &StreamName) -> Self {
        name.clone()
    }
}

/// What is a name already needs no check; so a function can take a name or a text.
impl From<std::convert::Infallible> for StreamNameError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl<'de> Deserialize<'de> for StreamName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "sessions/42", "local/my-project", "ci_cd/github/a.b", "A:b@c+d=e"] {
            assert_eq!(good.parse::<StreamName>().unwrap().as_str(), good);
        }
        let long = "a".repeat(257);
        for bad in ["", "/", "a/", "/a", "a//b", "..", "a/../b", "$invalidations", "a b", "ä", "a\n", &long]
        {
            assert!(bad.parse::<StreamName>().is_err(), "`{bad}` was accepted");
        }
    }
}
