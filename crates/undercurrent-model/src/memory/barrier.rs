//! Barriers: where the order stands, and what was invalidated since the node looked last.

use crate::order::Position;

use super::reader::Reader;
use super::{Action, Memory, Node, State, slot};

/// A question that reads wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Barrier {
    #[default]
    Free,
    /// Reads that begin now can still share it.
    Pending,
    /// On its way, from a node that had applied everything up to `from`.
    Sent { from: Position },
    /// Answered, and the answer is on its way back.
    Executed { from: Position, news: News },
    /// The floors are being raised, slot by slot.
    Applying { from: Position, news: News, published: bool },
}

/// What an answer says: the position, and how high each floor must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct News {
    position: Position,
    floors: [Position; 2],
}

impl News {
    fn first_floor(&self) -> Option<usize> {
        self.floors.iter().position(|floor| *floor > 0)
    }
}

impl Memory {
    pub(super) fn barrier_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (place, barrier) in state.node.barriers.iter().enumerate() {
            let step = match barrier {
                Barrier::Free => continue,
                Barrier::Pending => "is sent",
                Barrier::Sent { .. } => "is executed",
                Barrier::Executed { .. } => "is answered",
                Barrier::Applying { news, published, .. } => match news.first_floor() {
                    Some(_) if *published || self.steps.floors_before_applied => "raises a floor",
                    _ => "publishes `applied`",
                },
            };
            actions.push(Action::Barrier(place, step));
        }
    }

    /// Takes a barrier one step on. In the code: `store::Store::barrier`, which raises the horizon before it returns.
    pub(super) fn barrier(&self, state: &mut State, place: usize) {
        let next = match state.node.barriers[place] {
            Barrier::Free => Barrier::Free,
            Barrier::Pending => Barrier::Sent { from: state.node.applied },
            Barrier::Sent { from } => Barrier::Executed { from, news: self.news(state, from) },
            Barrier::Executed { from, news } => {
                if self.steps.late_list_is_ignored && state.node.applied != from {
                    wake(state, place, news.position);
                    Barrier::Free
                } else {
                    Barrier::Applying { from, news, published: false }
                }
            }
            Barrier::Applying { from, news, published } => self.apply(state, place, from, news, published),
        };
        state.node.barriers[place] = next;
    }

    /// BARRIER: the position, and the names in between, or a jump.
    fn news(&self, state: &State, from: Position) -> News {
        let order = &state.store.order;
        let position = order.position();
        let records = match order.records_above(from) {
            Some(records) => records,
            None if self.steps.jump_over_a_gap => return News { position, floors: [position; 2] },
            None => order.records_left_above(from),
        };
        let mut floors = [0; 2];
        for (at, name) in records {
            if let Some(slot) = slot(*name) {
                floors[slot] = *at;
            }
        }
        News { position, floors }
    }

    /// Raises the floors, then publishes `applied`. In the code: `store::Horizon::raise` and
    /// `store::Horizon::advance`.
    fn apply(
        &self,
        state: &mut State,
        place: usize,
        from: Position,
        mut news: News,
        published: bool,
    ) -> Barrier {
        let next = news.first_floor().filter(|_| published || self.steps.floors_before_applied);
        if let Some(slot) = next {
            let floor = &mut state.node.floors[slot];
            *floor = (*floor).max(news.floors[slot]);
            news.floors[slot] = 0;
            if published && news.first_floor().is_none() {
                return Barrier::Free;
            }
            return Barrier::Applying { from, news, published };
        }
        self.publish_applied(&mut state.node, from, news.position);
        wake(state, place, news.position);
        match news.first_floor() {
            None => Barrier::Free,
            Some(_) => Barrier::Applying { from, news, published: true },
        }
    }

    fn publish_applied(&self, node: &mut Node, from: Position, position: Position) {
        if node.applied == from || !self.steps.late_list_is_ignored {
            node.applied = node.applied.max(position);
        }
    }
}

/// Lets the reads go on that waited for this barrier.
fn wake(state: &mut State, place: usize, position: Position) {
    state.readers.iter_mut().for_each(|reader: &mut Reader| reader.barrier_is(place, position));
}
