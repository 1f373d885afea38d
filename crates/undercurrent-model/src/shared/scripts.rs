//! READ, COMMIT and PUBLISH: what every script proves before it does anything, and one step each.

use crate::order::{Name, Position, Standing};

use super::claim::Connection;
use super::node::Node;
use super::server::{Control, Data, Entry, Incarnation, Record, Role, Stand};
use super::{CLOSURE, KEY, Shared, State};

/// Where a load began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Start {
    pub(super) incarnation: Incarnation,
    pub(super) record: Record,
    /// Up to where the node had applied the order when it asked.
    pub(super) applied: Position,
}

/// The answer to READ.
pub(super) enum Found {
    Valid(Entry),
    Miss(Start),
}

impl Shared {
    /// Proves where a script runs: on a primary, in the incarnation that the connection claimed. Closes the
    /// connection otherwise. In the code: `store::dragonfly::connection::run_on`, and what its scripts begin with.
    pub(super) fn prove(&self, state: &mut State, i: usize, writes: bool) -> Option<usize> {
        let place = self.place(state, state.nodes[i].connection, writes);
        if place.is_none() {
            state.nodes[i].connection = Connection::Closed;
        }
        place
    }

    fn place(&self, state: &State, connection: Connection, writes: bool) -> Option<usize> {
        let Connection::Open { server, incarnation, .. } = connection else { return None };
        let data = &state.servers[server].data;
        let control = data.control?;
        let may_run = match state.servers[server].role {
            Role::Primary => true,
            Role::Replica => !writes && !self.steps.scripts_prove_that_they_may_write,
            Role::Down => false,
        };
        let same = control.incarnation == incarnation || !self.steps.scripts_compare_the_incarnation;
        let whole = data.repeated == Some(control.incarnation) || !self.steps.last_repeats_the_incarnation;
        (may_run && same && whole).then_some(server)
    }

    /// Says whether an answer counts: the server has the id that was claimed. Closes the connection otherwise. In
    /// the code: `store::dragonfly::connection::proven`.
    pub(super) fn counts(&self, state: &mut State, i: usize) -> bool {
        let Connection::Open { server, id, .. } = state.nodes[i].connection else { return false };
        let counts = state.servers[server].id == id || !self.steps.answers_compare_the_id;
        if !counts {
            state.nodes[i].connection = Connection::Closed;
        }
        counts
    }

    /// Compares what the node has seen with the log, worst first.
    pub(super) fn witness(&self, node: &Node, data: &Data) -> Stand {
        let applied = self.steps.applied_is_compared.then_some(node.applied_record);
        let seen = self.steps.seen_is_compared.then_some(node.seen);
        let stands = || [applied, seen].into_iter().flatten().map(|record| data.stand(record));
        let worst = [Stand::Lost, Stand::Trimmed].into_iter().find(|worst| stands().any(|is| is == *worst));
        worst.unwrap_or(Stand::Stands)
    }

    fn standing(&self, data: &Data, as_of: Position) -> Standing {
        match data.order.standing(CLOSURE, as_of, &self.steps.order) {
            Standing::Valid if self.has_no_row(data) => Standing::InDoubt,
            standing => standing,
        }
    }

    /// READ: a valid entry with its `as_of` raised, or a miss with the position where the load begins. `None` if it
    /// was not answered. In the code: `store::dragonfly::entry::read`.
    pub(super) fn read_at_store(&self, state: &mut State, i: usize) -> Option<Found> {
        let server = self.prove(state, i, false)?;
        self.meet_deadline(state, server);
        if self.steps.read_compares_records && !self.is_same_past(state, i, server) {
            return None;
        }
        if !self.counts(state, i) {
            return None;
        }
        let applied = state.nodes[i].applied;
        let data = &mut state.servers[server].data;
        let Control { incarnation, .. } = data.control?;
        let top = data.top();
        let valid = data.entry.filter(|entry| {
            entry.incarnation == incarnation && self.standing(data, entry.as_of) == Standing::Valid
        });
        state.nodes[i].see(top);
        Some(match valid {
            Some(entry) => {
                let entry = Entry { as_of: top.position, ..entry };
                state.servers[server].data.entry = Some(entry);
                Found::Valid(Entry { as_of: self.kept_at(top.position, applied), ..entry })
            }
            None => Found::Miss(Start { incarnation, record: top, applied }),
        })
    }

    /// Compares what the node has seen with the log, and closes the connection if the store lost it.
    pub(super) fn is_same_past(&self, state: &mut State, i: usize, server: usize) -> bool {
        let data = &state.servers[server].data;
        let node = &state.nodes[i];
        match self.witness(node, data) {
            Stand::Stands => {}
            Stand::Trimmed => {
                if ![node.applied_record, node.seen].into_iter().all(|record| data.was(record)) {
                    state.forget(i);
                }
            }
            Stand::Lost => {
                state.nodes[i].connection = Connection::Closed;
                return false;
            }
        }
        true
    }

    /// Returns the `as_of` with which memory keeps what a script gave. In the code: `store::dragonfly::entry::known`.
    pub(super) fn kept_at(&self, position: Position, applied: Position) -> Position {
        if self.steps.kept_at_what_is_applied { position.min(applied) } else { position }
    }

    /// COMMIT: kept if the record of h stands and the predicate holds. Returns the entry for the memory of the node.
    /// In the code: `store::dragonfly::entry::commit`.
    pub(super) fn commit(&self, state: &mut State, i: usize, h: Start, value: u8) -> Option<Entry> {
        let server = self.prove(state, i, true)?;
        self.meet_deadline(state, server);
        let data = &mut state.servers[server].data;
        let Control { incarnation, .. } = data.control?;
        let same = h.incarnation == incarnation || !self.steps.commit_compares_the_incarnation;
        let stands = data.stand(h.record) == Stand::Stands || !self.steps.commit_compares_the_record;
        if !same || !stands || self.standing(data, h.record.position) != Standing::Valid {
            return None;
        }
        let top = data.top();
        let entry = Entry { value, incarnation, as_of: top.position };
        data.entry = Some(entry);
        self.counts(state, i).then(|| Entry { as_of: self.kept_at(top.position, h.applied), ..entry })
    }

    /// PUBLISH of a bare invalidation, by a node over its connection. In the code:
    /// `store::dragonfly::publish::publish`.
    pub(super) fn publish(&self, state: &mut State, i: usize, name: Name) {
        let Some(server) = self.prove(state, i, true) else { return };
        self.meet_deadline(state, server);
        if self.steps.publish_compares_records && !self.is_same_past(state, i, server) {
            return;
        }
        let record = self.invalidate(state, server, name);
        if !self.counts(state, i) {
            return;
        }
        if name == KEY && server == state.named {
            state.returned = state.source;
        }
        let source = state.source;
        let node = &mut state.nodes[i];
        node.see(record);
        if name == KEY {
            node.floor = node.floor.max(record.position);
            if self.bounds.known {
                node.knows = source;
            }
        }
        if !self.steps.own_publish_leaves_applied {
            node.applied = node.applied.max(record.position);
            node.applied_record = node.applied_record.max(record);
        }
    }

    /// PUBLISH by a process that knows nothing: it connects, claims and publishes before anything else happens.
    pub(super) fn others_publish(&self, state: &mut State, name: Name) {
        self.claim_without_knowledge(state);
        self.meet_deadline(state, state.named);
        self.invalidate(state, state.named, name);
        if name == KEY {
            state.returned = state.source;
        }
    }

    pub(super) fn claim_without_knowledge(&self, state: &mut State) {
        let id = state.servers[state.named].id;
        self.claim(state, state.named, id, super::claim::Claimant::default());
    }

    fn invalidate(&self, state: &mut State, server: usize, name: Name) -> Record {
        if name == KEY {
            state.servers[server].data.announced = state.source;
        }
        self.take(state, server, |order, steps| order.invalidate(name, steps))
    }
}
