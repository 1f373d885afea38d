//! Whether a history is one that was promised.
//!
//! Two passes: what was written and announced of each leaf, sorted; then each read by itself, with a binary search for
//! each leaf that it saw.

#[cfg(test)]
mod tests;

use crate::history::{Leaf, Operation, Promise, Seen, Time, is_absent};

/// A read that should not have been answered so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It is older than what the read had to see (I1, I2, I3, I4, I6, I8, I9).
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
    /// It is newer than anything written before the read ended (I5).
    FromTheFuture {
        /// The place of the read in the history.
        read: usize,
        /// The leaf.
        leaf: Leaf,
    },
    /// It was made from two versions of one leaf (I5).
    Mixed {
        /// The place of the read in the history.
        read: usize,
        /// The leaf.
        leaf: Leaf,
    },
    /// At no instant of the read were all leaves so (I2, `verified`).
    NeverAtOnce {
        /// The place of the read in the history.
        read: usize,
    },
    /// It is what was in memory when the load failed, and the reader had not asked for that (I7).
    Unasked {
        /// The place of the read in the history.
        read: usize,
    },
}

impl Violation {
    /// Returns the place of the read in the history.
    pub fn read(&self) -> usize {
        match self {
            Self::Stale { read, .. }
            | Self::FromTheFuture { read, .. }
            | Self::Mixed { read, .. }
            | Self::NeverAtOnce { read }
            | Self::Unasked { read } => *read,
        }
    }

    /// Returns the last changes of the leaf that it is about, of those that began before the read ended.
    pub fn known_before<'a>(&self, history: &'a [Operation]) -> Vec<&'a Operation> {
        let (Self::Stale { leaf: about, .. }
        | Self::FromTheFuture { leaf: about, .. }
        | Self::Mixed { leaf: about, .. }) = self
        else {
            return Vec::new();
        };
        let Operation::Read { end: until, .. } = history[self.read()] else { return Vec::new() };
        let is_about = |one: &&Operation| match one {
            Operation::Write { leaf, begin: at, .. }
            | Operation::Announce { leaf, end: at, .. }
            | Operation::Visible { leaf, at, .. } => leaf == about && *at < until,
            Operation::Read { .. } => false,
        };
        let all: Vec<_> = history.iter().filter(is_about).collect();
        all[all.len().saturating_sub(8)..].to_vec()
    }
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

    /// Returns the moment at which a version was reached, if it was.
    fn reached(&self, version: u64) -> Option<Time> {
        self.0.get(self.0.partition_point(|(_, at)| *at < version)).map(|(time, _)| *time)
    }
}

/// What is known of a leaf.
#[derive(Default)]
struct Known {
    announced: Steps,
    begun: Steps,
    written: Steps,
}

/// What is known of all leaves: their numbers are small.
#[derive(Default)]
struct Leaves {
    known: Vec<Known>,
    nothing: Known,
}

impl Leaves {
    fn of(history: &[Operation]) -> Self {
        let mut leaves = Self::default();
        for operation in history {
            match *operation {
                Operation::Write { leaf, version, begin, end } => {
                    leaves.entry(leaf).begun.add(begin, version);
                    leaves.entry(leaf).written.add(end, version);
                }
                Operation::Announce { leaf, version, end: at } | Operation::Visible { leaf, version, at } => {
                    leaves.entry(leaf).announced.add(at, version);
                }
                Operation::Read { .. } => {}
            }
        }
        for known in &mut leaves.known {
            known.announced.settle();
            known.begun.settle();
            known.written.settle();
        }
        leaves
    }

    fn entry(&mut self, leaf: Leaf) -> &mut Known {
        let place = leaf as usize;
        if self.known.len() <= place {
            self.known.resize_with(place + 1, Known::default);
        }
        &mut self.known[place]
    }

    fn get(&self, leaf: Leaf) -> &Known {
        self.known.get(leaf as usize).unwrap_or(&self.nothing)
    }
}

/// Returns every violation, in the order of the reads. Costs O(n log n).
pub fn judge(history: &[Operation]) -> Vec<Violation> {
    let leaves = Leaves::of(history);
    let mut violations = Vec::new();
    for (read, operation) in history.iter().enumerate() {
        let Operation::Read { promise, saw, begin, end } = operation else { continue };
        let view = View { leaves: &leaves, read, promise: *promise, begin: *begin, end: *end };
        if *promise == (Promise::OnError { asked: false }) {
            violations.push(Violation::Unasked { read });
        }
        for (place, &(leaf, seen)) in saw.iter().enumerate() {
            // A value has a handful of leaves: looking at them is quicker than a map.
            if saw[..place].iter().any(|&(other, before)| other == leaf && before != seen) {
                violations.push(Violation::Mixed { read, leaf });
            }
            violations.extend(view.fault(leaf, seen));
        }
        if *promise == Promise::Instant && !view.is_at_once(saw) {
            violations.push(Violation::NeverAtOnce { read });
        }
    }
    violations
}

/// One read before what is known.
struct View<'a> {
    leaves: &'a Leaves,
    read: usize,
    promise: Promise,
    begin: Time,
    end: Time,
}

impl View<'_> {
    /// Returns the oldest version that the read may see.
    fn oldest(&self, known: &Known) -> u64 {
        match self.promise {
            Promise::Nothing | Promise::OnError { .. } => 0,
            Promise::Announced => known.announced.before(self.begin),
            Promise::AnnouncedBefore(time) => known.announced.before(time.min(self.begin)),
            Promise::Written | Promise::Instant => known.written.before(self.begin),
        }
    }

    fn fault(&self, leaf: Leaf, saw: Seen) -> Option<Violation> {
        let known = self.leaves.get(leaf);
        let (oldest, newest) = (self.oldest(known), known.begun.before(self.end));
        let read = self.read;
        match saw {
            Seen::Version(version) if version < oldest => Some(Violation::Stale { read, leaf, saw, oldest }),
            Seen::Version(version) if version > newest || is_absent(version) => {
                Some(Violation::FromTheFuture { read, leaf })
            }
            Seen::Absent if !(oldest..=newest).any(is_absent) => {
                Some(Violation::Stale { read, leaf, saw, oldest })
            }
            Seen::Version(_) | Seen::Absent => None,
        }
    }

    /// Says whether there was an instant of the read at which the leaves can have been so. Absence is left out: it may
    /// be that of several versions.
    fn is_at_once(&self, saw: &[(Leaf, Seen)]) -> bool {
        let (mut from, mut to) = (self.begin, self.end);
        for &(leaf, seen) in saw {
            let Seen::Version(version) = seen else { continue };
            let known = self.leaves.get(leaf);
            if version > 0 {
                from = from.max(known.begun.reached(version).unwrap_or(from));
            }
            to = to.min(known.written.reached(version + 1).unwrap_or(to));
        }
        from <= to
    }
}
