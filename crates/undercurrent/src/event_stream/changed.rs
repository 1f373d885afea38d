//! What an agent asks about something that it has read before.

use undercurrent_types::{Key, Level, Version};

use super::EventStream;
use super::error::ContextError;
use crate::cache::{Answer, ReadOptions};

/// What became of a key since a version of it was read.
#[derive(Clone, Debug)]
pub enum IfChanged {
    /// It is the same.
    Unchanged(Answer),
    /// It is another.
    Changed {
        /// What it is now.
        answer: Answer,
        /// A unified diff, where both are text and the old value is still known.
        diff: Option<String>,
    },
    /// What the key names is not there any more.
    Gone(Answer),
}

/// Whether an edit may go ahead.
#[derive(Clone, Debug)]
pub enum Checked {
    /// The key is still at the version that the edit was made from.
    Current(Answer),
    /// It has moved on: writing would overwrite what the writer has not seen.
    MovedOn(Answer),
}

impl EventStream {
    /// Reads a key only as far as it differs from a version that the caller has.
    ///
    /// # Errors
    ///
    /// Fails as a read does.
    pub async fn get_if_changed(
        &self,
        key: &Key,
        version: Version,
        options: ReadOptions,
    ) -> Result<IfChanged, ContextError> {
        let answer = self.get_app_context(key).with(options).await?;
        Ok(self.compare(answer, version))
    }

    /// Compares an answer with a version that the caller has.
    pub fn compare(&self, answer: Answer, version: Version) -> IfChanged {
        if answer.version() == version {
            return IfChanged::Unchanged(answer);
        }
        let Some(new) = answer.value() else {
            return IfChanged::Gone(answer);
        };
        let old = self.0.cache.replaced(&version);
        let diff = old.and_then(|old| unified(answer.key(), &old, new));
        IfChanged::Changed { answer, diff }
    }

    /// Says whether a key is still at the version that an edit was made from. The source is asked, where it can be.
    ///
    /// # Errors
    ///
    /// Fails as a read does.
    pub async fn check(&self, key: &Key, version: Version) -> Result<Checked, ContextError> {
        let asked =
            self.0.cache.loader(key).is_some_and(|loader| loader.offers(key, Level::Verified).is_ok());
        let level = asked.then_some(Level::Verified);
        let answer = self.get_app_context(key).with(ReadOptions { level, ..ReadOptions::default() }).await?;
        let same = answer.version() == version;
        Ok(if same { Checked::Current(answer) } else { Checked::MovedOn(answer) })
    }
}

/// Texts longer than this are not compared line by line.
const LONGEST: usize = 1 << 20;

/// Writes the difference of two texts as `diff -u` does; `None` where one is no text, or too long.
fn unified(key: &Key, old: &[u8], new: &[u8]) -> Option<String> {
    if old.len().max(new.len()) > LONGEST {
        return None;
    }
    let (old, new) = (std::str::from_utf8(old).ok()?, std::str::from_utf8(new).ok()?);
    let diff = similar::TextDiff::from_lines(old, new);
    Some(diff.unified_diff().header(key.as_str(), key.as_str()).to_string())
}
