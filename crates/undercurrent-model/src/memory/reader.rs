//! A read at `fresh`: barrier, memory, flight.

use crate::order::Position;

use super::barrier::Barrier;
use super::flight::{Flight, Seat};
use super::store::Entry;
use super::{Action, Memory, Must, State};

/// Someone who reads the key again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Reader {
    left: u8,
    must: Must,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    Idle,
    /// Waits for the position of a barrier.
    Asks {
        barrier: usize,
    },
    /// Is about to look what stands in memory.
    LooksUp {
        b: Position,
    },
    /// Has an entry below its barrier, and is about to read `applied`.
    ReadsApplied {
        b: Position,
        entry: Entry,
    },
    /// Is about to read the floor of a slot.
    ReadsFloor {
        b: Position,
        entry: Entry,
        applied: Position,
        slot: usize,
    },
    /// All floors are at or below the entry's position, which is about to be raised.
    Raises {
        entry: Entry,
        applied: Position,
    },
    /// Memory was not enough.
    Joins {
        b: Position,
    },
    /// Waits for a flight to land.
    Flies {
        seat: Seat,
    },
}

impl Reader {
    pub(super) fn idle(reads: u8) -> Self {
        Self { left: reads, must: Must::default(), phase: Phase::Idle }
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0 && self.phase == Phase::Idle
    }

    pub(super) fn swap_barriers(&mut self) {
        if let Phase::Asks { barrier } = &mut self.phase {
            *barrier = 1 - *barrier;
        }
    }

    pub(super) fn barrier_is(&mut self, place: usize, b: Position) {
        if self.phase == (Phase::Asks { barrier: place }) {
            self.phase = Phase::LooksUp { b };
        }
    }

    /// Ends a read that waited for the flight that lands, and moves the others up. Returns what it had to see.
    pub(super) fn lands(&mut self) -> Option<Must> {
        match self.phase {
            Phase::Flies { seat: Seat::Running } => Some(self.end()),
            Phase::Flies { seat: Seat::Next } => {
                self.phase = Phase::Flies { seat: Seat::Running };
                None
            }
            _ => None,
        }
    }

    fn end(&mut self) -> Must {
        self.phase = Phase::Idle;
        std::mem::take(&mut self.must)
    }
}

impl Memory {
    pub(super) fn reader_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (i, reader) in state.readers.iter().enumerate() {
            if i > 0 && *reader == state.readers[i - 1] {
                continue;
            }
            let step = match reader.phase {
                Phase::Idle if reader.left > 0 && self.barrier_to_share(state).is_some() => {
                    actions.push(Action::Begin(i));
                    continue;
                }
                Phase::Idle | Phase::Asks { .. } | Phase::Flies { .. } => continue,
                Phase::LooksUp { .. } => "looks up the entry",
                Phase::ReadsApplied { .. } => "reads `applied`",
                Phase::ReadsFloor { .. } => "reads a floor",
                Phase::Raises { .. } => "raises `as_of` and is answered",
                Phase::Joins { .. } => "joins a flight",
            };
            actions.push(Action::Read(i, step));
        }
    }

    /// Finds the barrier for a read that begins now: the one that is still to be sent.
    fn barrier_to_share(&self, state: &State) -> Option<usize> {
        let find = |fits: fn(&Barrier) -> bool| state.node.barriers.iter().position(fits);
        let under_way = || find(|barrier| matches!(barrier, Barrier::Sent { .. } | Barrier::Executed { .. }));
        let next = || {
            find(|barrier| *barrier == Barrier::Pending).or_else(|| find(|barrier| *barrier == Barrier::Free))
        };
        if self.steps.share_the_next_barrier { next() } else { under_way().or_else(next) }
    }

    /// Begins a read: it must see every invalidation that has returned. In the code: `cache::read::miss`.
    pub(super) fn begin(&self, state: &mut State, i: usize) {
        let Some(barrier) = self.barrier_to_share(state) else { return };
        if state.node.barriers[barrier] == Barrier::Free {
            state.node.barriers[barrier] = Barrier::Pending;
        }
        let left = state.readers[i].left - 1;
        state.readers[i] = Reader { left, must: state.must, phase: Phase::Asks { barrier } };
    }

    /// Takes a read one step on: memory first, `applied` before the floors. In the code: `cache::read::still_good`,
    /// then `cache::flight::join`.
    pub(super) fn read(&self, state: &mut State, i: usize) {
        let must = state.readers[i].must;
        let next = match state.readers[i].phase {
            Phase::LooksUp { b } => match state.node.entry {
                None => Phase::Joins { b },
                Some(entry) if entry.as_of >= b => return self.hit(state, i, entry),
                Some(entry) => Phase::ReadsApplied { b, entry },
            },
            Phase::ReadsApplied { b, .. } if state.node.applied < b => Phase::Joins { b },
            Phase::ReadsApplied { b, entry } => {
                Phase::ReadsFloor { b, entry, applied: state.node.applied, slot: 0 }
            }
            Phase::ReadsFloor { b, entry, slot, .. } if state.node.floors[slot] > entry.as_of => {
                Phase::Joins { b }
            }
            Phase::ReadsFloor { b, entry, applied, slot: 0 } if self.steps.hit_asks_the_closure => {
                Phase::ReadsFloor { b, entry, applied, slot: 1 }
            }
            Phase::ReadsFloor { entry, applied, .. } => Phase::Raises { entry, applied },
            Phase::Raises { entry, applied } => {
                let applied = if self.steps.applied_before_floors { applied } else { state.node.applied };
                raise(state, entry, applied);
                return self.hit(state, i, entry);
            }
            Phase::Joins { b } => Phase::Flies { seat: self.join(&mut state.node, b) },
            phase @ (Phase::Idle | Phase::Asks { .. } | Phase::Flies { .. }) => phase,
        };
        state.readers[i].must = must;
        state.readers[i].phase = next;
    }

    fn hit(&self, state: &mut State, i: usize, entry: Entry) {
        let must = state.readers[i].end();
        state.answer(must, entry);
    }

    /// Ends the flight's step for all who waited.
    pub(super) fn answer_all(&self, state: &mut State, entry: Entry) {
        let musts: Vec<_> = state.readers.iter_mut().filter_map(Reader::lands).collect();
        musts.into_iter().for_each(|must| state.answer(must, entry));
        state.node.running = std::mem::take(&mut state.node.next).then_some(Flight::Waiting);
    }
}

/// Raises the position of the entry that was looked at, if it still stands; it never falls.
fn raise(state: &mut State, seen: Entry, applied: Position) {
    if let Some(entry) = &mut state.node.entry
        && (entry.value, entry.h) == (seen.value, seen.h)
    {
        entry.as_of = entry.as_of.max(applied);
    }
}
