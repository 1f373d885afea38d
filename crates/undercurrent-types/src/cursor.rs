//! Where a reader stands in one stream.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digits::{push_decimal, push_hexadecimal};

/// The place of an event in its stream: contiguous from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The place after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The life of a stream in which a seq has its meaning.
///
/// It changes when the stream may have lost events that a reader has seen, so a cursor of another epoch can not be
/// continued in silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// The last event that a reader has seen: `<epoch>.<seq>`, sixteen hexadecimal digits and sixteen decimal ones.
///
/// Opaque to users and sortable as text within an epoch. Seq 0 stands before the first event. It is also the
/// `sequence` attribute of a committed event, so an event says where to go on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cursor {
    /// The epoch that the seq belongs to.
    pub epoch: Epoch,
    /// The last seq seen.
    pub seq: Seq,
}

/// A text that is no cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a cursor: expected `<16 hexadecimal digits>.<16 decimal digits>`, as an acknowledgement or an event's `sequence` gives it"
)]
pub struct CursorError(pub String);

impl Cursor {
    /// Appends the text.
    pub(crate) fn push_text(self, out: &mut Vec<u8>) {
        push_hexadecimal(out, self.epoch.0);
        out.push(b'.');
        push_decimal(out, self.seq.0, 16);
    }

    /// Returns the text, as `to_string` does, for those who need it for every event.
    pub fn to_text(self) -> String {
        let mut text = Vec::with_capacity("0000000000000001.0000000000000042".len());
        self.push_text(&mut text);
        String::from_utf8(text).expect("digits and a point are text")
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{:016}", self.epoch.0, self.seq.0)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let parse = || {
            let (epoch, seq) = text.split_once('.')?;
            let well_formed = epoch.len() == 16
                && seq.len() == 16
                && epoch.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                && seq.bytes().all(|b| b.is_ascii_digit());
            if !well_formed {
                return None;
            }
            Some(Self { epoch: Epoch(u64::from_str_radix(epoch, 16).ok()?), seq: Seq(seq.parse().ok()?) })
        };
        parse().ok_or_else(|| CursorError(clip(text)))
    }
}

/// The beginning of a text that goes into an error.
pub(crate) fn clip(text: &str) -> String {
    const LONGEST: usize = 120;
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let end = (0..=LONGEST).rev().find(|&i| text.is_char_boundary(i)).expect("0 is a boundary");
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_survives_its_text(epoch: u64, seq in 0..10_000_000_000_000_000u64) {
            let cursor = Cursor { epoch: Epoch(epoch), seq: Seq(seq) };
            prop_assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
            prop_assert_eq!(cursor.to_text(), cursor.to_string());
        }

        #[test]
        fn text_order_is_seq_order(a in 0..10_000_000_000_000_000u64, b in 0..10_000_000_000_000_000u64) {
            let at = |seq| Cursor { epoch: Epoch(1), seq: Seq(seq) };
            prop_assert_eq!(at(a).to_string().cmp(&at(b).to_string()), a.cmp(&b));
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = text.parse::<Cursor>();
        }
    }

    #[test]
    fn a_malformed_cursor_is_refused() {
        for text in [
            "",
            "1.1",
            "0000000000000001",
            "0000000000000001.",
            "000000000000000g.0000000000000001",
            "0000000000000001.+000000000000001",
            "0000000000000001.00000000000000011",
            "000000000000000A.0000000000000001",
        ] {
            assert!(text.parse::<Cursor>().is_err(), "`{text}` was accepted");
        }
    }
}
