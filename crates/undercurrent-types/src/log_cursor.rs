//! Where a reader stands in the log of a namespace.

use std::fmt;
use std::str::FromStr;

use crate::cursor::clip;
use crate::token::{Token, is_canonical};

/// Where a reader of several streams stands: after a whole commit, or after some of its events.
///
/// Opaque to users. Text: `<token>` after the whole commit at that position, `<token>.<n>` after its first n events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogCursor {
    /// The commit.
    pub token: Token,
    /// How many of its events have been seen; `None` says all.
    pub events: Option<u32>,
}

/// A text that is no cursor of a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a cursor of several streams: expected what such a subscription gave, `<16 hexadecimal digits>-<number>` and perhaps `.<number>`"
)]
pub struct LogCursorError(pub String);

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.token.fmt(f)?;
        self.events.map_or(Ok(()), |events| write!(f, ".{events}"))
    }
}

impl FromStr for LogCursor {
    type Err = LogCursorError;

    fn from_str(text: &str) -> Result<Self, LogCursorError> {
        let parse = || {
            let (token, events) = text.split_once('.').map_or((text, None), |(token, n)| (token, Some(n)));
            let token = token.parse().ok()?;
            let Some(events) = events else { return Some(Self { token, events: None }) };
            Some(Self { token, events: Some(events.parse().ok().filter(|_| is_canonical(events))?) })
        };
        parse().ok_or_else(|| LogCursorError(clip(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_a_log_survives_its_text_and_no_other_is_taken() {
        for text in ["0000000000000001-17", "00000000000000ff-3.2", "00000000000000ff-3.0"] {
            assert_eq!(text.parse::<LogCursor>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "beginning",
            "0000000000000001.0000000000000001",
            "0000000000000001-1.",
            "0000000000000001-1.+1",
            "0000000000000001-1.01",
            "0000000000000001-01",
        ] {
            assert!(text.parse::<LogCursor>().is_err(), "`{text}` was accepted");
        }
    }
}
