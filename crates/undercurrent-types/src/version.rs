//! What a value is, by content.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cursor::clip;

/// The BLAKE3 hash of a value, the same on every machine: never a counter.
///
/// Text: 64 hexadecimal digits, in lower case. "Not there" is a value too and has a version of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version([u8; 32]);

/// A text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version: expected 64 hexadecimal digits in lower case")]
pub struct VersionError(pub String);

impl Version {
    /// Returns the version of a value; `None` is the value of what is not there.
    pub fn of(value: Option<&[u8]>) -> Self {
        match value {
            Some(bytes) => Self(*blake3::hash(bytes).as_bytes()),
            None => Self([0; 32]),
        }
    }

    /// Returns the version with these bytes, as [`Version::as_bytes`] gave them.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({self})")
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let refused = || VersionError(clip(text));
        // One text for each version: it is compared as text as well, in `ETag` and in files.
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(refused());
        }
        let hash = blake3::Hash::from_hex(text).map_err(|_| refused())?;
        Ok(Self(*hash.as_bytes()))
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_one_text() {
        let text = Version::of(Some(b"x")).to_string();
        assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
        for other in [text.to_uppercase(), text[1..].to_owned(), format!("{text}0"), String::new()] {
            assert!(other.parse::<Version>().is_err(), "`{other}` was accepted");
        }
    }
}
