//! Which texts a rule is about.

use std::fmt;

/// A text, or with `*` at its end all texts that begin like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// Fails with the reason when it is empty or has a `*` before its end.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a pattern is empty".to_owned());
        }
        match text.find('*') {
            Some(at) if at + 1 < text.len() => Err(format!("`{text}` has a `*` that is not at its end")),
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
