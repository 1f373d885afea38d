//! Connections: INFO, CLAIM, and INFO again.

use crate::order::Position;

use super::node::Node;
use super::server::{Control, Id, Incarnation, Record, Role, Server, Stand};
use super::{Action, STRANGER, Shared, State};

/// A connection to one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Connection {
    Closed,
    /// INFO said that the server is a primary, and its id.
    Asked {
        server: usize,
        id: Id,
    },
    /// CLAIM said which incarnation it is in, and its highest record.
    Claimed {
        server: usize,
        id: Id,
        incarnation: Incarnation,
        top: Record,
    },
    /// INFO said the same id again.
    Open {
        server: usize,
        id: Id,
        incarnation: Incarnation,
    },
}

/// What a node brings to CLAIM.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claimant {
    incarnation: Incarnation,
    records: [Record; 2],
    highest: Position,
    left: u8,
}

impl Claimant {
    fn of(node: &Node) -> Self {
        let Node { incarnation, applied_record, seen, highest, left, .. } = *node;
        Self { incarnation, records: [applied_record, seen], highest, left }
    }
}

impl Connection {
    pub(super) fn server(self) -> Option<usize> {
        match self {
            Self::Closed => None,
            Self::Asked { server, .. } | Self::Claimed { server, .. } | Self::Open { server, .. } => {
                Some(server)
            }
        }
    }

    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

impl Shared {
    pub(super) fn connection_actions(&self, state: &State, i: usize, actions: &mut Vec<Action>) {
        let connection = state.nodes[i].connection;
        let step = match connection {
            Connection::Closed if state.servers[state.named].role == Role::Primary => "is opened",
            Connection::Closed => return,
            Connection::Asked { .. } => "claims",
            Connection::Claimed { .. } => "asks for the id again",
            open @ Connection::Open { .. } => {
                if state.left.cuts > 0 || state.is_outlived(open) {
                    actions.push(Action::Cut(i));
                }
                return;
            }
        };
        actions.push(Action::Connection(i, step));
    }

    /// Takes a connection one step on. In the code: `store::dragonfly::claim::claim`.
    pub(super) fn connection(&self, state: &mut State, i: usize) {
        let next = match state.nodes[i].connection {
            Connection::Closed => {
                let server = state.named;
                Connection::Asked { server, id: state.servers[server].id }
            }
            Connection::Asked { server, .. } if state.servers[server].role != Role::Primary => {
                Connection::Closed
            }
            Connection::Asked { server, id } => {
                let claimant = Claimant::of(&state.nodes[i]);
                let (incarnation, top) = self.claim(state, server, id, claimant);
                Connection::Claimed { server, id, incarnation, top }
            }
            Connection::Claimed { server, id, incarnation, top } => {
                let Server { role, id: now, .. } = state.servers[server];
                if self.steps.claim_asks_the_id_again && (role != Role::Primary || now != id) {
                    Connection::Closed
                } else if self.adopt(&mut state.nodes[i], incarnation, top) {
                    Connection::Open { server, id, incarnation }
                } else {
                    Connection::Closed
                }
            }
            open @ Connection::Open { .. } => open,
        };
        state.nodes[i].connection = next;
        if !self.bounds.slow_claims && !matches!(next, Connection::Closed | Connection::Open { .. }) {
            self.connection(state, i);
        }
    }

    /// CLAIM: joins the incarnation that the server is in, or makes a new one if positions may have been lost. In
    /// the code: the script of `store::dragonfly::claim::claim`.
    pub(super) fn claim(
        &self,
        state: &mut State,
        server: usize,
        id: Id,
        claimant: Claimant,
    ) -> (Incarnation, Record) {
        let steps = &self.steps;
        let data = &state.servers[server].data;
        let position = if data.control.is_some() { data.order.position() } else { 0 };
        let joined = data.control.filter(|control| {
            let incarnation = control.incarnation;
            let lost = |record: &Record| data.stand(*record) == Stand::Lost;
            let foreign = control.own != id && steps.claim_compares_the_id;
            let evicted = data.repeated != Some(incarnation) && steps.last_repeats_the_incarnation;
            let left = claimant.left & 1 << incarnation != 0 && steps.left_is_never_joined;
            let taken_back = incarnation == claimant.incarnation
                && claimant.records.iter().any(lost)
                && steps.claim_compares_records;
            !(foreign || evicted || left || taken_back)
        });
        if let Some(Control { incarnation, .. }) = joined {
            if claimant.highest > position && steps.claim_raises_the_position {
                let above = claimant.highest + 1;
                self.take(state, server, |order, steps| order.raise_to(above, STRANGER, steps));
            }
            return (incarnation, state.servers[server].data.top());
        }
        let incarnation = state.drawn.incarnation();
        let above = if steps.claim_goes_on_above_all { claimant.highest.max(position) } else { position };
        let returned = state.returned;
        let data = &mut state.servers[server].data;
        data.begin_at(Control { incarnation, own: id }, above);
        // All that returned before is in force: nothing that was kept before is valid.
        data.announced = data.announced.max(returned);
        if steps.claim_passes_deadlines {
            data.deadline = None;
        }
        let top = self.take(state, server, |order, steps| order.invalidate(STRANGER, steps));
        (incarnation, top)
    }

    /// Takes over what CLAIM said, and says whether it could: an answer that came after CLAIM was sent may have been of a
    /// higher position, and a position that a node has applied never falls, nor does a floor. In the code:
    /// `store::dragonfly::order::claimed`.
    fn adopt(&self, node: &mut Node, incarnation: Incarnation, top: Record) -> bool {
        if node.incarnation == incarnation {
            node.highest = node.highest.max(top.position);
            node.seen = node.seen.max(top);
            return true;
        }
        if top.position < node.highest && self.steps.claim_below_a_later_answer_is_sent_again {
            return false;
        }
        node.highest = node.highest.max(top.position);
        node.left |= 1 << node.incarnation;
        node.incarnation = incarnation;
        node.applied = node.applied.max(top.position);
        node.applied_record = top;
        node.seen = top;
        node.floor = node.floor.max(top.position);
        true
    }

    /// Cuts a connection at any time.
    pub(super) fn cut_one(&self, state: &mut State, i: usize) {
        if !state.is_outlived(state.nodes[i].connection) {
            state.left.cuts -= 1;
        }
        self.cut(state, i);
    }

    /// Ends a connection. It never goes on with another server, or with the same one after that was away.
    /// In the code: `store::dragonfly::connection::lose`.
    pub(super) fn cut(&self, state: &mut State, i: usize) {
        let named = state.named;
        match &mut state.nodes[i].connection {
            Connection::Open { server, .. } if !self.steps.connections_end => *server = named,
            connection => *connection = Connection::Closed,
        }
    }

    pub(super) fn cut_all(&self, state: &mut State, server: usize) {
        for i in 0..state.nodes.len() {
            if state.nodes[i].connection.server() == Some(server) {
                self.cut(state, i);
            }
        }
    }
}

impl State {
    /// Says whether the server is no longer what the connection claimed.
    fn is_outlived(&self, connection: Connection) -> bool {
        let Connection::Open { server, id, .. } = connection else { return false };
        server != self.named || self.servers[server].id != id
    }
}
