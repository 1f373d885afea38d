//! The ids that have been published of late: what makes publishing idempotent.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use undercurrent_types::{Epoch, Seq};

/// How many ids are remembered.
pub(super) const REMEMBERED: usize = 1 << 20;
/// For how long an id is remembered.
pub(super) const WINDOW: Duration = Duration::from_secs(600);

/// The hash of a stream, a source and an id: 128 bits under keys that only this process knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct IdKey(u64, u64);

/// Makes [`IdKey`]s. Shared by all publishers, without a lock.
#[derive(Default)]
pub(super) struct IdHasher(RandomState, RandomState);

impl IdHasher {
    pub(super) fn hash(&self, stream: &str, source: &str, id: &str) -> IdKey {
        let parts = (stream, source, id);
        IdKey(self.0.hash_one(parts), self.1.hash_one(parts))
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
    given: HashMap<IdKey, Given>,
    by_age: VecDeque<(u64, IdKey)>,
}

impl Ids {
    pub(super) fn get(&self, key: IdKey) -> Option<Given> {
        self.given.get(&key).copied()
    }

    /// Remembers an id, and forgets those that the window has passed.
    pub(super) fn insert(&mut self, key: IdKey, given: Given, now_ms: u64) {
        self.expire(now_ms);
        self.given.insert(key, given);
        self.by_age.push_back((now_ms, key));
        if self.by_age.len() > REMEMBERED {
            self.forget_oldest();
        }
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
