//! The position of each name's last invalidation, and the predicate over it.

use std::collections::{HashMap, VecDeque};

use undercurrent_types::{Name, Position};

use crate::ablation::{Step, skips};
use crate::store::{Invalidation, Mark};

/// How many names are remembered. Older ones count as invalidated at `low`.
pub(super) const NAMES: usize = 1 << 20;

/// `last`: bounded in names. The oldest whose mark is clear are retired, and raise `low`.
pub(super) struct Last {
    by_name: HashMap<Name, Moved>,
    /// Names by the position of an invalidation, oldest first; passed over if it is not the name's last.
    by_age: VecDeque<(Position, Name)>,
    low: Position,
    limit: usize,
}

#[derive(Clone, Copy)]
struct Moved {
    at: Position,
    in_doubt: bool,
}

/// What the predicate says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Valid,
    Moved,
    InDoubt,
}

impl Last {
    /// Begins empty: everything counts as invalidated at `low`.
    pub(super) fn starting_at(low: Position, limit: usize) -> Self {
        Self { by_name: HashMap::new(), by_age: VecDeque::new(), low, limit }
    }

    /// Sets the position of a name.
    pub(super) fn set(&mut self, Invalidation { name, mark, .. }: &Invalidation, at: Position) {
        let moved = self.by_name.entry(name.clone()).or_insert(Moved { at, in_doubt: false });
        moved.at = at;
        match mark {
            Mark::Keep if skips(Step::DoubtKept) => moved.in_doubt = false,
            Mark::Keep => {}
            Mark::InDoubt => moved.in_doubt = true,
            Mark::Vouched => moved.in_doubt = false,
        }
        self.by_age.push_back((at, name.clone()));
        while self.by_name.len() > self.limit && self.retire_oldest() {}
        if self.by_age.len() > 2 * self.by_name.len() + 1024 {
            let by_name = &self.by_name;
            self.by_age.retain(|(at, name)| by_name.get(name).is_some_and(|moved| moved.at == *at));
        }
    }

    /// Retires the oldest name, or passes over what is no longer the oldest. A name in doubt stays: it gets a new
    /// place in the row when its owner vouches for it.
    fn retire_oldest(&mut self) -> bool {
        let Some((at, name)) = self.by_age.pop_front() else {
            return false;
        };
        if self.by_name.get(&name).is_some_and(|moved| moved.at == at && !moved.in_doubt) {
            self.by_name.remove(&name);
            if !skips(Step::LowRaised) {
                self.low = self.low.max(at);
            }
        }
        true
    }

    /// Returns the position of a name, where it is remembered, and its mark.
    pub(super) fn get(&self, name: &Name) -> (Option<Position>, bool) {
        let by_its_word = name.unwatched_root().is_some();
        match self.by_name.get(name) {
            Some(moved) => (Some(moved.at), moved.in_doubt || by_its_word),
            None => (None, by_its_word),
        }
    }

    /// Evaluates the predicate: has a name moved since `as_of`, and can all be vouched for?
    pub(super) fn standing(&self, closure: &[Name], as_of: Position) -> Standing {
        let mut in_doubt = false;
        let low = if skips(Step::AbsentIsLow) { Position(0) } else { self.low };
        for name in closure {
            let (at, doubt) = self.get(name);
            if at.unwrap_or(low) > as_of {
                return Standing::Moved;
            }
            in_doubt |= doubt;
        }
        if in_doubt { Standing::InDoubt } else { Standing::Valid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: u64) -> Name {
        Name::tag(&format!("t{n}")).unwrap()
    }

    fn moved(n: u64, mark: Mark) -> Invalidation {
        Invalidation { name: name(n), mark, event: None }
    }

    #[test]
    fn a_name_that_was_never_moved_counts_as_low() {
        let last = Last::starting_at(Position(7), 10);
        assert_eq!(last.standing(&[name(1)], Position(7)), Standing::Valid);
        assert_eq!(last.standing(&[name(1)], Position(6)), Standing::Moved);
    }

    #[test]
    fn the_oldest_name_retires_and_raises_low() {
        let mut last = Last::starting_at(Position(0), 2);
        for n in 1..=2 {
            last.set(&moved(n, Mark::Keep), Position(n));
        }
        last.set(&moved(1, Mark::Keep), Position(3));
        last.set(&moved(4, Mark::Keep), Position(4));
        assert_eq!(last.get(&name(2)), (None, false));
        assert_eq!((last.get(&name(1)), last.low), ((Some(Position(3)), false), Position(2)));
        assert_eq!(last.standing(&[name(9)], Position(1)), Standing::Moved);
    }

    #[test]
    fn a_name_in_doubt_is_not_retired_and_an_invalidation_keeps_its_mark() {
        let mut last = Last::starting_at(Position(0), 2);
        last.set(&moved(1, Mark::InDoubt), Position(1));
        for n in 2..9 {
            last.set(&moved(n, Mark::Keep), Position(n));
        }
        assert_eq!(last.get(&name(1)), (Some(Position(1)), true));
        last.set(&moved(1, Mark::Keep), Position(9));
        assert_eq!(last.standing(&[name(1)], Position(9)), Standing::InDoubt);
        assert_eq!(last.standing(&[name(1)], Position(8)), Standing::Moved);
        last.set(&moved(1, Mark::Vouched), Position(10));
        assert_eq!(last.standing(&[name(1)], Position(10)), Standing::Valid);
        for n in 11..13 {
            last.set(&moved(n, Mark::Keep), Position(n));
        }
        assert_eq!((last.get(&name(1)), last.low), ((None, false), Position(10)));
    }

    #[test]
    fn a_name_moved_over_and_over_takes_no_more_room() {
        let mut last = Last::starting_at(Position(0), 100);
        for n in 1..100_000 {
            last.set(&moved(n % 3, Mark::Keep), Position(n));
        }
        assert!(last.by_age.len() < 2000);
    }

    #[test]
    fn what_is_not_watched_is_in_doubt_by_its_word() {
        let last = Last::starting_at(Position(0), 10);
        assert_eq!(last.standing(&[Name::unwatched("/a")], Position(5)), Standing::InDoubt);
    }
}
