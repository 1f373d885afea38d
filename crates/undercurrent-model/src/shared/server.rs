//! Two servers: what they hold of the namespace, and how that is copied, lost and taken back.

use crate::order::{Order, Position};

use super::{Action, STRANGER, Shared, State};

/// Drawn at random; compared for equality only.
pub(super) type Incarnation = u8;
/// What a server says of its past.
pub(super) type Id = u8;
/// Drawn at random for each record; here, how many records were written at its position before, anywhere.
type Nonce = u8;

/// Where the order stands at first: a store that begins anew can be below.
const FIRST: Position = 3;
/// More positions than are ever taken.
const POSITIONS: usize = 20;

/// A position, and the nonce of what was written there. In the code: `store::dragonfly::claim::Mark`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) position: Position,
    pub(super) nonce: Nonce,
}

/// What a log says of a record that somebody has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It is there.
    Stands,
    /// Its position was not taken, or was taken for something else: the store lost what was seen.
    Lost,
    /// The log no longer reaches so far back.
    Trimmed,
}

/// Which kind of server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Draws a new id when it is promoted, and a replica has the id of its primary.
    Redis,
    /// Keeps the id that it drew at its start.
    Dragonfly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Primary,
    Replica,
    Down,
}

/// What becomes of the primary that another is promoted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Old {
    /// It is a replica from then on, and still answers the connections that it has.
    Replica,
    /// It is gone.
    Down,
    /// It does not know, and goes on as a primary.
    Primary,
}

/// What a server has after its restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// Nothing.
    Empty,
    /// Some earlier state. What a replica holds is one, so that is taken.
    Older,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub(super) role: Role,
    pub(super) id: Id,
    pub(super) data: Data,
}

/// Who claimed the namespace: the fields of `control`. `pos` and `low` are in the order, and lost with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Control {
    pub(super) incarnation: Incarnation,
    pub(super) own: Id,
}

/// A kept value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) value: u8,
    pub(super) incarnation: Incarnation,
    pub(super) as_of: Position,
}

/// The namespace as a server holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Data {
    pub(super) control: Option<Control>,
    pub(super) order: Order,
    /// The field of `last` that repeats the incarnation.
    pub(super) repeated: Option<Incarnation>,
    /// Of each position, the nonce of what was written there. A script sees it only while the log holds the record.
    nonces: [Nonce; POSITIONS],
    pub(super) entry: Option<Entry>,
    /// The row of the source: when its lease ends.
    pub(super) deadline: Option<u8>,
    /// How often its owner had put it in doubt, when the row or the mark was written.
    pub(super) word: u8,
    /// The latest version of the source that was announced here. No script sees it.
    pub(super) announced: u8,
}

impl Data {
    /// Returns the highest position and its record.
    pub(super) fn top(&self) -> Record {
        self.record_at(self.order.position())
    }

    /// Returns what was written at a position.
    pub(super) fn record_at(&self, position: Position) -> Record {
        Record { position, nonce: self.nonces[usize::from(position)] }
    }

    /// Compares a record that was seen with the log.
    pub(super) fn stand(&self, seen: Record) -> Stand {
        if seen.position > self.order.position() {
            Stand::Lost
        } else if seen.position > 0 && !self.order.holds(seen.position) {
            Stand::Trimmed
        } else if self.was(seen) {
            Stand::Stands
        } else {
            Stand::Lost
        }
    }

    /// Says whether the record was written here, whether or not the log still shows it.
    pub(super) fn was(&self, seen: Record) -> bool {
        self.nonces[usize::from(seen.position)] == seen.nonce
    }

    /// Begins anew at a position.
    pub(super) fn begin_at(&mut self, control: Control, position: Position) {
        self.control = Some(control);
        self.repeated = Some(control.incarnation);
        self.order = Order::begin_at(position, STRANGER);
        self.nonces = [0; POSITIONS];
    }
}

/// What was drawn so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Drawn {
    incarnations: Incarnation,
    ids: Id,
    nonces: [Nonce; POSITIONS],
}

impl Drawn {
    pub(super) fn incarnation(&mut self) -> Incarnation {
        self.incarnations += 1;
        self.incarnations
    }

    pub(super) fn id(&mut self) -> Id {
        self.ids += 1;
        self.ids
    }

    fn nonce(&mut self, position: Position) -> Nonce {
        let drawn = &mut self.nonces[usize::from(position)];
        *drawn += 1;
        *drawn - 1
    }
}

impl Shared {
    /// Returns a primary that was claimed by nobody who is still there, and a replica that lacks nothing.
    pub(super) fn servers(&self, drawn: &mut Drawn) -> [Server; 2] {
        let id = drawn.id();
        let incarnation = drawn.incarnation();
        let control = Some(Control { incarnation, own: id });
        let deadline = self.bounds.lease.then_some(1);
        let order = Order::begin_at(FIRST, STRANGER);
        let entry = self.bounds.warm.then_some(Entry { value: 0, incarnation, as_of: FIRST });
        let repeated = Some(incarnation);
        let data = Data { control, order, repeated, entry, deadline, ..Data::default() };
        let replica = Server { role: Role::Replica, id: self.replica_id(id, drawn), data: data.clone() };
        [Server { role: Role::Primary, id, data }, replica]
    }

    fn replica_id(&self, primary: Id, drawn: &mut Drawn) -> Id {
        match self.bounds.kind {
            Kind::Redis => primary,
            Kind::Dragonfly => drawn.id(),
        }
    }

    pub(super) fn server_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = state.left;
        let (primary, other) = (&state.servers[state.named], &state.servers[1 - state.named]);
        match other.role {
            Role::Replica if other.data != primary.data && self.lag_matters(state) => {
                actions.push(Action::Replicates);
            }
            Role::Primary => actions.push(Action::Demotes),
            Role::Replica | Role::Down => {}
        }
        if left.promotions > 0 && other.role != Role::Down {
            actions.push(Action::Promotes);
        }
        if left.restarts > 0 {
            actions.push(Action::Restarts);
        }
        if left.flushes > 0 {
            actions.push(Action::Flushes);
        }
        if left.evictions[0] > 0 {
            actions.push(Action::EvictsControl);
        }
        if left.evictions[1] > 0 {
            actions.push(Action::EvictsLast);
        }
        if left.retirements > 0 && primary.data.order.oldest().is_some() {
            actions.push(Action::Retires);
        }
    }

    /// Says whether anybody will see what the replica holds.
    fn lag_matters(&self, state: &State) -> bool {
        let older = state.left.restarts > 0 && self.bounds.snapshot == Snapshot::Older;
        let asked = state.nodes.iter().any(|node| node.connection.server() == Some(1 - state.named));
        state.left.promotions > 0 || older || asked
    }

    /// Writes the record of a position that is taken.
    pub(super) fn take(
        &self,
        state: &mut State,
        server: usize,
        take: impl FnOnce(&mut Order, &crate::order::Steps) -> Position,
    ) -> Record {
        let data = &mut state.servers[server].data;
        let position = take(&mut data.order, &self.steps.order);
        data.nonces[usize::from(position)] = state.drawn.nonce(position);
        data.top()
    }

    /// Brings the replica to where the primary is.
    pub(super) fn replicate(&self, state: &mut State) {
        let primary = state.named;
        state.servers[1 - primary].data = state.servers[primary].data.clone();
        if self.bounds.kind == Kind::Redis {
            state.servers[1 - primary].id = state.servers[primary].id;
        }
    }

    /// Names the other server as the primary, whatever it holds.
    pub(super) fn promote(&self, state: &mut State, old: Old) {
        let (left, named) = (state.named, 1 - state.named);
        let was = state.servers[named].role;
        state.named = named;
        state.servers[named].role = Role::Primary;
        if self.bounds.kind == Kind::Redis && was == Role::Replica {
            state.servers[named].id = state.drawn.id();
        }
        state.servers[left].role = match old {
            Old::Replica => Role::Replica,
            Old::Down => Role::Down,
            Old::Primary => Role::Primary,
        };
        if old == Old::Down {
            self.cut_all(state, left);
        }
        let server = &state.servers[named];
        // Then nobody can tell by its id that it lost something.
        if server.data.control.is_some_and(|control| control.own == server.id) {
            state.lose(server.data.announced);
        }
        if state.is_split() {
            state.promise_nothing();
        }
    }

    /// Starts the primary again.
    pub(super) fn restart(&self, state: &mut State, snapshot: Snapshot) {
        let primary = state.named;
        state.servers[primary].id = state.drawn.id();
        state.servers[primary].data = match snapshot {
            Snapshot::Empty => Data::default(),
            Snapshot::Older => state.servers[1 - primary].data.clone(),
        };
        self.cut_all(state, primary);
    }

    /// Loses `last` and nothing else.
    pub(super) fn evict_last(state: &mut State) {
        let data = &mut state.servers[state.named].data;
        data.order.lose_names();
        data.repeated = None;
    }

    /// Retires the name that was invalidated longest ago.
    pub(super) fn retire(&self, state: &mut State) {
        let order = &mut state.servers[state.named].data.order;
        if let Some(name) = order.oldest() {
            order.retire(name, &self.steps.order);
        }
    }
}
