//! The scripts of the store: READ, COMMIT and RESTAMP, each one step.

use crate::order::{Closure, Standing};

use super::entry::Entry;
use super::{Dependencies, Key, State};

impl Dependencies {
    fn is_valid(&self, state: &State, entry: &Entry) -> bool {
        let exempt = entry.value == 0 && !self.steps.negative_alike;
        let standing = state.order.standing(entry.closure, entry.as_of, &self.steps.order);
        exempt || standing == Standing::Valid
    }

    /// READ: the entry with its `as_of` raised, if it is valid. In the code: `cache::read::still_good`.
    pub(super) fn read_valid(&self, state: &mut State, key: Key) -> Option<Entry> {
        let mut entry = state.entries[key.index()].clone().filter(|entry| self.is_valid(state, entry))?;
        entry.as_of = state.order.position();
        state.entries[key.index()] = Some(entry.clone());
        Some(entry)
    }

    /// Says whether an own name of an entry moved since it was found good, or is in doubt. In the code:
    /// `cache::fill::own_moved`.
    pub(super) fn own_moved(&self, state: &State, key: Key, entry: &Entry) -> bool {
        let good = entry.as_of.max(entry.h);
        state.order.standing(key.own(), good, &self.steps.order) != Standing::Valid
    }

    /// COMMIT: keeps a value if the predicate holds at its h, and announces it if it differs from what was still
    /// valid. In the code: `cache::fill::commit`.
    pub(super) fn commit(&self, state: &mut State, key: Key, mut entry: Entry) {
        let place = key.index();
        let valid = state.entries[place].as_ref().filter(|standing| self.is_valid(state, standing));
        let other_h = valid.filter(|standing| standing.value != entry.value).map(|standing| standing.h);
        if other_h.is_some_and(|h| h >= entry.h) && self.steps.unknown_order_keeps_neither {
            state.entries[place] = None;
            state.order.invalidate(key.name(), &self.steps.order);
            return;
        }
        let names =
            if self.steps.commit_asks_the_closure { entry.closure } else { Closure::of(&[key.name()]) };
        let standing = self.predicate(state, names, entry.h);
        if let Some(h) = other_h {
            // It counts from the later of the two loads on.
            state.found[place] = state.found[place].max(entry.h).max(h);
            let announces = match standing {
                Standing::Valid => self.steps.announce_change,
                Standing::Moved | Standing::InDoubt => self.steps.refusal_announces,
            };
            if announces {
                state.order.invalidate(key.name(), &self.steps.order);
            }
        }
        entry.as_of = match standing {
            Standing::Moved => return,
            Standing::InDoubt => 0,
            Standing::Valid => state.order.position(),
        };
        state.entries[place] = Some(entry);
    }

    /// RESTAMP: a COMMIT of the same version over the entry that READ returned. In the code: `cache::fill::restamp`.
    pub(super) fn restamp(&self, state: &mut State, key: Key, old: &Entry, mut entry: Entry) {
        let h = if self.steps.restamp_at_h { entry.h } else { state.order.position() };
        entry.as_of = match self.predicate(state, entry.closure, h) {
            Standing::Moved => return,
            Standing::InDoubt => 0,
            Standing::Valid => state.order.position(),
        };
        let place = key.index();
        let Some(standing) = &state.entries[place] else { return };
        let same = (standing.value, &standing.inputs) == (old.value, &old.inputs);
        let valid = self.is_valid(state, standing);
        if same || !self.steps.restamp_over_the_same {
            if !same && valid {
                state.found[place] = state.found[place].max(entry.h).max(standing.h);
            }
            state.entries[place] = Some(entry);
        } else if valid && standing.value != old.value {
            // Nobody can say which of them is the later one.
            state.entries[place] = None;
            state.order.invalidate(key.name(), &self.steps.order);
        }
    }

    fn predicate(&self, state: &State, names: Closure, h: u8) -> Standing {
        if !self.steps.commit_asks_the_predicate {
            return Standing::Valid;
        }
        state.order.standing(names, h, &self.steps.order)
    }
}
