//! One read set, and how it lies in the table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use undercurrent_types::{Key, Version};

/// How many keys a set holds. The one that was given longest ago leaves, and the set says so.
const KEYS: usize = 10_000;
/// How many bytes its keys take in memory, for the same.
const BYTES: usize = 8 << 20;
/// What a key takes besides its text, about.
const STRUCTURE: usize = 160;
/// How many rows a set is spread over, so that a few reads rewrite little.
pub(super) const SHARDS: usize = 16;
/// How much later the use of a set has to be to be written, in milliseconds.
const USE_STEP_MS: u64 = 60_000;

/// The keys that a session was given, each with its version.
#[derive(Default)]
pub(super) struct Set {
    keys: BTreeMap<Key, Given>,
    /// The same keys, by when they were given.
    by_age: BTreeMap<u64, Key>,
    bytes: usize,
    unsure: Option<Unsure>,
    used: u64,
    used_ms: u64,
    head_dirty: bool,
    dirty: [bool; SHARDS],
}

#[derive(Clone, Copy)]
struct Given {
    version: Version,
    at: u64,
}

/// Why a set can not be sure that it holds all that its session was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unsure {
    /// Keys left, because there were too many.
    Full,
    /// The process ended without a flush.
    Crash,
}

impl Unsure {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Full => {
                "the session was given more than is remembered of one, and the oldest was forgotten"
            }
            Self::Crash => {
                "the daemon ended unexpectedly, and what was read in its last second may be missing"
            }
        }
    }
}

/// The number of a shard and its row; an empty shard has none.
pub(super) type Shard = (usize, Option<Vec<u8>>);

/// The row that stands for a set as a whole.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) used_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unsure: Option<Unsure>,
}

impl Set {
    /// Makes the set of a row; its keys follow.
    pub(super) fn restored(head: &Head) -> Self {
        Self { unsure: head.unsure, used_ms: head.used_ms, ..Self::default() }
    }

    /// Takes in a version that was given; `at` rises with each.
    pub(super) fn note(&mut self, key: &Key, version: Version, at: u64, now_ms: u64) {
        self.touch(at, now_ms);
        let before = self.keys.insert(key.clone(), Given { version, at });
        match before {
            Some(given) => drop(self.by_age.remove(&given.at)),
            None => self.bytes += weight(key),
        }
        if before.is_none_or(|given| given.version != version) {
            self.dirty[shard(key)] = true;
        }
        self.by_age.insert(at, key.clone());
        while self.keys.len() > KEYS || self.bytes > BYTES {
            self.forget_oldest();
        }
    }

    /// Notes that the set is in use.
    pub(super) fn touch(&mut self, at: u64, now_ms: u64) {
        self.used = at;
        if now_ms >= self.used_ms + USE_STEP_MS {
            self.used_ms = now_ms;
            self.head_dirty = true;
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, key)) = self.by_age.pop_first() else { return };
        self.keys.remove(&key);
        self.bytes -= weight(&key);
        self.dirty[shard(&key)] = true;
        self.doubt(Unsure::Full);
    }

    /// Says that the set may have lost keys.
    pub(super) fn doubt(&mut self, why: Unsure) {
        self.head_dirty |= self.unsure != Some(why);
        self.unsure = Some(why);
    }

    /// Takes a reason back that the session has been told.
    pub(super) fn told(&mut self, why: Unsure) {
        if self.unsure == Some(why) {
            self.unsure = None;
            self.head_dirty = true;
        }
    }

    /// Sets a version that the session has been told of, unless it was given another in between.
    pub(super) fn seen(&mut self, key: &Key, old: Version, new: Version) {
        if let Some(given) = self.keys.get_mut(key).filter(|given| given.version == old) {
            given.version = new;
            self.dirty[shard(key)] = true;
        }
    }

    /// Returns the keys with their versions, sorted.
    pub(super) fn keys(&self) -> Vec<(Key, Version)> {
        self.keys.iter().map(|(key, given)| (key.clone(), given.version)).collect()
    }

    pub(super) fn unsure(&self) -> Option<Unsure> {
        self.unsure
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn used_ms(&self) -> u64 {
        self.used_ms
    }

    /// Returns the rows that have changed since they were taken last: the head, and shards.
    pub(super) fn take_dirty(&mut self) -> (Option<Head>, Vec<Shard>) {
        let head = std::mem::take(&mut self.head_dirty);
        let head = head.then_some(Head { used_ms: self.used_ms, unsure: self.unsure });
        let dirty = std::mem::take(&mut self.dirty);
        let mut rows: Vec<Option<Vec<u8>>> = vec![None; SHARDS];
        for (key, given) in self.keys.iter().filter(|(key, _)| dirty[shard(key)]) {
            write(rows[shard(key)].get_or_insert_default(), key, given);
        }
        let rows = rows.into_iter().enumerate().filter(|(n, _)| dirty[*n]);
        (head, rows.collect())
    }

    /// Has everything written again, because the last write failed.
    pub(super) fn soil(&mut self) {
        self.head_dirty = true;
        self.dirty = [true; SHARDS];
    }

    /// Takes in a shard as [`Set::take_dirty`] gave it, and returns the highest `at` in it. What is no key any more is
    /// passed over.
    pub(super) fn restore(&mut self, mut row: &[u8]) -> u64 {
        let mut last = 0;
        while let Some((entry, rest)) = read(row) {
            row = rest;
            let Ok(key) = Key::parse(entry.0) else { continue };
            last = last.max(entry.1.at);
            self.used = self.used.max(entry.1.at);
            self.bytes += weight(&key);
            self.by_age.insert(entry.1.at, key.clone());
            self.keys.insert(key, entry.1);
        }
        last
    }
}

fn weight(key: &Key) -> usize {
    key.as_str().len() + STRUCTURE
}

/// Returns the row that a key lies in: the same in every process.
fn shard(key: &Key) -> usize {
    crc32c::crc32c(key.as_str().as_bytes()) as usize % SHARDS
}

/// Appends `u64 at · 32 bytes of version · u16 length · key`.
fn write(row: &mut Vec<u8>, key: &Key, given: &Given) {
    row.extend_from_slice(&given.at.to_le_bytes());
    row.extend_from_slice(given.version.as_bytes());
    row.extend_from_slice(&(key.as_str().len() as u16).to_le_bytes());
    row.extend_from_slice(key.as_str().as_bytes());
}

fn read(row: &[u8]) -> Option<((&str, Given), &[u8])> {
    let (at, row) = row.split_first_chunk()?;
    let (version, row) = row.split_first_chunk()?;
    let (len, row) = row.split_first_chunk()?;
    let (key, row) = row.split_at_checked(u16::from_le_bytes(*len).into())?;
    let given = Given { version: Version::from_bytes(*version), at: u64::from_le_bytes(*at) };
    Some(((std::str::from_utf8(key).ok()?, given), row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> Key {
        Key::parse(&format!("state:{n}")).unwrap()
    }

    fn version(n: u64) -> Version {
        Version::of(Some(&n.to_le_bytes()))
    }

    #[test]
    fn the_oldest_leave_and_the_set_says_so() {
        let mut set = Set::default();
        for n in 0..KEYS as u64 {
            set.note(&key(n), version(n), n, 0);
        }
        // Given again, it is not the oldest any more.
        set.note(&key(0), version(0), KEYS as u64, 0);
        assert_eq!(set.unsure(), None);
        set.note(&key(KEYS as u64), version(1), 1 + KEYS as u64, 0);
        let keys = set.keys();
        assert_eq!((keys.len(), set.unsure()), (KEYS, Some(Unsure::Full)));
        assert!(keys.iter().any(|(one, _)| *one == key(0)) && !keys.iter().any(|(one, _)| *one == key(1)));
        set.told(Unsure::Crash);
        assert!(set.unsure().is_some());
        set.told(Unsure::Full);
        assert_eq!(set.unsure(), None);
    }

    #[test]
    fn long_keys_are_bounded_in_bytes() {
        let mut set = Set::default();
        for n in 0..3000 {
            set.note(&Key::parse(&format!("state:{n}{}", "x".repeat(4000))).unwrap(), version(n), n, 0);
        }
        assert!(set.bytes() <= BYTES && set.bytes() > BYTES - 5000);
        assert_eq!(set.bytes(), set.keys().iter().map(|(key, _)| weight(key)).sum::<usize>());
    }

    #[test]
    fn a_set_survives_its_rows_and_only_what_changed_is_written() {
        let mut set = Set::default();
        for n in 0..100 {
            set.note(&key(n), version(n), n, 5);
        }
        set.doubt(Unsure::Crash);
        let (head, rows) = set.take_dirty();
        let mut restored = Set::restored(&head.unwrap());
        let last = rows.iter().map(|(_, row)| restored.restore(row.as_ref().unwrap())).max();
        assert_eq!((restored.keys(), last, restored.unsure()), (set.keys(), Some(99), Some(Unsure::Crash)));
        assert_eq!(restored.bytes(), set.bytes());
        set.note(&key(5), version(5), 100, 5);
        assert!(set.take_dirty().1.is_empty());
        set.note(&key(5), version(6), 101, 5);
        let (head, rows) = set.take_dirty();
        assert!(head.is_none() && rows.len() == 1 && rows[0].0 == shard(&key(5)));
    }
}
