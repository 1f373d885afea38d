//! What can be invalidated.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::cursor::clip;
use crate::key::{Key, KeyError};

/// What can be invalidated: a key, a tag, a scope, or what is not watched at all.
///
/// Text: a key as it is, `tag:<text>`, `scope:<text>`, `unwatched:<root>`. The three words are reserved, so no key
/// can be mistaken for another name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

/// A text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Neither a reserved word nor a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A tag or scope without text, too long, or with control characters.
    #[error("`{0}` is not a tag: the text after the colon has 1 to 4096 bytes and no control characters")]
    Text(String),
}

/// The words that begin names other than keys.
pub(crate) const RESERVED: [&str; 3] = ["tag", "scope", "unwatched"];

impl Name {
    /// Returns the tag with this text, such as `repo:/root`.
    ///
    /// # Errors
    ///
    /// Fails when the text is empty, longer than 4096 bytes or has control characters.
    pub fn tag(text: &str) -> Result<Self, NameError> {
        Self::reserved("tag", text)
    }

    /// Returns the tag of everything below a directory, itself included.
    pub fn tree(path: &str) -> Self {
        Self(format!("tag:tree:{path}").into())
    }

    /// Returns the tag of everything read from a repository.
    pub fn repo(root: &str) -> Self {
        Self(format!("tag:repo:{root}").into())
    }

    /// Returns the tag of all that comes from one source or root.
    pub fn scope(text: &str) -> Self {
        Self(format!("scope:{text}").into())
    }

    /// Returns the name of all that nobody watches below a root: in doubt by its word.
    pub fn unwatched(root: &str) -> Self {
        Self(format!("unwatched:{root}").into())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether the name is a tag, the only kind of name besides keys that users may invalidate.
    pub fn is_tag(&self) -> bool {
        self.0.starts_with("tag:")
    }

    /// Returns the root whose unwatched parts this name stands for.
    pub fn unwatched_root(&self) -> Option<&str> {
        self.0.strip_prefix("unwatched:")
    }

    /// Returns the key, where the name is one.
    pub fn as_key(&self) -> Option<Key> {
        Key::parse(&self.0).ok()
    }

    fn reserved(word: &str, text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > Key::LONGEST || text.chars().any(char::is_control) {
            return Err(NameError::Text(clip(text)));
        }
        Ok(Self(format!("{word}:{text}").into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&Key> for Name {
    fn from(key: &Key) -> Self {
        Self(key.text().clone())
    }
}

impl From<Key> for Name {
    fn from(key: Key) -> Self {
        Self::from(&key)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once(':') {
            Some((word, rest)) if RESERVED.contains(&word) => Self::reserved(word, rest),
            _ => Ok(Self::from(Key::parse(text)?)),
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_its_text() {
        for text in ["file:/a/b", "tag:repo:/a", "scope:local:/a", "unwatched:/a"] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
        }
        assert_eq!("file:/a/../b".parse::<Name>().unwrap().to_string(), "file:/b");
    }

    #[test]
    fn no_key_is_mistaken_for_another_name() {
        for word in RESERVED {
            assert!(Key::parse(&format!("{word}:x")).is_err());
        }
        assert!("tag:".parse::<Name>().is_err());
        assert!("tag:a\nb".parse::<Name>().is_err());
    }
}
