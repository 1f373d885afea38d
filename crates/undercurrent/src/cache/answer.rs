//! What a read returns.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use undercurrent_types::{Key, Level, Token, Version};

use super::entry::Entry;

/// A value with the reasons to trust it. Cloning shares the value.
#[derive(Clone, Debug)]
pub struct Answer {
    entry: Arc<Entry>,
    /// The level and the reason, packed: so an answer is two words, which a hit returns in registers.
    served: u64,
}

/// Why an answer may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It is good for a position that is not below the read's.
    Current,
    /// No name that it depends on moved between its position and the read's.
    Unmoved,
    /// The source was asked during the read, and has the same.
    Unchanged,
    /// It was loaded for this read, or a read that waited with it.
    Loaded,
    /// All that its loader read still has the same versions.
    SameInputs,
    /// It was put by somebody, and has not been invalidated since.
    Put,
    /// Nothing was asked: it is what is in memory.
    AnyAge,
    /// It could not be loaded, and the reader asked for what is in memory in that case. It may be old.
    StaleOnError,
    /// Another node loaded it, and the store says that nothing it depends on moved since.
    Shared,
    /// The store could not be asked, so its source was, and it is kept nowhere.
    Uncached,
}

impl Why {
    const TABLE: [(Self, &'static str, &'static str); 10] = [
        (Self::Current, "current", "nothing at all has been invalidated since it was found good"),
        (Self::Unmoved, "unmoved", "nothing that it depends on has been invalidated since it was found good"),
        (Self::Unchanged, "unchanged", "its source was asked during the read and has the same"),
        (Self::Loaded, "loaded", "it was loaded after the read began"),
        (Self::SameInputs, "same_inputs", "everything that it was made from was read again and is the same"),
        (Self::Put, "put", "it was put, and nothing has invalidated it since"),
        (Self::AnyAge, "any_age", "nothing was asked: it is what is in memory"),
        (
            Self::StaleOnError,
            "stale_on_error",
            "it could not be loaded: this is what was in memory, and may be old",
        ),
        (
            Self::Shared,
            "shared",
            "the store keeps it, and nothing that it depends on has been invalidated since",
        ),
        (
            Self::Uncached,
            "uncached",
            "the store could not be asked, so it was loaded for this read and not kept",
        ),
    ];

    /// Returns the reason in one word.
    pub fn word(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> &'static (Self, &'static str, &'static str) {
        Self::TABLE.iter().find(|row| row.0 == self).expect("every reason has its row")
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().2)
    }
}

impl Answer {
    #[inline]
    pub(super) fn new(entry: Arc<Entry>, level: Level, why: Why) -> Self {
        let served = encode(level, why);
        entry.note_answer(served);
        Self { entry, served }
    }

    /// Returns the key in its canonical form.
    pub fn key(&self) -> &Key {
        &self.entry.key
    }

    /// Returns the value; `None` says that what the key names is not there.
    pub fn value(&self) -> Option<&Bytes> {
        self.entry.value.as_ref()
    }

    /// Returns the value as text, where it is there and is UTF-8.
    pub fn text(&self) -> Option<&str> {
        self.value().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Returns the hash of the value.
    pub fn version(&self) -> Version {
        self.entry.version
    }

    /// Returns the level that the read was served at.
    pub fn level(&self) -> Level {
        level_of(self.served)
    }

    /// Returns why the value may be trusted.
    pub fn why(&self) -> Why {
        why_of(self.served)
    }

    /// Returns how long ago the value was loaded, or last found unchanged by asking.
    pub fn age(&self) -> Duration {
        self.entry.since.elapsed()
    }

    /// Returns the position that the answer is good for: 0 where only the read itself vouches for it.
    pub fn token(&self) -> Token {
        Token { inc: self.entry.inc, position: self.entry.as_of() }
    }

    /// Returns the entry behind the answer.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }
}

const LEVELS: [Level; 5] =
    [Level::Local, Level::Bounded(Duration::ZERO), Level::Fresh, Level::Synced, Level::Verified];

/// Where an age in microseconds begins in a packed word, and the longest that fits: nine years.
const AGE_AT: u32 = 16;
const LONGEST_AGE: u64 = u64::MAX >> AGE_AT;

/// Packs how an entry was served into one word: 0 says never.
#[inline]
fn encode(level: Level, why: Why) -> u64 {
    let (level, age) = match level {
        Level::Local => (0, 0),
        Level::Bounded(age) => (1, age.as_micros().min(u128::from(LONGEST_AGE)) as u64),
        Level::Fresh => (2, 0),
        Level::Synced => (3, 0),
        Level::Verified => (4, 0),
    };
    1 | level << 1 | (why as u64) << 8 | age << AGE_AT
}

fn level_of(code: u64) -> Level {
    match LEVELS[(code >> 1 & 7) as usize] {
        Level::Bounded(_) => Level::Bounded(Duration::from_micros(code >> AGE_AT)),
        level => level,
    }
}

fn why_of(code: u64) -> Why {
    Why::TABLE[(code >> 8 & 0xff) as usize].0
}

impl Entry {
    /// Returns how the entry was last served.
    pub fn last_answer(&self) -> Option<(Level, Why)> {
        let code = self.noted_answer();
        if code == 0 {
            return None;
        }
        Some((level_of(code), why_of(code)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_and_a_reason_survive_their_word() {
        let bounded = [0, 1, 1500, LONGEST_AGE].map(|age| Level::Bounded(Duration::from_micros(age)));
        for level in LEVELS.into_iter().chain(bounded) {
            for (why, ..) in Why::TABLE {
                let code = encode(level, why);
                assert_eq!((level_of(code), why_of(code)), (level, why));
            }
        }
        let too_long = encode(Level::Bounded(Duration::MAX), Why::Current);
        assert_eq!(level_of(too_long), Level::Bounded(Duration::from_micros(LONGEST_AGE)));
    }

    #[test]
    fn the_table_is_in_the_order_of_the_reasons() {
        for (place, row) in Why::TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, place);
        }
    }
}
