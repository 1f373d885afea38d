//! How fresh a read must be.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cursor::clip;

/// How fresh a read must be, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// What is in memory, at any age: for display.
    Local,
    /// Not older than any invalidation that returned more than this long before.
    Bounded(Duration),
    /// Never older than any invalidation that returned before the read began, on any node.
    Fresh,
    /// Reflects every change at the sources that completed before the read began.
    Synced,
    /// The source is asked during the read, for every leaf of the closure.
    Verified,
}

/// A text that is no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a level: expected `local`, `bounded(<n>ms)` (also `s`, `m`), `fresh`, `synced` or `verified`"
)]
pub struct LevelError(pub String);

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Bounded(age) => write!(f, "bounded({}ms)", age.as_millis()),
            Self::Fresh => f.write_str("fresh"),
            Self::Synced => f.write_str("synced"),
            Self::Verified => f.write_str("verified"),
        }
    }
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        match text {
            "local" => Ok(Self::Local),
            "fresh" => Ok(Self::Fresh),
            "synced" => Ok(Self::Synced),
            "verified" => Ok(Self::Verified),
            _ => text
                .strip_prefix("bounded(")
                .and_then(|rest| rest.strip_suffix(')'))
                .and_then(parse_time)
                .map(Self::Bounded)
                .ok_or_else(|| LevelError(clip(text))),
        }
    }
}

/// Reads a time as people write it: `<n>ms`, `<n>s` or `<n>m`. `None` where the text is none.
pub fn parse_time(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_survives_its_text() {
        for text in ["local", "bounded(250ms)", "fresh", "synced", "verified"] {
            assert_eq!(text.parse::<Level>().unwrap().to_string(), text);
        }
        assert_eq!("bounded(2s)".parse(), Ok(Level::Bounded(Duration::from_secs(2))));
        for text in ["", "Fresh", "bounded", "bounded()", "bounded(5)", "bounded(-1s)", "bounded(1h)"] {
            assert!(text.parse::<Level>().is_err(), "`{text}` was accepted");
        }
    }
}
