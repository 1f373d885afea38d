//! Places in the one order of a namespace.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cursor::clip;
use crate::digits::{push_decimal, push_hexadecimal};

/// A place in the one order that all publishes and invalidations of a namespace take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The life of a store in which positions compare: random, and compared for equality only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation(pub u64);

/// What a writer gets back: a read given it is at least that fresh.
///
/// Text: `<incarnation, 16 hexadecimal digits>-<position>`. It is also the `position` attribute of a committed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The incarnation that the position belongs to.
    pub inc: Incarnation,
    /// The position of the write.
    pub position: Position,
}

/// A text that is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a token: expected `<16 hexadecimal digits>-<number>`, as an acknowledgement or an event's `position` gives it"
)]
pub struct TokenError(pub String);

impl Token {
    /// Appends the text.
    pub(crate) fn push_text(self, out: &mut Vec<u8>) {
        push_hexadecimal(out, self.inc.0);
        out.push(b'-');
        push_decimal(out, self.position.0, 1);
    }
}

/// Says whether a text is a number as it is written: digits, and none too many.
pub(crate) fn is_canonical(number: &str) -> bool {
    number.bytes().all(|b| b.is_ascii_digit()) && (number == "0" || !number.starts_with('0'))
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.inc.0, self.position.0)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let parse = || {
            let (inc, position) = text.split_once('-')?;
            let well_formed = inc.len() == 16
                && inc.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                && is_canonical(position);
            if !well_formed {
                return None;
            }
            Some(Self {
                inc: Incarnation(u64::from_str_radix(inc, 16).ok()?),
                position: Position(position.parse().ok()?),
            })
        };
        parse().ok_or_else(|| TokenError(clip(text)))
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_survives_its_text(inc: u64, position: u64) {
            let token = Token { inc: Incarnation(inc), position: Position(position) };
            prop_assert_eq!(token.to_string().parse::<Token>().unwrap(), token);
        }
    }

    #[test]
    fn a_malformed_token_is_refused() {
        let numbers = ["", "x", "+1", "01", "00"].map(|number| format!("0000000000000001-{number}"));
        for text in ["", "-", "1-1"].map(str::to_owned).into_iter().chain(numbers) {
            assert!(text.parse::<Token>().is_err(), "`{text}` was accepted");
        }
    }
}
