//! Where a subscription begins.

use std::fmt;
use std::str::FromStr;

use crate::cursor::{Cursor, CursorError};

/// Where a subscription begins. Text: `beginning`, `now`, or a cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest event kept.
    #[default]
    Beginning,
    /// After the last event there is now.
    Now,
    /// After the event that the cursor names.
    After(Cursor),
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("beginning"),
            Self::Now => f.write_str("now"),
            Self::After(cursor) => cursor.fmt(f),
        }
    }
}

impl FromStr for Start {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        match text {
            "beginning" => Ok(Self::Beginning),
            "now" => Ok(Self::Now),
            cursor => cursor.parse().map(Self::After),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_survives_its_text() {
        for text in ["beginning", "now", "0000000000000001.0000000000000042"] {
            assert_eq!(text.parse::<Start>().unwrap().to_string(), text);
        }
        assert!("later".parse::<Start>().is_err());
    }
}
