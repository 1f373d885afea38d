//! The name of a consumer group.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::cursor::clip;

/// The name of a group: one word of `A–Z a–z 0–9 . _ - : @ + =`, at most 64 bytes, such as `builders`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct GroupName(Arc<str>);

/// A text that is no name of a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a group name: expected one word of letters, digits and `. _ - : @ + =`, at most 64 bytes"
)]
pub struct GroupNameError(String);

impl GroupName {
    /// The longest name, in bytes.
    pub const LONGEST: usize = 64;

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for GroupName {
    type Err = GroupNameError;

    fn from_str(text: &str) -> Result<Self, GroupNameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-:@+=".contains(&b);
        let is_word = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(allowed);
        if !is_word || matches!(text, "." | "..") {
            return Err(GroupNameError(clip(text)));
        }
        Ok(Self(text.into()))
    }
}

impl<'de> Deserialize<'de> for GroupName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_one_word_as_its_name() {
        for good in ["a", "builders", "ci:v2@eu", &"a".repeat(64)] {
            assert_eq!(good.parse::<GroupName>().unwrap().as_str(), good);
        }
        for bad in ["", "a/b", "a b", ".", "..", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<GroupName>().is_err(), "`{bad}` was accepted");
        }
    }
}
