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
/// In the model: `shared::node::Node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The position up to which the order has been applied. Moved by barriers alone, each from where the last one came
    /// to: so nothing between two of them is missed, even where the server went back and gave positions again.
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

/// The names that were moved at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) at: Position,
    /// The nonce of the position before it.
    pub(super) before: String,
    pub(super) names: Vec<Name>,
}

/// What a barrier found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// What was moved at each position since the one that was asked about.
    Moved(Vec<Moved>),
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

    /// Takes in a claim: where it has another incarnation, what was known before is worth nothing. Says whether it could:
    /// an answer that came after CLAIM was sent may have been of a higher position, and the horizon never falls.
    /// In the model: `shared::claim::adopt`.
    #[must_use = "a claim that could not be taken in is to be made again"]
    pub(super) fn claimed(&self, mark: &Mark) -> bool {
        let mut known = self.known.lock();
        if mark.at.inc != known.seen.at.inc {
            let highest = known.seen.at.position.max(self.horizon.applied());
            if mark.at.position < highest {
                return false;
            }
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
        true
    }

    /// Notes the position of an answer.
    /// In the model: `shared::node::see`.
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

    /// Takes in what a barrier found that was asked when this had been applied; says whether it could be.
    /// In the model: `shared::node::apply`.
    pub(super) fn apply(&self, since: &Since, asked: &Mark, at: &Mark) -> bool {
        let mut known = self.known.lock();
        if *at == known.applied {
            return true;
        }
        let late = *asked != known.applied && !skips(Step::LateAnswerDropped);
        let moved = match since {
            Since::Jump if late => return false,
            Since::Jump => None,
            Since::Moved(all) if late => match behind(all, at.at.inc, &known.applied) {
                Some(moved) => Some(moved),
                None => return false,
            },
            Since::Moved(all) => Some(&all[..]),
        };
        let Token { inc, position } = at.at;
        match moved {
            None => self.horizon.begin(inc, position),
            Some(moved) => {
                moved.iter().for_each(|moved| self.horizon.raise(&moved.names, moved.at));
                self.horizon.advance(position);
            }
        }
        known.applied = at.clone();
        true
    }
}

/// Returns what of a late list was moved behind what has been applied since; `None` where it does not show that one
/// history has both.
fn behind<'a>(moved: &'a [Moved], inc: Incarnation, applied: &Mark) -> Option<&'a [Moved]> {
    let first = moved.iter().position(|moved| moved.at.0 == applied.at.position.0 + 1)?;
    (inc == applied.at.inc && *moved[first].before == *applied.nonce).then(|| &moved[first..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(inc: u64, position: u64) -> Mark {
        let at = Token { inc: Incarnation(inc), position: Position(position) };
        Mark { at, nonce: format!("{inc}-{position}").into() }
    }

    fn moved(position: u64) -> Moved {
        let name = format!("tag:{position}").parse().unwrap();
        Moved { at: Position(position), before: format!("1-{}", position - 1), names: vec![name] }
    }

    #[test]
    fn of_two_barriers_that_were_asked_at_once_the_second_goes_on_where_the_first_came_to() {
        let order = Order::starting_at(mark(1, 5));
        let asked = order.known().applied;
        assert!(order.apply(&Since::Moved(vec![moved(6)]), &asked, &mark(1, 6)));
        assert!(order.apply(&Since::Moved(vec![moved(6)]), &asked, &mark(1, 6)), "nothing has come since");
        assert!(order.apply(&Since::Moved([6, 7, 8].map(moved).into()), &asked, &mark(1, 8)));
        assert_eq!((order.horizon.applied(), order.known().applied), (Position(8), mark(1, 8)));
    }

    #[test]
    fn a_barrier_that_may_be_of_another_history_than_what_was_applied_since_is_asked_again() {
        let order = Order::starting_at(mark(1, 5));
        let asked = order.known().applied;
        assert!(order.apply(&Since::Moved([6, 7].map(moved).into()), &asked, &mark(1, 7)));
        let other = |position| Mark { nonce: "other".into(), ..mark(1, position) };
        assert!(!order.apply(&Since::Moved(vec![moved(6)]), &asked, &mark(1, 6)), "it is behind");
        assert!(
            !order.apply(&Since::Moved([6, 7].map(moved).into()), &asked, &other(7)),
            "another at its place"
        );
        let mut gone_back = [6, 7, 8].map(moved);
        gone_back[2].before = "other".to_owned();
        assert!(!order.apply(&Since::Moved(gone_back.into()), &asked, &other(8)));
        assert!(!order.apply(&Since::Jump, &asked, &mark(1, 9)));
        assert_eq!(order.known().applied, mark(1, 7));
    }

    #[test]
    fn a_claim_below_what_was_answered_meanwhile_is_not_taken_in() {
        let order = Order::starting_at(mark(1, 5));
        order.note(&mark(1, 9));
        assert!(!order.claimed(&mark(2, 6)), "it was sent when 5 was the highest");
        assert_eq!((order.horizon.incarnation(), order.known().seen), (Incarnation(1), mark(1, 9)));
        assert!(order.claimed(&mark(2, 10)));
        assert_eq!(order.horizon.incarnation(), Incarnation(2));
    }

    #[test]
    fn the_answer_of_a_late_barrier_is_not_applied_across_incarnations() {
        let order = Order::starting_at(mark(1, 5));
        let asked = order.known().applied;
        assert!(order.claimed(&mark(2, 9)));
        assert!(!order.apply(&Since::Jump, &asked, &mark(1, 6)));
        assert_eq!(order.horizon.incarnation(), Incarnation(2));
        assert_eq!(order.known().applied, mark(2, 9));
    }
}
