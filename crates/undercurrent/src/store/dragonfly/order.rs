//! What this process has seen of the order, and how it becomes what hits in memory look at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use undercurrent_types::{Incarnation, Name, Position, Token};

use super::claim::Mark;
use crate::ablation::{Step, skips};
use crate::store::Horizon;

/// How many incarnations are remembered that were left.
const LEFT: usize = 8;
/// How many positions are remembered with their nonces.
const MARKS: usize = 1 << 16;

/// The horizon with what proves that the server still is where it was.
///
/// A mutex held for the time of a few stores: it puts the answers in one order before they reach the atomics.
pub(super) struct Order {
    pub(super) horizon: Horizon,
    known: Mutex<Known>,
    /// What the positions of loads are known by; a mutex held for a look.
    marks: Mutex<Marks>,
    /// The incarnations that were left, which are not joined again.
    left: Mutex<VecDeque<Incarnation>>,
}

/// What every request carries, so that a server that went back is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The position up to which the order has been applied. Moved by barriers alone, one at a time: so nothing
    /// between two of them is missed, even where the server went back and gave positions again.
    pub(super) applied: Mark,
    /// The highest position of any answer.
    pub(super) seen: Mark,
}

/// The positions of one incarnation that loads may have begun at, each with its nonce; at most [`MARKS`], the oldest
/// go first.
#[derive(Default)]
struct Marks(BTreeMap<Position, Arc<str>>);

impl Marks {
    fn note(&mut self, mark: &Mark) {
        self.0.entry(mark.at.position).or_insert_with(|| mark.nonce.clone());
        if self.0.len() > MARKS {
            self.0.pop_first();
        }
    }
}

/// What a barrier found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// The names moved since the position that was asked about, each with its own position.
    Moved(Vec<(Position, Vec<Name>)>),
    /// Nobody can say any more.
    Jump,
}

impl Order {
    /// Begins where a claim stands.
    pub(super) fn starting_at(mark: Mark) -> Self {
        let Token { inc, position } = mark.at;
        let known = Mutex::new(Known { applied: mark.clone(), seen: mark });
        let horizon = Horizon::starting_at(inc, position);
        Self { horizon, known, marks: Mutex::default(), left: Mutex::default() }
    }

    /// Returns what a request has to carry.
    pub(super) fn known(&self) -> Known {
        self.known.lock().clone()
    }

    /// Returns the incarnations that were left.
    pub(super) fn left(&self) -> Vec<Incarnation> {
        self.left.lock().iter().copied().collect()
    }

    /// Takes in a claim: where it has another incarnation, what was known before is worth nothing.
    pub(super) fn claimed(&self, mark: &Mark) {
        let mut known = self.known.lock();
        if mark.at.inc != known.seen.at.inc {
            let mut left = self.left.lock();
            left.push_back(known.seen.at.inc);
            if left.len() > LEFT {
                left.pop_front();
            }
            known.applied = mark.clone();
            known.seen = mark.clone();
            self.marks.lock().0.clear();
            self.horizon.begin(mark.at.inc, mark.at.position);
        } else if mark.at.position > known.seen.at.position {
            known.seen = mark.clone();
        }
    }

    /// Notes the position of an answer.
    pub(super) fn note(&self, mark: &Mark) {
        let mut known = self.known.lock();
        if mark.at.inc != known.seen.at.inc {
            return;
        }
        self.marks.lock().note(mark);
        if mark.at.position > known.seen.at.position {
            known.seen = mark.clone();
        }
    }

    /// Returns what tells a position that an answer gave from another of the same number, while it is remembered.
    pub(super) fn nonce_of(&self, at: Token) -> Option<Arc<str>> {
        let known = self.known.lock();
        let marks = (at.inc == known.seen.at.inc).then(|| self.marks.lock())?;
        marks.0.get(&at.position).cloned()
    }

    /// Raises the floors of names that were moved at a position, before a barrier tells of them.
    pub(super) fn raise<'a>(&self, names: impl IntoIterator<Item = &'a Name>, at: Token) {
        let known = self.known.lock();
        if at.inc == known.seen.at.inc {
            self.horizon.raise(names, at.position);
        }
    }

    /// Raises the floors of what this node published.
    pub(super) fn published<'a>(&self, names: impl IntoIterator<Item = &'a Name>, at: &Mark) {
        self.raise(names, at.at);
        if skips(Step::AppliedInOrder) {
            let mut known = self.known.lock();
            if at.at.inc == known.seen.at.inc && at.at.position > known.applied.at.position {
                known.applied = at.clone();
                self.horizon.advance(at.at.position);
            }
        }
    }

    /// Takes in what a barrier found that was asked when this had been applied; says whether that still is so.
    pub(super) fn apply(&self, since: &Since, asked: &Mark, at: &Mark) -> bool {
        let mut known = self.known.lock();
        if *asked != known.applied {
            return false;
        }
        let Token { inc, position } = at.at;
        match since {
            Since::Jump => self.horizon.begin(inc, position),
            Since::Moved(records) => {
                records.iter().for_each(|(position, names)| self.horizon.raise(names, *position));
                self.horizon.advance(position);
            }
        }
        known.applied = at.clone();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(inc: u64, position: u64) -> Mark {
        let at = Token { inc: Incarnation(inc), position: Position(position) };
        Mark { at, nonce: format!("{inc}-{position}").into() }
    }

    #[test]
    fn the_answer_of_a_late_barrier_is_not_applied_across_incarnations() {
        let order = Order::starting_at(mark(1, 5));
        let asked = order.known().applied;
        order.claimed(&mark(2, 9));
        assert!(!order.apply(&Since::Jump, &asked, &mark(1, 6)));
        assert_eq!(order.horizon.incarnation(), Incarnation(2));
        assert_eq!(order.known().applied, mark(2, 9));
    }
}
