//! Flights: at most one that runs and one that waits for it.

use crate::order::Position;

use super::store::{Committed, Entry, Found};
use super::{Memory, Node, State};

/// A load that runs or waits to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Flight {
    /// It will begin after whoever joins now.
    Waiting,
    /// It is asking where the order stands, and nobody knows the answer here yet.
    Closed(Option<Found>),
    /// It began at h.
    Begun { h: Position },
    /// It has the source's value.
    Loaded { h: Position, value: u8 },
    /// It has an entry, which memory may keep.
    Ended { h: Position, entry: Entry, keep: bool },
}

/// Which flight a read waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Seat {
    Running,
    Next,
}

impl Flight {
    pub(super) fn step(self) -> Option<&'static str> {
        Some(match self {
            Self::Waiting => "closes",
            Self::Closed(None) => "is answered by READ",
            Self::Closed(Some(_)) => "learns where it begins",
            Self::Begun { .. } => "loads",
            Self::Loaded { .. } => "commits",
            Self::Ended { .. } => "lands",
        })
    }
}

impl Memory {
    /// Says whether a read with this barrier may share the flight. In the code: `cache::flight::serves`.
    fn serves(&self, flight: Flight, b: Position) -> bool {
        match flight {
            Flight::Waiting => true,
            Flight::Closed(_) => !self.steps.closed_takes_nobody,
            Flight::Begun { h } | Flight::Loaded { h, .. } | Flight::Ended { h, .. } => {
                h >= b || !self.steps.join_after_barrier
            }
        }
    }

    /// Joins the running flight, or the one behind it. In the code: `cache::flight::join`.
    pub(super) fn join(&self, node: &mut Node, b: Position) -> Seat {
        match node.running {
            None => {
                node.running = Some(Flight::Waiting);
                Seat::Running
            }
            Some(flight) if self.serves(flight, b) => Seat::Running,
            Some(_) => {
                node.next = true;
                Seat::Next
            }
        }
    }

    /// Takes the running flight one step on: h first, then the load, then COMMIT. In the code: `cache::fill::fill`,
    /// with `cache::flight::close` and `cache::flight::begin`.
    pub(super) fn flight(&self, state: &mut State) {
        let Some(flight) = state.node.running else { return };
        let next = match flight {
            Flight::Waiting => Flight::Closed(None),
            Flight::Closed(None) => Flight::Closed(Some(self.read_at_store(&mut state.store))),
            Flight::Closed(Some(Found::Miss(h))) => Flight::Begun { h },
            Flight::Closed(Some(Found::Valid(entry))) => Flight::Ended { h: entry.as_of, entry, keep: true },
            Flight::Begun { h } => Flight::Loaded { h, value: state.source },
            Flight::Loaded { h, value } => match self.commit_at_store(state, h, value) {
                Committed::Accepted(as_of) => {
                    Flight::Ended { h, entry: Entry { value, h, as_of }, keep: true }
                }
                Committed::Refused => {
                    let keep = !self.steps.refused_is_not_kept;
                    let as_of = state.store.order.position();
                    Flight::Ended { h, entry: Entry { value, h, as_of }, keep }
                }
            },
            Flight::Ended { entry, keep, .. } => return self.land(state, entry, keep),
        };
        state.node.running = Some(next);
    }

    /// Puts the entry into memory and answers all who waited. In the code: `cache::insert` and
    /// `cache::flight::land`.
    fn land(&self, state: &mut State, mut entry: Entry, keep: bool) {
        if !self.steps.kept_at_the_position_of_commit {
            entry.as_of = entry.as_of.max(state.node.applied);
        }
        if keep && !self.larger_stands(&state.node, entry) {
            state.node.entry = Some(entry);
        }
        self.answer_all(state, entry);
    }

    fn larger_stands(&self, node: &Node, entry: Entry) -> bool {
        let stands = |standing: Entry| {
            standing.as_of > entry.as_of && node.floors.iter().all(|floor| *floor <= standing.as_of)
        };
        self.steps.larger_as_of_stays && node.entry.is_some_and(stands)
    }
}
