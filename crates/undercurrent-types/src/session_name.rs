//! The name of an agent's session.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::cursor::clip;
use crate::stream_name::StreamName;

/// The name that an agent gives its session, so that what it was given is remembered for it: written as a
/// [`StreamName`] is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SessionName(StreamName);

/// A text that is no session name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a session name: expected words of letters, digits and `. _ - : @ + =`, joined by `/`, at most 256 bytes"
)]
pub struct SessionNameError(String);

impl SessionName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SessionName {
    type Err = SessionNameError;

    fn from_str(text: &str) -> Result<Self, SessionNameError> {
        text.parse().map(Self).map_err(|_| SessionNameError(clip(text)))
    }
}

impl<'de> Deserialize<'de> for SessionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_like_a_stream() {
        assert_eq!("agent-7/run-2".parse::<SessionName>().unwrap().as_str(), "agent-7/run-2");
        for bad in ["", "a b", "#open", "$x", "a//b"] {
            assert!(bad.parse::<SessionName>().is_err(), "`{bad}` was accepted");
        }
    }
}
