//! Which texts are meant.

use std::fmt;

/// A text, or with `*` at its end all texts that begin like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It has no characters.
    #[error("it is empty")]
    Empty,
    /// It has a `*` elsewhere.
    #[error("`*` stands only at its end")]
    Star,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// Fails when it is empty or has a `*` before its end.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        match text.find('*') {
            Some(at) if at + 1 < text.len() => Err(PatternError::Star),
            _ => Ok(Self { text: text.to_owned() }),
        }
    }

    /// Says whether the pattern covers a text.
    pub fn covers(&self, text: &str) -> bool {
        match self.text.strip_suffix('*') {
            Some(beginning) => text.starts_with(beginning),
            None => text == self.text,
        }
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
