//! The right of a group's member to work on an event.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cursor::{Seq, clip};

/// One delivery of one event to a member of a group: `<seq>:<generation>`.
///
/// Whoever is given the event next gets another generation, so an old lease says nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    /// The event.
    pub seq: Seq,
    /// Which delivery it is; never given twice in a group, nor in a later one of the same name.
    pub generation: u64,
}

/// A text that is no lease.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a lease: expected `<seq>:<generation>`, as a delivery gives it")]
pub struct LeaseError(String);

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.generation)
    }
}

impl FromStr for Lease {
    type Err = LeaseError;

    fn from_str(text: &str) -> Result<Self, LeaseError> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten()
        };
        let parse = || {
            let (seq, generation) = text.split_once(':')?;
            Some(Self { seq: Seq(number(seq)?), generation: number(generation)? })
        };
        parse().ok_or_else(|| LeaseError(clip(text)))
    }
}

impl Serialize for Lease {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lease {
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
        fn a_lease_survives_its_text(seq: u64, generation: u64) {
            let lease = Lease { seq: Seq(seq), generation };
            prop_assert_eq!(lease.to_string().parse::<Lease>().unwrap(), lease);
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = text.parse::<Lease>();
        }
    }

    #[test]
    fn a_malformed_lease_is_refused() {
        for bad in ["", "1", "1:", ":1", "+1:1", "1:-1", "1:1:1", "a:b", "18446744073709551616:1"] {
            assert!(bad.parse::<Lease>().is_err(), "`{bad}` was accepted");
        }
    }
}
