//! Which events of a stream a reader wants.

use undercurrent_types::{EventSource, Key, Pattern};

use crate::store::Record;

/// Which events a reader wants: of each attribute that is named, one of the patterns must match.
///
/// Types and subjects match exactly, or by their beginning when the pattern ends with `*`. Sources match by whole
/// words: `local/project` takes `local/project` and all below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    types: Vec<Pattern>,
    sources: Vec<EventSource>,
    subjects: Vec<Pattern>,
}

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a pattern for {attribute}: {reason}")]
pub struct FilterError {
    pattern: String,
    attribute: &'static str,
    reason: String,
}

/// Reads the pattern of an attribute.
pub(super) fn pattern(attribute: &'static str, text: &str) -> Result<Pattern, FilterError> {
    Pattern::parse(text).map_err(|error| FilterError {
        pattern: text.to_owned(),
        attribute,
        reason: error.to_string(),
    })
}

impl Filter {
    /// Also takes events of this type: `observation.file_change`, or `observation.*` for all that begin so.
    ///
    /// # Errors
    ///
    /// Fails when the pattern is empty or has a `*` before its end.
    pub fn with_type(mut self, text: &str) -> Result<Self, FilterError> {
        self.types.push(pattern("`type`", text)?);
        Ok(self)
    }

    /// Also takes events of this source, or of one below it.
    ///
    /// # Errors
    ///
    /// Fails when the text is no event source.
    pub fn with_source(mut self, prefix: &str) -> Result<Self, FilterError> {
        let source = prefix.parse::<EventSource>().map_err(|error| FilterError {
            pattern: prefix.to_owned(),
            attribute: "`source`",
            reason: error.to_string(),
        })?;
        self.sources.push(source);
        Ok(self)
    }

    /// Also takes events about this subject. Where it is a key, it is brought into its canonical form first.
    ///
    /// # Errors
    ///
    /// Fails when the pattern is empty or has a `*` before its end.
    pub fn with_subject(mut self, text: &str) -> Result<Self, FilterError> {
        let canonical = Key::parse(text).map_or_else(|_| text.to_owned(), |key| key.to_string());
        self.subjects.push(pattern("`subject`", &canonical)?);
        Ok(self)
    }

    /// Says whether the reader wants this event.
    pub fn matches(&self, record: &Record) -> bool {
        let one_of = |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.covers(text));
        (self.types.is_empty() || one_of(&self.types, record.type_text()))
            && (self.subjects.is_empty()
                || record.subject_text().is_some_and(|text| one_of(&self.subjects, text)))
            && (self.sources.is_empty() || self.takes_source(record.source_text()))
    }

    fn takes_source(&self, text: &str) -> bool {
        let below = |prefix: &str| {
            text.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.sources.iter().any(|source| below(source.as_str()))
    }
}
