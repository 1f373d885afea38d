//! Where events come from.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cursor::clip;

use super::{Event, EventError, limits};

/// The component instance that an event comes from: `agent/<id>`, `local/<workspace>`, …, `system`, or a URI reference.
///
/// Sources are compared byte for byte and never resolved as paths; tokens are bound to prefixes of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventSource(Arc<str>);

/// What kind of component a source is: its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SourceKind {
    /// An agent: `agent/<id>`.
    Agent,
    /// An isolated workspace: `sandbox/<id>`.
    Sandbox,
    /// A forge or pipeline: `ci_cd/github/<repo>`.
    CiCd,
    /// A cluster: `kubernetes/<cluster>`.
    Kubernetes,
    /// A message queue: `rocketmq/<topic>`.
    RocketMq,
    /// A machine's tree: `local/<workspace>`.
    Local,
    /// A person: `user/<id>`.
    User,
    /// Undercurrent itself: `system`.
    System,
    /// Any other URI reference.
    Foreign,
}

impl SourceKind {
    /// Returns the first word of sources of this kind, `foreign` for the others.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Sandbox => "sandbox",
            Self::CiCd => "ci_cd",
            Self::Kubernetes => "kubernetes",
            Self::RocketMq => "rocketmq",
            Self::Local => "local",
            Self::User => "user",
            Self::System => "system",
            Self::Foreign => "foreign",
        }
    }

    fn of_word(word: &str) -> Self {
        const KNOWN: [SourceKind; 8] = [
            SourceKind::Agent,
            SourceKind::Sandbox,
            SourceKind::CiCd,
            SourceKind::Kubernetes,
            SourceKind::RocketMq,
            SourceKind::Local,
            SourceKind::User,
            SourceKind::System,
        ];
        KNOWN.into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Foreign)
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EventSource {
    /// Returns the source as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the kind that the first word says.
    pub fn kind(&self) -> SourceKind {
        SourceKind::of_word(self.0.split('/').next().unwrap_or_default())
    }

    /// Returns what follows the first word of a source that is not foreign: an id, a repository, a cluster, ….
    pub fn rest(&self) -> Option<&str> {
        match self.kind() {
            SourceKind::Foreign => None,
            _ => self.0.split_once('/').map(|(_, rest)| rest),
        }
    }

    /// Says whether the source is the prefix or lies below it, by whole words between slashes.
    ///
    /// `agent/7` is below `agent/7`, `agent/` and `agent`, not below `agent/70` or the empty prefix. A source with the
    /// word `..` after the prefix is below none, since someone may resolve it.
    pub fn is_below(&self, prefix: &str) -> bool {
        if prefix.is_empty() {
            return false;
        }
        let Some(rest) = self.0.strip_prefix(prefix) else { return false };
        let whole_words = rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/');
        whole_words && !rest.split('/').any(|word| word == "..")
    }
}

impl FromStr for EventSource {
    type Err = EventError;

    fn from_str(text: &str) -> Result<Self, EventError> {
        if text.is_empty() {
            return Err(EventError::Empty { attribute: "source" });
        }
        limits::check_length("source", text.len(), Event::LONGEST_ATTRIBUTE)?;
        limits::check_characters("source", text)?;
        let refuse = |reason| Err(EventError::Source { given: clip(text), reason });
        if text.contains(char::is_whitespace) {
            return refuse("it has white space");
        }
        let mut words = text.split('/');
        let kind = SourceKind::of_word(words.next().unwrap_or_default());
        if kind == SourceKind::Foreign {
            return Ok(Self(text.into()));
        }
        let mut words = words.peekable();
        if words.peek().is_none() && kind != SourceKind::System {
            return refuse("there is nothing after its first word");
        }
        if words.any(|word| matches!(word, "" | "." | "..")) {
            return refuse("a word between two `/` is empty, `.` or `..`");
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<&str> for EventSource {
    type Error = EventError;

    fn try_from(text: &str) -> Result<Self, EventError> {
        text.parse()
    }
}

impl fmt::Display for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EventSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EventSource {
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
            ("agent/7", SourceKind::Agent, Some("7")),
            ("sandbox/a", SourceKind::Sandbox, Some("a")),
            ("ci_cd/github/owner/repo", SourceKind::CiCd, Some("github/owner/repo")),
            ("kubernetes/prod", SourceKind::Kubernetes, Some("prod")),
            ("rocketmq/topic", SourceKind::RocketMq, Some("topic")),
            ("local/work", SourceKind::Local, Some("work")),
            ("user/ä@b", SourceKind::User, Some("ä@b")),
            ("system", SourceKind::System, None),
            ("system/rules", SourceKind::System, Some("rules")),
            ("agents/7", SourceKind::Foreign, None),
            ("/agent/7", SourceKind::Foreign, None),
            // The examples of the CloudEvents specification.
            ("https://github.com/cloudevents", SourceKind::Foreign, None),
            ("mailto:cncf-wg-serverless@lists.cncf.io", SourceKind::Foreign, None),
            ("urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", SourceKind::Foreign, None),
            ("cloudevents/spec/pull/123", SourceKind::Foreign, None),
            ("/sensors/tn-1234567/alerts", SourceKind::Foreign, None),
            ("1-555-123-4567", SourceKind::Foreign, None),
        ];
        for (text, kind, rest) in cases {
            let source: EventSource = text.parse().unwrap();
            assert_eq!((source.kind(), source.rest()), (kind, rest), "from `{text}`");
            assert_eq!(source.to_string(), text);
            let json = serde_json::to_string(&source).unwrap();
            assert_eq!(serde_json::from_str::<EventSource>(&json).unwrap(), source);
        }
    }

    #[test]
    fn what_is_no_source_is_refused_with_the_reason() {
        let long = "a".repeat(Event::LONGEST_ATTRIBUTE + 1);
        let cases = [
            ("", "empty"),
            ("agent", "nothing after"),
            ("agent/", "is empty"),
            ("agent//7", "is empty"),
            ("agent/7/", "is empty"),
            ("ci_cd/github/a/../b", "`..`"),
            ("a b", "white space"),
            ("agent/a\u{a0}b", "white space"),
            ("a\nb", "U+000A"),
            (&long, "4096"),
        ];
        for (text, reason) in cases {
            let error = text.parse::<EventSource>().unwrap_err().to_string();
            assert!(error.contains(reason), "`{text}` gave `{error}`");
        }
        assert!(long[1..].parse::<EventSource>().is_ok());
    }

    #[test]
    fn a_prefix_ends_with_a_word() {
        let cases = [
            ("agent/7", "agent/7", true),
            ("agent/7", "agent", true),
            ("agent/7", "agent/", true),
            ("agent/70", "agent/7", false),
            ("agent/7", "agent/70", false),
            ("agent/7", "agent/7/", false),
            ("agent/7", "", false),
            ("system", "system", true),
            ("https://a.example/x", "https://a.example", true),
            ("https://a.example.org/x", "https://a.example", false),
            ("https://a.example/x/../y", "https://a.example/x", false),
            ("/foo", "/", true),
        ];
        for (source, prefix, expected) in cases {
            let below = source.parse::<EventSource>().unwrap().is_below(prefix);
            assert_eq!(below, expected, "`{source}` below `{prefix}`");
        }
    }
}
