//! Whether a history is one that was promised.

use std::collections::BTreeMap;

use crate::history::{Leaf, Operation, Promise, Seen, Time, is_absent};

/// A read that should not have been answered so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It is older than what the read had to see.
    Stale {
        /// The place of the read in the history.
        read: usize,
        /// The leaf that is old.
        leaf: Leaf,
        /// What it saw.
        saw: Seen,
        /// The oldest version that would have done.
        oldest: u64,
    },
    /// It is newer than anything written before the read ended.
    FromTheFuture {
        /// The place of the read in the history.
        read: usize,
        /// The leaf.
        leaf: Leaf,
    },
    /// It was made from two versions of one leaf.
    Mixed {
        /// The place of the read in the history.
        read: usize,
        /// The leaf.
        leaf: Leaf,
    },
}

/// What must be seen from a moment on: the highest version of all steps up to it.
#[derive(Default)]
struct Steps(Vec<(Time, u64)>);

impl Steps {
    fn add(&mut self, time: Time, version: u64) {
        self.0.push((time, version));
    }

    /// Sorts the steps and makes each carry the highest version so far.
    fn settle(&mut self) {
        self.0.sort_unstable();
        let mut highest = 0;
        for (_, version) in &mut self.0 {
            highest = highest.max(*version);
            *version = highest;
        }
    }

    /// Returns the highest version of the steps before a moment.
    fn before(&self, time: Time) -> u64 {
        let count = self.0.partition_point(|(at, _)| *at < time);
        if count == 0 { 0 } else { self.0[count - 1].1 }
    }
}

#[derive(Default)]
struct Known {
    announced: Steps,
    written: Steps,
    begun: Steps,
}

/// Returns every violation, in the order of the reads. Costs O(n log n).
pub fn judge(history: &[Operation]) -> Vec<Violation> {
    let mut leaves: BTreeMap<Leaf, Known> = BTreeMap::new();
    for operation in history {
        match *operation {
            Operation::Write { leaf, version, begin, end } => {
                let known = leaves.entry(leaf).or_default();
                known.begun.add(begin, version);
                known.written.add(end, version);
            }
            Operation::Announce { leaf, version, end } => {
                leaves.entry(leaf).or_default().announced.add(end, version);
            }
            Operation::Read { .. } => {}
        }
    }
    for known in leaves.values_mut() {
        known.announced.settle();
        known.written.settle();
        known.begun.settle();
    }
    let nothing = Known::default();
    let mut violations = Vec::new();
    for (read, operation) in history.iter().enumerate() {
        let Operation::Read { promise, saw, begin, end } = operation else { continue };
        let mut first: BTreeMap<Leaf, Seen> = BTreeMap::new();
        for &(leaf, seen) in saw {
            if *first.entry(leaf).or_insert(seen) != seen {
                violations.push(Violation::Mixed { read, leaf });
            }
            let known = leaves.get(&leaf).unwrap_or(&nothing);
            let oldest = match promise {
                Promise::Nothing => 0,
                Promise::Announced => known.announced.before(*begin),
                Promise::Written => known.written.before(*begin),
            };
            let newest = known.begun.before(*end);
            match seen {
                Seen::Version(version) if version < oldest => {
                    violations.push(Violation::Stale { read, leaf, saw: seen, oldest });
                }
                Seen::Version(version) if version > newest || is_absent(version) => {
                    violations.push(Violation::FromTheFuture { read, leaf });
                }
                Seen::Absent if !(oldest..=newest).any(is_absent) => {
                    violations.push(Violation::Stale { read, leaf, saw: seen, oldest });
                }
                Seen::Version(_) | Seen::Absent => {}
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(version: u64, begin: Time, end: Time) -> Operation {
        Operation::Write { leaf: 0, version, begin, end }
    }

    fn announce(version: u64, end: Time) -> Operation {
        Operation::Announce { leaf: 0, version, end }
    }

    fn read(promise: Promise, saw: &[u64], begin: Time, end: Time) -> Operation {
        let saw = saw.iter().map(|version| (0, Seen::Version(*version))).collect();
        Operation::Read { promise, saw, begin, end }
    }

    fn check(history: &[Operation], good: bool) {
        assert_eq!(judge(history).is_empty(), good, "{history:?}: {:?}", judge(history));
    }

    #[test]
    fn a_fresh_read_may_be_old_until_the_change_is_announced() {
        let changed = [write(1, 1, 2), announce(1, 5)];
        for (begin, saw, good) in [(3, 0, true), (4, 0, true), (6, 0, false), (6, 1, true), (3, 1, true)] {
            let mut history = changed.to_vec();
            history.push(read(Promise::Announced, &[saw], begin, 9));
            check(&history, good);
        }
    }

    #[test]
    fn an_announcement_counts_for_the_version_that_it_began_with() {
        let history = [write(1, 1, 2), write(2, 3, 4), announce(1, 5), read(Promise::Announced, &[1], 6, 7)];
        check(&history, true);
    }

    #[test]
    fn a_verified_read_must_see_what_was_written_before_it_began() {
        check(&[write(1, 1, 2), read(Promise::Written, &[0], 3, 4)], false);
        check(&[write(1, 1, 5), read(Promise::Written, &[0], 3, 4)], true);
        check(&[write(1, 1, 5), read(Promise::Written, &[1], 3, 4)], true);
    }

    #[test]
    fn nothing_comes_from_the_future() {
        check(&[read(Promise::Nothing, &[1], 1, 2), write(1, 3, 4)], false);
        check(&[read(Promise::Nothing, &[1], 1, 4), write(1, 3, 5)], true);
    }

    #[test]
    fn nothing_is_mixed() {
        let two = [write(1, 1, 2), write(2, 3, 4), read(Promise::Nothing, &[1, 2], 5, 6)];
        check(&two, false);
    }

    #[test]
    fn absence_is_held_to_the_same() {
        let gone = |begin| {
            let saw = vec![(0, Seen::Absent)];
            Operation::Read { promise: Promise::Announced, saw, begin, end: begin + 1 }
        };
        let writes = [write(1, 1, 1), write(2, 2, 2), write(3, 3, 3), write(4, 4, 4)];
        check(&[&writes[..], &[announce(4, 10), gone(8)]].concat(), true);
        check(&[&writes[..], &[announce(4, 10), gone(11)]].concat(), false);
    }
}
