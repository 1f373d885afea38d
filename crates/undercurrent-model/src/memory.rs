//! The memory of one node, step by step, over a store that others write too.
//!
//! One key with a tag; a neighbour in the key's slot, whose invalidations look like the key's; a stranger whose slot
//! nobody looks at. Readers at `fresh` ask for a barrier, look into memory, and else share a flight. Every look at
//! memory and every answer of the store is a step of its own, and steps of different readers, barriers and flights
//! mix in all orders. Another node loads and commits the same key without asking what stands there.
//!
//! The invariant is I1 word for word: no read is answered by a load that began before an invalidation that had
//! returned when the read began. A value is only a version, and matters where a COMMIT meets another one: such a
//! change counts from the later of the two loads on, for answers that are not what the source has.

mod barrier;
mod flight;
mod reader;
mod remote;
mod store;

use stateright::{Model, Property};

use crate::order::{self, Closure, Name, Position};
use barrier::Barrier;
use flight::Flight;
use reader::Reader;
use remote::Remote;
use store::{Entry, Store};

/// What can be invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The key that is read.
    Key,
    /// A tag of it.
    Tag,
    /// A name in the key's slot.
    Neighbour,
    /// A name in a slot that nobody looks at.
    Stranger,
}

const CLOSURE: Closure = Closure::of(&[Target::Key.name(), Target::Tag.name()]);

impl Target {
    const fn name(self) -> Name {
        Name(self as u8)
    }

    /// Says whether the key depends on it.
    fn counts(self) -> bool {
        matches!(self, Self::Key | Self::Tag)
    }
}

/// Returns the place of a name's floor, where somebody looks at it.
fn slot(name: Name) -> Option<usize> {
    const SLOTS: [Option<usize>; 4] = [Some(0), Some(1), Some(0), None];
    SLOTS[name.index()]
}

/// How much happens.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many readers there are.
    pub readers: usize,
    /// How often each of them reads.
    pub reads: u8,
    /// How often others invalidate the key or its tag.
    pub invalidations: u8,
    /// How often others invalidate the neighbour or the stranger.
    pub noise: u8,
    /// How often this node invalidates the key, its tag or the stranger.
    pub own: u8,
    /// How often the value changes at its source.
    pub changes: u8,
    /// How often another node loads and commits the key.
    pub remote: u8,
    /// How often the store drops its entry.
    pub expiries: u8,
}

impl Bounds {
    /// Two readers that read twice while one invalidation happens.
    pub const SMALL: Self =
        Self { readers: 2, reads: 2, invalidations: 1, noise: 0, own: 0, changes: 0, remote: 0, expiries: 0 };
}

/// The steps of the protocol; a field that is `false` leaves one out.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// Those of the order.
    pub order: order::Steps,
    /// A barrier raises the floors, then publishes `applied`.
    pub floors_before_applied: bool,
    /// A read shares the next barrier, never one that is under way.
    pub share_the_next_barrier: bool,
    /// An answer from whose records some are missing raises all floors.
    pub jump_over_a_gap: bool,
    /// The list of a late answer is ignored.
    pub late_list_is_ignored: bool,
    /// A hit reads `applied` before the floors.
    pub applied_before_floors: bool,
    /// A hit looks at the floors of the whole closure.
    pub hit_asks_the_closure: bool,
    /// The node's own publish leaves `applied` where it is.
    pub own_publish_leaves_applied: bool,
    /// The node's own publish raises the floor at once.
    pub own_publish_raises_floors: bool,
    /// A read joins only a load that began at or after its barrier.
    pub join_after_barrier: bool,
    /// Nobody joins a flight that is asking where the order stands.
    pub closed_takes_nobody: bool,
    /// A value is kept only if no name moved since its load began.
    pub commit_asks_the_predicate: bool,
    /// What was refused is not kept.
    pub refused_is_not_kept: bool,
    /// An entry comes into memory with the position that COMMIT returned.
    pub kept_at_the_position_of_commit: bool,
    /// A valid entry with a larger `as_of` stays.
    pub larger_as_of_stays: bool,
    /// A COMMIT over a valid entry of another version takes a position.
    pub announce_change: bool,
    /// So does one that is refused.
    pub refusal_announces: bool,
    /// Where that entry's load did not begin earlier, neither stays.
    pub unknown_order_keeps_neither: bool,
}

impl Steps {
    /// The protocol.
    pub const ALL: Self = Self {
        order: order::Steps::ALL,
        floors_before_applied: true,
        share_the_next_barrier: true,
        jump_over_a_gap: true,
        late_list_is_ignored: true,
        applied_before_floors: true,
        hit_asks_the_closure: true,
        own_publish_leaves_applied: true,
        own_publish_raises_floors: true,
        join_after_barrier: true,
        closed_takes_nobody: true,
        commit_asks_the_predicate: true,
        refused_is_not_kept: true,
        kept_at_the_position_of_commit: true,
        larger_as_of_stays: true,
        announce_change: true,
        refusal_announces: true,
        unknown_order_keeps_neither: true,
    };
}

/// The model.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// How much happens.
    pub bounds: Bounds,
    /// Which steps are taken.
    pub steps: Steps,
}

/// All that can differ between two moments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    store: Store,
    node: Node,
    readers: Vec<Reader>,
    remote: Remote,
    left: Left,
    /// The version that the source has.
    source: u8,
    /// What a read that begins now must see.
    must: Must,
    /// Whether a read was answered by what it must not see.
    stale: bool,
}

/// What a read must see: the load of its answer began at these positions or after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Must {
    /// The highest position of an invalidation that has returned.
    invalidated: Position,
    /// The highest h of a load that was found to differ from another.
    found: Position,
}

/// What the node knows and does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    applied: Position,
    floors: [Position; 2],
    entry: Option<Entry>,
    barriers: [Barrier; 2],
    publish: Option<(Position, Target)>,
    running: Option<Flight>,
    /// Whether a flight waits for the running one to land.
    next: bool,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Left {
    invalidations: u8,
    noise: u8,
    own: u8,
    changes: u8,
    expiries: u8,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The value changes at its source.
    SourceChanges,
    /// Another node's invalidation takes effect and returns.
    OthersInvalidate(Target),
    /// This node's invalidation takes effect.
    NodeInvalidates(Target),
    /// Its answer arrives.
    NodeInvalidated,
    /// The store drops its entry.
    EntryExpires,
    /// A barrier goes on.
    Barrier(usize, &'static str),
    /// A reader begins a read.
    Begin(usize),
    /// A read goes on.
    Read(usize, &'static str),
    /// The flight goes on.
    Flight(&'static str),
    /// The other node's fill goes on.
    Remote(&'static str),
}

impl Model for Memory {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let Bounds { readers, reads, invalidations, noise, own, changes, remote, expiries } = self.bounds;
        vec![State {
            store: Store::default(),
            node: Node::default(),
            readers: vec![Reader::idle(reads); readers],
            remote: Remote::idle(remote),
            left: Left { invalidations, noise, own, changes, expiries },
            source: 0,
            must: Must::default(),
            stale: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.stale {
            return;
        }
        self.world_actions(state, actions);
        self.barrier_actions(state, actions);
        self.reader_actions(state, actions);
        actions.extend(state.node.running.and_then(Flight::step).map(Action::Flight));
        actions.extend(state.remote.step().map(Action::Remote));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::SourceChanges => {
                next.left.changes -= 1;
                next.source += 1;
            }
            Action::OthersInvalidate(target) => self.others_invalidate(&mut next, target),
            Action::NodeInvalidates(target) => self.node_invalidates(&mut next, target),
            Action::NodeInvalidated => self.node_invalidated(&mut next),
            Action::EntryExpires => {
                next.left.expiries -= 1;
                next.store.entry = None;
            }
            Action::Barrier(place, _) => self.barrier(&mut next, place),
            Action::Begin(reader) => self.begin(&mut next, reader),
            Action::Read(reader, _) => self.read(&mut next, reader),
            Action::Flight(_) => self.flight(&mut next),
            Action::Remote(_) => self.remote(&mut next),
        }
        next.canonical();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(
                "I1: no read is answered from before an invalidation that had returned",
                |_, state: &State| !state.stale,
            ),
            Property::sometimes("a flight waits for another to land", |_, state: &State| state.node.next),
            Property::sometimes("all was read and is in memory", |_, state: &State| {
                state.readers.iter().all(Reader::is_done) && state.node.entry.is_some()
            }),
        ];
        if self.bounds.noise > 0 {
            properties.push(Property::sometimes("a hit raises an entry", |_, state: &State| state.raised()));
        }
        properties
    }
}

impl Memory {
    fn world_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = state.left;
        if left.changes > 0 {
            actions.push(Action::SourceChanges);
        }
        if left.invalidations > 0 {
            actions.extend([Target::Key, Target::Tag].map(Action::OthersInvalidate));
        }
        if left.noise > 0 {
            actions.extend([Target::Neighbour, Target::Stranger].map(Action::OthersInvalidate));
        }
        if state.node.publish.is_some() {
            actions.push(Action::NodeInvalidated);
        } else if left.own > 0 {
            actions.extend([Target::Key, Target::Tag, Target::Stranger].map(Action::NodeInvalidates));
        }
        if left.expiries > 0 && state.store.entry.is_some() {
            actions.push(Action::EntryExpires);
        }
    }

    fn others_invalidate(&self, state: &mut State, target: Target) {
        let position = state.store.order.invalidate(target.name(), &self.steps.order);
        if target.counts() {
            state.left.invalidations -= 1;
            state.must.invalidated = position;
        } else {
            state.left.noise -= 1;
        }
    }

    fn node_invalidates(&self, state: &mut State, target: Target) {
        state.left.own -= 1;
        let position = state.store.order.invalidate(target.name(), &self.steps.order);
        state.node.publish = Some((position, target));
    }

    /// Raises the floor at once; `applied` moves only in order. In the code: `store::Horizon::raise`.
    fn node_invalidated(&self, state: &mut State) {
        let Some((position, target)) = state.node.publish.take() else { return };
        if self.steps.own_publish_raises_floors {
            state.node.raise_floor(target.name(), position);
        }
        if !self.steps.own_publish_leaves_applied {
            state.node.applied = state.node.applied.max(position);
        }
        if target.counts() {
            state.must.invalidated = state.must.invalidated.max(position);
        }
    }
}

impl Node {
    fn raise_floor(&mut self, name: Name, position: Position) {
        if let Some(slot) = slot(name) {
            self.floors[slot] = self.floors[slot].max(position);
        }
    }
}

impl State {
    /// Notes an answer: I1 is broken if its load began before what the read must see.
    fn answer(&mut self, must: Must, entry: Entry) {
        self.stale |= entry.h < must.invalidated || entry.h < must.found && entry.value != self.source;
    }

    fn raised(&self) -> bool {
        self.node.entry.zip(self.store.entry).is_some_and(|(here, there)| here.as_of > there.as_of)
    }

    /// Makes states equal that differ only in who is who.
    fn canonical(&mut self) {
        if self.node.barriers[0] > self.node.barriers[1] {
            self.node.barriers.swap(0, 1);
            self.readers.iter_mut().for_each(Reader::swap_barriers);
        }
        self.readers.sort_unstable();
    }
}
