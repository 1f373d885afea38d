//! What happened, as seen from outside.

/// A moment: every operation's begin and end takes the next.
pub type Time = u64;

/// The place of a leaf: a key whose value is a version counted by its one writer.
pub type Leaf = usize;

/// What was done. Times are those of begin and end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The source of a leaf went to a version. Versions of a leaf rise by one.
    Write {
        /// Which leaf.
        leaf: Leaf,
        /// To which version.
        version: u64,
        /// Begin.
        begin: Time,
        /// End.
        end: Time,
    },
    /// Reads that begin after the end must see at least this version.
    Announce {
        /// Which leaf.
        leaf: Leaf,
        /// The version that the source had at the begin.
        version: u64,
        /// End: the invalidation has returned.
        end: Time,
    },
    /// A read answered.
    Read {
        /// What it promises.
        promise: Promise,
        /// What it saw of each leaf, once for each way by which the leaf came into the value.
        saw: Vec<(Leaf, Seen)>,
        /// Begin.
        begin: Time,
        /// End.
        end: Time,
    },
}

/// What a read promises about how new its value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Only that the value once was (I5).
    Nothing,
    /// Everything that was announced before it began (I1).
    Announced,
    /// Everything that was written before it began (I2).
    Written,
}

/// What a read saw of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// A version.
    Version(u64),
    /// That the leaf is not there: true of every version for which [`is_absent`] says so.
    Absent,
}

/// Says in which versions a leaf is not there.
pub fn is_absent(version: u64) -> bool {
    version % 4 == 3
}
