//! What a node knows of the order, and the barriers that tell it.

use crate::order::{Name, Position};

use super::claim::Connection;
use super::lease::SCOPE;
use super::reader::Reader;
use super::server::{Entry, Incarnation, Record, Stand};
use super::{KEY, Shared, State};

/// A process with memory and readers. Its memory is looked at and changed in one step: what happens inside such a
/// step is [`memory`](crate::memory)'s. In the code: `store::dragonfly::order::Order` and
/// `store::dragonfly::order::Known`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Node {
    pub(super) connection: Connection,
    pub(super) incarnation: Incarnation,
    /// The incarnations that it was in before, as bits.
    pub(super) left: u8,
    /// The position up to which the floor tells everything; it never falls.
    pub(super) applied: Position,
    /// The record of it.
    pub(super) applied_record: Record,
    /// The highest record that any script showed it in this incarnation.
    pub(super) seen: Record,
    /// The highest position that it saw in any.
    pub(super) highest: Position,
    /// The highest position at which a name of the entry was invalidated; both are in one slot.
    pub(super) floor: Position,
    pub(super) entry: Option<Entry>,
    pub(super) readers: Vec<Reader>,
    /// The version of the latest invalidation that it was told of.
    pub(super) knows: u8,
}

impl Node {
    /// Notes a record that a script showed which compared the highest one before. In the code:
    /// `store::dragonfly::order::note`.
    pub(super) fn see(&mut self, record: Record) {
        self.seen = self.seen.max(record);
        self.highest = self.highest.max(record.position);
    }
}

/// The most records of a list, which is more than are ever written.
const LIST: usize = 12;

/// The answer to a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct News {
    pub(super) incarnation: Incarnation,
    pub(super) top: Record,
    /// Up to where the node that asked had applied the order.
    from: Record,
    /// The records behind that, where the log had all of them; the rest is empty.
    list: [Record; LIST],
    /// How high the floor must be.
    floor: Position,
    /// The latest version that was announced there.
    announced: u8,
}

impl Shared {
    /// BARRIER: the position, and the names in between, or a jump. `None` if it was not answered.
    /// In the code: `store::dragonfly::barrier::barrier`.
    pub(super) fn barrier(&self, state: &mut State, i: usize) -> Option<News> {
        let server = self.prove(state, i, false)?;
        self.meet_deadline(state, server);
        if !self.is_same_past(state, i, server) || !self.counts(state, i) {
            return None;
        }
        let Node { incarnation, applied, applied_record, .. } = state.nodes[i];
        let data = &state.servers[server].data;
        let trimmed = self.witness(&state.nodes[i], data) == Stand::Trimmed;
        let order = &data.order;
        let records = match order.records_above(applied) {
            Some(records) if !trimmed && applied <= order.position() => Ok(records),
            _ if self.steps.gap_is_a_jump => Err(order.position()),
            _ => Ok(order.records_left_above(applied)),
        };
        let of_entry = |name: Name| name == KEY || name == SCOPE;
        let floor = match records {
            Ok(records) => records.iter().filter(|(_, name)| of_entry(*name)).map(|(at, _)| *at).max(),
            Err(jump) => Some(jump),
        };
        let mut list = [Record::default(); LIST];
        if let Ok(records) = records {
            list.iter_mut().zip(records).for_each(|(one, (at, _))| *one = data.record_at(*at));
        }
        let (top, announced) = (data.top(), data.announced);
        state.confused |= records.is_ok() && !data.was(applied_record);
        Some(News { incarnation, top, from: applied_record, list, floor: floor.unwrap_or(0), announced })
    }

    /// Takes over an answer, and says whether the reads that wait for it may use its position. In the code:
    /// `store::dragonfly::order::apply`.
    pub(super) fn apply(&self, node: &mut Node, news: News) -> bool {
        if news.incarnation != node.incarnation && self.steps.late_news_of_another_incarnation_is_ignored {
            return !self.steps.barrier_is_of_this_incarnation;
        }
        // One that was asked before another was applied goes on from there, if it shows that record.
        let goes_on = news.from == node.applied_record
            || news.top == node.applied_record
            || news.list.contains(&node.applied_record);
        if !goes_on && self.steps.late_list_is_ignored {
            return !self.steps.late_barrier_is_asked_again;
        }
        node.see(news.top);
        node.floor = node.floor.max(news.floor);
        if news.top.position >= node.applied {
            node.applied = news.top.position;
            node.applied_record = news.top;
        }
        if self.bounds.known {
            node.knows = node.knows.max(news.announced);
        }
        true
    }
}
