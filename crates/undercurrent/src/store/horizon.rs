//! What this process knows of a namespace's order.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use undercurrent_types::{Incarnation, Name, Position};

use crate::sync::{AtomicU64, Bell, Ordering, SLOTS};

/// The place of a name's floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u16);

impl Slot {
    /// Returns the slot of a name: the same for the whole life of the process.
    pub fn of(name: &Name) -> Self {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
        Self((hash % SLOTS as u64) as u16)
    }
}

/// The position up to which this process has applied the order, and an array of floors.
///
/// `floor[slot]` is the highest position at which a name of that slot was invalidated. Written by the store alone:
/// floors first, then `applied`. Read by every hit: `applied` first, then floors. So whoever sees a position sees
/// the floors of everything up to it. No lock, no allocation; 512 KiB.
#[derive(Debug)]
pub struct Horizon {
    incarnation: AtomicU64,
    applied: AtomicU64,
    floors: Box<[AtomicU64]>,
    /// Rung after each advance.
    moved: Bell,
}

impl Horizon {
    /// Begins at a position, with every floor there: what was known before is worth nothing.
    pub fn starting_at(incarnation: Incarnation, position: Position) -> Self {
        Self {
            incarnation: AtomicU64::new(incarnation.0),
            applied: AtomicU64::new(position.0),
            floors: (0..SLOTS).map(|_| AtomicU64::new(position.0)).collect(),
            moved: Bell::default(),
        }
    }

    /// Returns the incarnation that positions belong to.
    #[inline]
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation.load(Ordering::Acquire))
    }

    /// Returns the position up to which the floors tell everything.
    #[inline]
    pub fn applied(&self) -> Position {
        Position(self.applied.load(Ordering::Acquire))
    }

    /// Returns the highest position at which a name of this slot was invalidated, up to `applied` at least.
    #[inline]
    pub fn floor(&self, slot: Slot) -> Position {
        Position(self.floors[usize::from(slot.0)].load(Ordering::Acquire))
    }

    /// Raises the floors of names that were invalidated at a position. For stores: before [`Horizon::advance`].
    /// In the model: `memory::barrier::apply`, `memory::node_invalidated`.
    pub fn raise<'a>(&self, names: impl IntoIterator<Item = &'a Name>, position: Position) {
        for name in names {
            self.floors[usize::from(Slot::of(name).0)].fetch_max(position.0, Ordering::AcqRel);
        }
    }

    /// Publishes that everything up to a position has been applied. For stores: after [`Horizon::raise`]. In the model: `memory::barrier::apply`.
    pub fn advance(&self, position: Position) {
        self.applied.fetch_max(position.0, Ordering::AcqRel);
        self.moved.notify_waiters();
    }

    /// Begins anew at a position that is not below any before: what was known until now is worth nothing. For stores,
    /// where the order has a new incarnation, or they have missed what was invalidated.
    pub fn begin(&self, incarnation: Incarnation, position: Position) {
        for floor in &self.floors {
            floor.fetch_max(position.0, Ordering::AcqRel);
        }
        self.applied.fetch_max(position.0, Ordering::AcqRel);
        self.incarnation.store(incarnation.0, Ordering::Release);
        self.moved.notify_waiters();
    }

    /// Returns what is rung after each advance: listen first, then look, and nothing is missed.
    pub(crate) fn moved(&self) -> &Bell {
        &self.moved
    }
}
