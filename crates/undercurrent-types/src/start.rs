//! Where a subscription begins.

use std::fmt;
use std::str::FromStr;

use crate::cursor::Cursor;

/// Where a subscription begins. Text: `beginning`, `now`, or a cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start<C = Cursor> {
    /// At the oldest event kept.
    #[default]
    Beginning,
    /// After the last event there is now.
    Now,
    /// After the event that the cursor names.
    After(C),
}

impl<C: fmt::Display> fmt::Display for Start<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("beginning"),
            Self::Now => f.write_str("now"),
            Self::After(cursor) => cursor.fmt(f),
        }
    }
}

impl<C: FromStr> FromStr for Start<C> {
    type Err = C::Err;

    fn from_str(text: &str) -> Result<Self, C::Err> {
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
            assert_eq!(text.parse::<Start<Cursor>>().unwrap().to_string(), text);
        }
        assert!("later".parse::<Start>().is_err());
    }
}
