//! The one number of an entry, and the predicate that memory alone can evaluate.

use undercurrent_types::Position;

use crate::ablation::{Gap, Step, gap, skips};
use crate::store::{Horizon, Slot};
use crate::sync::{AtomicU64, Ordering};

/// The position that a value is known to be good for. It never falls; 0 says that nobody vouches for it.
#[derive(Debug)]
pub(crate) struct AsOf(AtomicU64);

/// What memory alone says of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is good for a position that is not below the barrier.
    Current,
    /// None of its names moved up to such a position, to which it has been raised.
    Unmoved,
    /// A floor says no: one of its names has moved since this position, or another name in the same slot.
    Floor(Position),
    /// The barrier is above everything that this process has applied.
    Ahead,
}

impl AsOf {
    pub(crate) fn new(position: Position) -> Self {
        Self(AtomicU64::new(position.0))
    }

    #[inline]
    pub(crate) fn get(&self) -> Position {
        Position(self.0.load(Ordering::Acquire))
    }

    pub(crate) fn raise(&self, position: Position) {
        self.0.fetch_max(position.0, Ordering::AcqRel);
    }

    /// Judges a value with these slots at a position that is not below `barrier`.
    ///
    /// `applied` is read before the floors: a floor that is raised between the two reads is above it. And the value is
    /// raised to that `applied`, not to one read later.
    #[inline]
    pub(crate) fn judge(&self, horizon: &Horizon, slots: &[Slot], barrier: Position) -> Verdict {
        let as_of = self.get();
        if as_of >= barrier {
            return Verdict::Current;
        }
        let applied = horizon.applied();
        if applied < barrier {
            return Verdict::Ahead;
        }
        gap(Gap::Open);
        if slots.iter().any(|slot| horizon.floor(*slot) > as_of) {
            return Verdict::Floor(as_of);
        }
        gap(Gap::Open);
        self.raise(if skips(Step::RaiseToFirst) { horizon.applied() } else { applied });
        Verdict::Unmoved
    }
}
