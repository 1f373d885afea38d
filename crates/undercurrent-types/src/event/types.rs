//! What kinds of things happen.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cursor::clip;

use super::{Event, EventError, limits};

/// What kind of thing happened: `message`, `observation.file_change`, …, or a foreign type with a dot.
///
/// The type of ours is one of ten words, then a detail of `a–z 0–9 _` words after dots. Types of other systems, such
/// as `dev.cdevents.build.finished`, pass as they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(Arc<str>);

/// The first word of an event's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TypeKind {
    /// Something said, by a person or an agent.
    Message,
    /// Something about to be done; makes nothing stale.
    Action,
    /// Something seen to have happened.
    Observation,
    /// What an agent intends.
    Plan,
    /// Something learnt that holds beyond the session.
    Knowledge,
    /// Data from outside.
    Datasource,
    /// The new state of a thing.
    StateUpdate,
    /// What an invalidation did.
    CacheUpdate,
    /// What concerns Undercurrent itself.
    System,
    /// Something that went wrong.
    Error,
    /// A type of another system.
    Foreign,
}

impl TypeKind {
    /// Returns the first word of types of this kind, `foreign` for the others.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Action => "action",
            Self::Observation => "observation",
            Self::Plan => "plan",
            Self::Knowledge => "knowledge",
            Self::Datasource => "datasource",
            Self::StateUpdate => "state_update",
            Self::CacheUpdate => "cache_update",
            Self::System => "system",
            Self::Error => "error",
            Self::Foreign => "foreign",
        }
    }

    fn of_word(word: &str) -> Self {
        const KNOWN: [TypeKind; 10] = [
            TypeKind::Message,
            TypeKind::Action,
            TypeKind::Observation,
            TypeKind::Plan,
            TypeKind::Knowledge,
            TypeKind::Datasource,
            TypeKind::StateUpdate,
            TypeKind::CacheUpdate,
            TypeKind::System,
            TypeKind::Error,
        ];
        KNOWN.into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Foreign)
    }
}

impl fmt::Display for TypeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EventType {
    /// Returns the type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the kind that the first word says.
    pub fn kind(&self) -> TypeKind {
        TypeKind::of_word(self.0.split('.').next().unwrap_or_default())
    }

    /// Returns what follows the first dot.
    pub fn detail(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, detail)| detail)
    }
}

impl FromStr for EventType {
    type Err = EventError;

    fn from_str(text: &str) -> Result<Self, EventError> {
        if text.is_empty() {
            return Err(EventError::Empty { attribute: "type" });
        }
        limits::check_length("type", text.len(), Event::LONGEST_ATTRIBUTE)?;
        limits::check_characters("type", text)?;
        let refuse = |reason| Err(EventError::Type { given: clip(text), reason });
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        };
        let (first, detail) = text.split_once('.').map_or((text, None), |(first, rest)| (first, Some(rest)));
        match (TypeKind::of_word(first), detail) {
            (TypeKind::Foreign, None) => refuse("its first word is not known"),
            (TypeKind::Foreign, Some(rest)) if first.is_empty() || rest.is_empty() => {
                refuse("a word before or after its first dot is empty")
            }
            (TypeKind::Foreign, _) | (_, None) => Ok(Self(text.into())),
            (_, Some(detail)) if detail.split('.').all(is_word) => Ok(Self(text.into())),
            _ => refuse("a word of its detail is empty or has other characters"),
        }
    }
}

impl TryFrom<&str> for EventType {
    type Error = EventError;

    fn try_from(text: &str) -> Result<Self, EventError> {
        text.parse()
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_says_the_kind() {
        let cases = [
            ("message", TypeKind::Message, None),
            ("action.command", TypeKind::Action, Some("command")),
            ("observation.file_change", TypeKind::Observation, Some("file_change")),
            ("plan", TypeKind::Plan, None),
            ("knowledge.v2", TypeKind::Knowledge, Some("v2")),
            ("datasource", TypeKind::Datasource, None),
            ("state_update.pod.ready", TypeKind::StateUpdate, Some("pod.ready")),
            ("cache_update", TypeKind::CacheUpdate, None),
            ("system.resync", TypeKind::System, Some("resync")),
            ("error", TypeKind::Error, None),
            ("dev.cdevents.build.finished.0.2.0", TypeKind::Foreign, Some("cdevents.build.finished.0.2.0")),
            ("com.github.pull_request.opened", TypeKind::Foreign, Some("github.pull_request.opened")),
            ("observations.File", TypeKind::Foreign, Some("File")),
        ];
        for (text, kind, detail) in cases {
            let ty: EventType = text.parse().unwrap();
            assert_eq!((ty.kind(), ty.detail()), (kind, detail), "from `{text}`");
            assert_eq!(ty.to_string(), text);
            let json = serde_json::to_string(&ty).unwrap();
            assert_eq!(serde_json::from_str::<EventType>(&json).unwrap(), ty);
        }
    }

    #[test]
    fn what_is_no_type_is_refused_with_a_hint() {
        for text in [
            "observation.",
            "observation..x",
            "observation.File",
            "observation.x.",
            "observation.a-b",
            "observation ",
            "Observation",
            "foo",
            "file_change",
            ".",
            ".x",
            "x.",
        ] {
            let error = text.parse::<EventType>().unwrap_err();
            assert!(matches!(error, EventError::Type { .. }), "`{text}` gave `{error}`");
            assert!(error.to_string().contains("state_update cache_update system error"));
        }
        assert_eq!("".parse::<EventType>(), Err(EventError::Empty { attribute: "type" }));
        assert!(matches!("a.b\n".parse::<EventType>(), Err(EventError::Characters { .. })));
        let long = format!("a.{}", "b".repeat(Event::LONGEST_ATTRIBUTE - 1));
        assert!(matches!(long.parse::<EventType>(), Err(EventError::TooLong { actual: 4097, .. })));
        assert!(long[..4096].parse::<EventType>().is_ok());
    }
}
