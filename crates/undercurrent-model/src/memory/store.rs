//! The store of a namespace: READ and COMMIT, each one step.

use crate::order::{Order, Position, Standing};

use super::{CLOSURE, Memory, State, Target};

/// What stands under the key, at the store or in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) value: u8,
    pub(super) h: Position,
    pub(super) as_of: Position,
}

/// The order and the entry that all nodes share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Store {
    pub(super) order: Order,
    pub(super) entry: Option<Entry>,
}

/// The answer to READ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Found {
    Valid(Entry),
    /// A miss, with the position where the load begins.
    Miss(Position),
}

/// The answer to COMMIT.
pub(super) enum Committed {
    Accepted(Position),
    Refused,
}

impl Memory {
    fn holds(&self, store: &Store, as_of: Position) -> bool {
        store.order.standing(CLOSURE, as_of, &self.steps.order) == Standing::Valid
    }

    /// READ: a valid entry with its `as_of` raised, or a miss. In the code: `store::Store::barrier`, and the look at
    /// what stands in memory that `cache::fill::attempt` takes at that position.
    pub(super) fn read_at_store(&self, store: &mut Store) -> Found {
        let position = store.order.position();
        match store.entry {
            Some(entry) if self.holds(store, entry.as_of) => {
                let entry = Entry { as_of: position, ..entry };
                store.entry = Some(entry);
                Found::Valid(entry)
            }
            _ => Found::Miss(position),
        }
    }

    /// COMMIT: kept if the predicate holds at h, and announced if it differs from what was still valid. In the code:
    /// `cache::fill::commit`.
    pub(super) fn commit_at_store(&self, state: &mut State, h: Position, value: u8) -> Committed {
        let store = &mut state.store;
        let valid = store.entry.filter(|entry| self.holds(store, entry.as_of));
        let differs = valid.filter(|entry| entry.value != value);
        if let Some(other) = differs
            && other.h >= h
            && self.steps.unknown_order_keeps_neither
        {
            store.entry = None;
            state.must.invalidated = store.order.invalidate(Target::Key.name(), &self.steps.order);
            return Committed::Refused;
        }
        let refused = self.steps.commit_asks_the_predicate && !self.holds(store, h);
        if let Some(other) = differs {
            state.must.found = state.must.found.max(h).max(other.h);
            let announces = if refused { self.steps.refusal_announces } else { self.steps.announce_change };
            if announces {
                store.order.invalidate(Target::Key.name(), &self.steps.order);
            }
        }
        if refused {
            return Committed::Refused;
        }
        let as_of = store.order.position();
        store.entry = Some(Entry { value, h, as_of });
        Committed::Accepted(as_of)
    }
}
