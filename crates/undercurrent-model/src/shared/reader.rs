//! A read at `fresh`: barrier, memory, a load that another read began, or a fill.

use crate::order::Position;

use super::node::{News, Node};
use super::scripts::{Found, Start};
use super::server::Entry;
use super::{Action, Shared, State};

/// Someone who reads the key again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Reader {
    left: u8,
    /// The version that the answer must not be older than.
    pub(super) must: u8,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    Idle,
    /// Is about to send a barrier.
    Asks,
    /// The answer is on its way.
    Asked(News),
    /// Memory was not enough: READ.
    Reads,
    /// A load is about to begin.
    Begun(Start),
    Loaded(Start, u8),
    /// Has a value, and an entry that memory may keep.
    Lands(u8, Option<Entry>),
    /// Waits for the other reader of the node.
    Joined,
}

impl Reader {
    pub(super) fn idle(reads: u8) -> Self {
        Self { left: reads, must: 0, phase: Phase::Idle }
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0 && self.phase == Phase::Idle
    }

    pub(super) fn has_joined(&self) -> bool {
        self.phase == Phase::Joined
    }

    fn next(&self, open: bool) -> Option<&'static str> {
        match self.phase {
            Phase::Idle if self.left > 0 => Some("begins"),
            Phase::Asks if open => Some("asks for a barrier"),
            Phase::Asked(_) => Some("is answered, and looks into memory"),
            Phase::Reads if open => Some("asks by READ"),
            Phase::Begun(_) => Some("loads"),
            Phase::Loaded(..) => Some("commits"),
            Phase::Lands(..) => Some("lands"),
            Phase::Idle | Phase::Asks | Phase::Reads | Phase::Joined => None,
        }
    }
}

impl Shared {
    pub(super) fn reader_actions(&self, state: &State, i: usize, actions: &mut Vec<Action>) {
        let Node { readers, connection, .. } = &state.nodes[i];
        for (r, reader) in readers.iter().enumerate() {
            if r == 0 || *reader != readers[r - 1] {
                let next = reader.next(connection.is_open());
                actions.extend(next.map(|step| Action::Read(i, r, step)));
            }
        }
    }

    /// Takes a read one step on.
    pub(super) fn read(&self, state: &mut State, i: usize, r: usize) {
        let next = match state.nodes[i].readers[r].phase {
            Phase::Idle => return Self::begin(state, i, r),
            Phase::Asks => match self.barrier(state, i) {
                Some(news) => Phase::Asked(news),
                None => Phase::Asks,
            },
            Phase::Asked(news) => {
                if !self.apply(&mut state.nodes[i], news) {
                    Phase::Asks
                } else if let Some(entry) = self.hit(&mut state.nodes[i], news) {
                    return state.answer(i, r, entry.value);
                } else if self.joins(&state.nodes[i], r, news) {
                    Phase::Joined
                } else {
                    Phase::Reads
                }
            }
            Phase::Reads => match self.read_at_store(state, i) {
                Some(Found::Valid(entry)) => Phase::Lands(entry.value, Some(entry)),
                Some(Found::Miss(h)) => Phase::Begun(h),
                None => Phase::Asks,
            },
            Phase::Begun(h) => Phase::Loaded(h, state.source),
            Phase::Loaded(h, value) => Phase::Lands(value, self.commit(state, i, h, value)),
            Phase::Lands(value, entry) => return self.land(state, i, r, value, entry),
            Phase::Joined => Phase::Joined,
        };
        state.nodes[i].readers[r].phase = next;
    }

    fn begin(state: &mut State, i: usize, r: usize) {
        let node = &state.nodes[i];
        let must = if state.is_split() {
            0
        } else if Self::nobody_vouches(state) {
            state.source
        } else {
            state.returned.max(node.knows)
        };
        // With nothing in memory READ is the barrier.
        let phase = if node.entry.is_some() { Phase::Asks } else { Phase::Reads };
        let reader = &mut state.nodes[i].readers[r];
        *reader = Reader { left: reader.left - 1, must, phase };
    }

    /// Looks into memory: positions of one incarnation, then the floor. In the code: `cache::read::still_good`.
    fn hit(&self, node: &mut Node, news: News) -> Option<Entry> {
        let Node { incarnation, applied, floor, entry, .. } = node;
        let entry = entry.as_mut()?;
        if entry.incarnation != *incarnation && self.steps.hit_compares_the_incarnation {
            return None;
        }
        let b = news.top.position;
        if entry.as_of < b {
            if *applied < b || *floor > entry.as_of {
                return None;
            }
            entry.as_of = *applied;
        }
        Some(*entry)
    }

    /// Says whether the other read's load began at or after this barrier. In the code: `cache::flight::serves`.
    fn joins(&self, node: &Node, r: usize, news: News) -> bool {
        let begun_at = |h: Start| -> Option<Position> {
            let same = h.incarnation == news.incarnation || !self.steps.join_compares_the_incarnation;
            same.then_some(h.record.position)
        };
        let others = node.readers.iter().enumerate().filter(|(other, _)| *other != r);
        let mut loads = others.filter_map(|(_, other)| match other.phase {
            Phase::Begun(h) | Phase::Loaded(h, _) => begun_at(h),
            _ => None,
        });
        loads.any(|h| h >= news.top.position)
    }

    /// Puts the entry into memory, and answers all who waited. In the code: `cache::flight::land`.
    fn land(&self, state: &mut State, i: usize, r: usize, value: u8, entry: Option<Entry>) {
        let node = &mut state.nodes[i];
        if let Some(entry) = entry
            && entry.incarnation == node.incarnation
        {
            node.entry = Some(entry);
        }
        for other in 0..state.nodes[i].readers.len() {
            if other == r || state.nodes[i].readers[other].has_joined() {
                state.answer(i, other, value);
            }
        }
    }
}

impl State {
    fn answer(&mut self, i: usize, r: usize, value: u8) {
        let reader = &mut self.nodes[i].readers[r];
        self.stale |= value < reader.must;
        reader.must = 0;
        reader.phase = Phase::Idle;
    }
}
