//! The ids that have been published of late: what makes publishing idempotent.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};
use undercurrent_types::{Epoch, Seq};

use super::codec::{Fields, Malformed, Out};
use super::log::random;
pub(super) use crate::store::{ID_WINDOW as WINDOW, REMEMBERED_IDS as REMEMBERED};

/// The hash of a stream, a source and an id: 128 bits under keys that no user learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdKey(u64, u64);

impl Hash for IdKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// A map by [`IdKey`]s.
pub(super) type ByIdKey<T> = HashMap<IdKey, T, BuildHasherDefault<AsItIs>>;

/// Takes an [`IdKey`] for its own hash, which it is.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("an `IdKey` gives one number")
    }
}

/// Makes [`IdKey`]s. Shared by all publishers, without a lock. Its keys are random, and kept in the checkpoint.
#[derive(Clone)]
pub(super) struct IdHasher(u64, u64);

impl Default for IdHasher {
    fn default() -> Self {
        Self(random(), random())
    }
}

impl IdHasher {
    pub(super) fn hash(&self, stream: &str, source: &str, id: &str) -> IdKey {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        (stream, source, id).hash(&mut hasher);
        let hash = hasher.finish128();
        IdKey(hash.h1, hash.h2)
    }

    pub(super) fn encode(&self, out: &mut Out) {
        out.u64s(&[self.0, self.1]);
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self(fields.u64()?, fields.u64()?))
    }
}

/// What an id was given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) epoch: Epoch,
    pub(super) seq: Seq,
    pub(super) hash: [u8; 16],
}

/// The window: 2²⁰ ids or 10 minutes, whichever ends first. About 100 bytes an id.
#[derive(Default)]
pub(super) struct Ids {
    given: ByIdKey<Given>,
    by_age: VecDeque<(u64, IdKey)>,
}

impl Ids {
    pub(super) fn get(&self, key: IdKey) -> Option<Given> {
        self.given.get(&key).copied()
    }

    /// Returns every id that is remembered.
    pub(super) fn all(&self) -> impl Iterator<Item = (IdKey, Given)> {
        self.given.iter().map(|(key, given)| (*key, *given))
    }

    /// Remembers an id, and forgets those that the window has passed.
    pub(super) fn insert(&mut self, key: IdKey, given: Given, now_ms: u64) {
        self.expire(now_ms);
        // First, so that the row never needs room for more than it may hold: it grows by doubling.
        if self.by_age.len() == REMEMBERED {
            self.forget_oldest();
        }
        self.given.insert(key, given);
        self.by_age.push_back((now_ms, key));
    }

    /// Forgets what is too old.
    pub(super) fn expire(&mut self, now_ms: u64) {
        let begin = now_ms.saturating_sub(WINDOW.as_millis() as u64);
        while self.by_age.front().is_some_and(|(time, _)| *time < begin) {
            self.forget_oldest();
        }
    }

    /// Forgets ids whose events were taken back.
    pub(super) fn take_back(&mut self, keys: impl Iterator<Item = IdKey>) {
        let before = self.given.len();
        for key in keys {
            self.given.remove(&key);
        }
        if self.given.len() < before {
            // Else an old place in the row would end the window of an id that is given again.
            self.by_age.retain(|(_, key)| self.given.contains_key(key));
        }
    }

    pub(super) fn encode(&self, out: &mut Out) {
        let known = self.by_age.iter().filter_map(|(time, key)| Some((time, key, self.given.get(key)?)));
        out.u64(known.clone().count() as u64);
        for (time, key, given) in known {
            out.u64s(&[*time, key.0, key.1, given.epoch.0, given.seq.0]);
            out.raw(&given.hash);
        }
    }

    /// Reads the ids that the window has not passed.
    pub(super) fn decode(fields: &mut Fields<'_>, now_ms: u64) -> Result<Self, Malformed> {
        let begin = now_ms.saturating_sub(WINDOW.as_millis() as u64);
        let mut ids = Self::default();
        for _ in 0..fields.u64()? {
            let (time, key) = (fields.u64()?, IdKey(fields.u64()?, fields.u64()?));
            let (epoch, seq, hash) = (Epoch(fields.u64()?), Seq(fields.u64()?), fields.array()?);
            if time >= begin {
                ids.insert(key, Given { epoch, seq, hash }, time);
            }
        }
        Ok(ids)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.by_age.pop_front() {
            self.given.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(seq: u64) -> Given {
        Given { epoch: Epoch(1), seq: Seq(seq), hash: [seq as u8; 16] }
    }

    #[test]
    fn an_id_is_known_for_ten_minutes() {
        let (hasher, mut ids) = (IdHasher::default(), Ids::default());
        let key = hasher.hash("s", "agent/1", "a");
        ids.insert(key, given(1), 1000);
        assert_eq!(hasher.hash("s", "agent/1", "a"), key);
        ids.expire(1000 + 600_000);
        assert_eq!(ids.get(key), Some(given(1)));
        ids.expire(1000 + 600_001);
        assert_eq!((ids.get(key), ids.by_age.len()), (None, 0));
    }

    #[test]
    fn no_more_ids_than_stated_are_kept() {
        let mut ids = Ids::default();
        for n in 0..REMEMBERED as u64 + 1 {
            ids.insert(IdKey(n, 0), given(n), 5);
        }
        assert_eq!((ids.given.len(), ids.get(IdKey(0, 0))), (REMEMBERED, None));
        assert!(ids.get(IdKey(1, 0)).is_some());
    }

    #[test]
    fn an_id_that_was_taken_back_and_given_again_is_known_for_ten_minutes() {
        let mut ids = Ids::default();
        let (taken, kept) = (IdKey(1, 0), IdKey(2, 0));
        ids.insert(taken, given(1), 1000);
        ids.insert(kept, given(2), 1000);
        ids.take_back([taken].into_iter());
        assert_eq!((ids.get(taken), ids.get(kept)), (None, Some(given(2))));
        ids.insert(taken, given(2), 500_000);
        ids.expire(1000 + 600_001);
        assert_eq!((ids.get(taken), ids.get(kept)), (Some(given(2)), None));
    }

    #[test]
    fn the_parts_of_an_id_are_not_run_together() {
        let hasher = IdHasher::default();
        assert_ne!(hasher.hash("a", "bc", "d"), hasher.hash("ab", "c", "d"));
        assert_ne!(hasher.hash("a", "b", "cd"), hasher.hash("a", "bc", "d"));
    }
}
