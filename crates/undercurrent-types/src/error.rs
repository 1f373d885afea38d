//! The one table of what can go wrong on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Lease;

/// What went wrong, as programs tell it apart.
///
/// Each code has one HTTP status, one exit code of the command line, and says whether the same request may succeed
/// later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The request is not one: unknown path, parameter or body.
    InvalidRequest,
    /// The event breaks the envelope's rules or limits.
    InvalidEvent,
    /// The text is no key, tag or other name.
    InvalidKey,
    /// The text is no cursor, or no token.
    InvalidCursor,
    /// The text is no name of a stream.
    InvalidStream,
    /// What was asked for is not there.
    NotFound,
    /// The cursor is of another epoch or before the oldest event kept.
    Gone,
    /// `expected_seq`, a version or a repeated id does not match.
    Conflict,
    /// Outside the configured roots, or not allowed to the caller.
    Denied,
    /// The source of the key can not give this level.
    LevelNotOffered,
    /// A value, event or header is over its limit.
    TooLarge,
    /// The caller, or all callers together, are over a quota.
    Busy,
    /// What the key is made from can not be reached, or nobody can vouch for it.
    Unavailable,
    /// The store accepts no events.
    StoreFailed,
    /// The time that the caller or the configuration gave is over.
    TimedOut,
    /// The loader of the key failed.
    LoadFailed,
    /// A loader waits, through others, for itself.
    Cycle,
    /// The sources move faster than they can be read together.
    Unstable,
    /// A defect in Undercurrent.
    Internal,
}

impl ErrorCode {
    /// Code, HTTP status, exit code, whether the same request may succeed later.
    const TABLE: [(Self, &'static str, u16, u8, bool); 19] = [
        (Self::InvalidRequest, "invalid_request", 400, 2, false),
        (Self::InvalidEvent, "invalid_event", 400, 2, false),
        (Self::InvalidKey, "invalid_key", 400, 2, false),
        (Self::InvalidCursor, "invalid_cursor", 400, 2, false),
        (Self::InvalidStream, "invalid_stream", 400, 2, false),
        (Self::NotFound, "not_found", 404, 3, false),
        (Self::Gone, "gone", 410, 3, false),
        (Self::Conflict, "conflict", 409, 6, false),
        (Self::Denied, "denied", 403, 7, false),
        (Self::LevelNotOffered, "level_not_offered", 422, 2, false),
        (Self::TooLarge, "too_large", 413, 2, false),
        (Self::Busy, "busy", 429, 4, true),
        (Self::Unavailable, "unavailable", 503, 4, true),
        (Self::StoreFailed, "store_failed", 503, 4, true),
        (Self::TimedOut, "timed_out", 504, 5, true),
        (Self::LoadFailed, "load_failed", 502, 1, true),
        (Self::Cycle, "cycle", 508, 1, false),
        (Self::Unstable, "unstable", 503, 4, true),
        (Self::Internal, "internal", 500, 1, false),
    ];

    fn row(self) -> &'static (Self, &'static str, u16, u8, bool) {
        Self::TABLE.iter().find(|row| row.0 == self).expect("every code has its row")
    }

    /// Returns the code as text.
    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    /// Returns the HTTP status.
    pub fn status(self) -> u16 {
        self.row().2
    }

    /// Returns the exit code of the command line: 1 failed, 2 usage, 3 not found or gone, 4 unavailable,
    /// 5 timed out, 6 conflict, 7 denied.
    pub fn exit_code(self) -> u8 {
        self.row().3
    }

    /// Says whether the same request may succeed later.
    pub fn is_retryable(self) -> bool {
        self.row().4
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The body of every answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ErrorBody {
    /// What went wrong.
    pub code: ErrorCode,
    /// The same for people: what was given, which limit it met, and the way out.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The oldest cursor that can be continued, where a cursor is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
    /// The place in a batch, from 0, of what was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Permission to fill a key that nothing here loads, where it is not cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// After how many milliseconds the same request may succeed, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The leases, of those that were named, that do not count; what was said of the others is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Lease>,
}

impl ErrorBody {
    /// Makes the body of an error.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: code.is_retryable(),
            oldest: None,
            index: None,
            ticket: None,
            retry_after_ms: None,
            refused: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_serde_says() {
        for (code, text, status, exit, _) in ErrorCode::TABLE {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{text}\""));
            assert!((400..600).contains(&status));
            assert!((1..=7).contains(&exit));
        }
    }
}
