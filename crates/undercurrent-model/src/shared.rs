//! One store that many nodes share, and that can be lost, or taken back to an earlier state.
//!
//! Two servers: a primary and a replica that lags. The replica is promoted, and perhaps the first one again; the old
//! primary is gone, goes on answering the connections it has, or does not know that it is one no longer. A server
//! starts again with nothing or with an earlier state, is flushed, or evicts `control` or `last` alone; its log is
//! trimmed, its names are retired. Nodes have a connection each, which claims the namespace and may outlive what its
//! server was. They read one key at `fresh`, with its memory in between, and publish. Processes that know nothing come,
//! claim, publish and go. The source has an owner with a lease, which may end.
//!
//! Scripts are one step each; their answers come later. A value is a version of the source. The invariants: no
//! answer is older than what its read must see (I1), and no barrier is taken as one of the order that the node knows
//! if the store took a position of it twice. What a read must see: the version of the latest invalidation that
//! returned before it began; every version, where nobody vouches for the source; nothing, while two servers are
//! primaries at once. A Dragonfly that is promoted back before anybody claimed the other may lose invalidations so
//! that no process can tell but one that knew of them: then only that one's reads must see them, and only while the
//! log reaches back so far.

mod claim;
mod lease;
mod node;
mod reader;
mod scripts;
mod server;
mod steps;

use stateright::{Model, Property};

use crate::order::{Closure, Name};
use claim::Connection;
use lease::{Owner, Renewal, SCOPE};
use node::Node;
use reader::Reader;
use server::{Data, Drawn, Role, Server};

pub use server::{Kind, Old, Snapshot};
pub use steps::Steps;

/// The key that is read.
const KEY: Name = Name(0);
/// A name that the key does not depend on.
const STRANGER: Name = Name(2);
const CLOSURE: Closure = Closure::of(&[KEY, SCOPE]);

/// How much happens.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Which kind of server it is.
    pub kind: Kind,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many readers each of them has: one or two.
    pub readers: usize,
    /// How often each of them reads.
    pub reads: u8,
    /// Whether the value is kept already, by the store and by all nodes.
    pub warm: bool,
    /// How often the source changes.
    pub changes: u8,
    /// Whether nodes publish too, and not only processes that know nothing.
    pub nodes_publish: bool,
    /// Whether a node must see what it was told of although the store lost it untellably for all others.
    pub known: bool,
    /// How often something is published that the key does not depend on.
    pub noise: u8,
    /// How often the other server is promoted.
    pub promotions: u8,
    /// What becomes of the old primary.
    pub old: Old,
    /// How often the primary starts again.
    pub restarts: u8,
    /// With what it starts.
    pub snapshot: Snapshot,
    /// How often the primary is flushed.
    pub flushes: u8,
    /// How often `control` is evicted, and `last`.
    pub evictions: [u8; 2],
    /// How often a name is retired.
    pub retirements: u8,
    /// How often a connection is cut that is as it was.
    pub cuts: u8,
    /// Whether INFO, CLAIM and INFO are steps of their own.
    pub slow_claims: bool,
    /// Whether the source has an owner with a lease.
    pub lease: bool,
    /// How often the time of a lease passes.
    pub ticks: u8,
    /// How often the owner is blind or gone.
    pub outages: u8,
    /// How often its RENEW is long on the way.
    pub delays: u8,
}

impl Bounds {
    /// Two nodes that read once what is kept already, one change, and one promotion of a Redis.
    pub const SMALL: Self = Self {
        kind: Kind::Redis,
        nodes: 2,
        readers: 1,
        reads: 1,
        warm: true,
        changes: 1,
        nodes_publish: false,
        known: true,
        noise: 0,
        promotions: 1,
        old: Old::Replica,
        restarts: 0,
        snapshot: Snapshot::Empty,
        flushes: 0,
        evictions: [0; 2],
        retirements: 0,
        cuts: 0,
        slow_claims: false,
        lease: false,
        ticks: 0,
        outages: 0,
        delays: 0,
    };
}

/// The model.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// How much happens.
    pub bounds: Bounds,
    /// Which steps are taken.
    pub steps: Steps,
}

/// All that can differ between two moments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    servers: [Server; 2],
    /// The server that new connections go to.
    named: usize,
    nodes: Vec<Node>,
    drawn: Drawn,
    /// The version that the source has.
    source: u8,
    /// The version of the latest invalidation that returned and was not lost untellably.
    returned: u8,
    owner: Owner,
    /// How often it has put its scope in doubt.
    word: u8,
    /// Its RENEW that is long on the way.
    delayed: Option<Renewal>,
    /// The time of the servers.
    clock: u8,
    /// When the lease ends that the owner was last given.
    vouched_until: u8,
    left: Left,
    /// Whether a read was answered by what is older than it must be.
    stale: bool,
    /// Whether a barrier was taken as of an order that it is not of.
    confused: bool,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Left {
    changes: u8,
    noise: u8,
    promotions: u8,
    restarts: u8,
    flushes: u8,
    evictions: [u8; 2],
    retirements: u8,
    cuts: u8,
    ticks: u8,
    outages: u8,
    delays: u8,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The source changes.
    SourceChanges,
    /// A process that knows nothing claims, and publishes that it changed.
    OthersAnnounce,
    /// A process that knows nothing claims, and publishes something else.
    OthersPublish,
    /// A node publishes that the source changed.
    NodeAnnounces(usize),
    /// A node publishes something else.
    NodePublishes(usize),
    /// The replica is brought to where the primary is.
    Replicates,
    /// The other server is promoted.
    Promotes,
    /// The server that was the primary learns that it is one no longer.
    Demotes,
    /// The primary starts again.
    Restarts,
    /// The primary is flushed.
    Flushes,
    /// The primary evicts `control`.
    EvictsControl,
    /// The primary evicts `last`.
    EvictsLast,
    /// A name is retired.
    Retires,
    /// A node's connection goes on.
    Connection(usize, &'static str),
    /// A node's connection is cut.
    Cut(usize),
    /// A node's read goes on.
    Read(usize, usize, &'static str),
    /// The time of a lease passes.
    TimePasses,
    /// The source's owner says that it sees nothing.
    OwnerGoesBlind,
    /// The source's owner is gone.
    OwnerDies,
    /// It is back, and has announced what it missed.
    OwnerReturns,
    /// It renews its lease.
    OwnerRenews,
    /// It renews its lease on a connection that is lost.
    RenewalIsDelayed,
    /// And the server hears it after all.
    RenewalArrives,
}

impl Model for Shared {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let Bounds { nodes, changes, noise, promotions, restarts, flushes, evictions, .. } = self.bounds;
        let Bounds { retirements, cuts, ticks, outages, delays, .. } = self.bounds;
        let mut drawn = Drawn::default();
        let servers = self.servers(&mut drawn);
        let node = self.node(&servers[0]);
        vec![State {
            servers,
            named: 0,
            nodes: vec![node; nodes],
            drawn,
            source: 0,
            returned: 0,
            owner: Owner::Watches,
            word: 0,
            delayed: None,
            clock: 0,
            vouched_until: 1,
            left: Left {
                changes,
                noise,
                promotions,
                restarts,
                flushes,
                evictions,
                retirements,
                cuts,
                ticks,
                outages,
                delays,
            },
            stale: false,
            confused: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.stale || state.confused {
            return;
        }
        self.publish_actions(state, actions);
        self.server_actions(state, actions);
        self.lease_actions(state, actions);
        for i in 0..state.nodes.len() {
            if i == 0 || state.nodes[i] != state.nodes[i - 1] {
                self.node_actions(state, i, actions);
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.left.spend(&action);
        match action {
            Action::SourceChanges => next.source += 1,
            Action::OthersAnnounce => self.others_publish(&mut next, KEY),
            Action::OthersPublish => self.others_publish(&mut next, STRANGER),
            Action::NodeAnnounces(i) => self.publish(&mut next, i, KEY),
            Action::NodePublishes(i) => self.publish(&mut next, i, STRANGER),
            Action::Replicates => self.replicate(&mut next),
            Action::Promotes => self.promote(&mut next, self.bounds.old),
            Action::Demotes => next.servers[1 - state.named].role = Role::Replica,
            Action::Restarts => self.restart(&mut next, self.bounds.snapshot),
            Action::Flushes => next.servers[state.named].data = Data::default(),
            Action::EvictsControl => next.servers[state.named].data.control = None,
            Action::EvictsLast => Self::evict_last(&mut next),
            Action::Retires => self.retire(&mut next),
            Action::Connection(i, _) => self.connection(&mut next, i),
            Action::Cut(i) => self.cut_one(&mut next, i),
            Action::Read(i, r, _) => self.read(&mut next, i, r),
            Action::TimePasses => next.clock += 1,
            Action::OwnerGoesBlind => self.go_blind(&mut next),
            Action::OwnerDies => next.owner = Owner::Dead,
            Action::OwnerReturns => self.renew(&mut next, true),
            Action::OwnerRenews => self.renew(&mut next, false),
            Action::RenewalIsDelayed => self.delay_renewal(&mut next),
            Action::RenewalArrives => self.renewal_arrives(&mut next),
        }
        next.canonical();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("I1: no answer is older than what its read must see", |_, state: &State| {
                !state.stale
            }),
            Property::always(
                "no barrier is taken where a position that the node knows was taken twice",
                |_, state: &State| !state.confused,
            ),
            Property::sometimes("all was read, and is in memory again", |_, state: &State| {
                state.nodes.iter().all(|node| {
                    let kept = node.entry.is_some_and(|entry| entry.incarnation == node.incarnation);
                    kept && node.readers.iter().all(Reader::is_done)
                })
            }),
        ];
        if self.bounds.readers > 1 {
            properties.push(Property::sometimes("a read joins a load", |_, state: &State| {
                state.nodes.iter().any(|node| node.readers.iter().any(Reader::has_joined))
            }));
        }
        properties
    }
}

impl Shared {
    fn publish_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.left.changes > 0 {
            actions.push(Action::SourceChanges);
        }
        if state.servers[state.named].role != Role::Primary {
            return;
        }
        if state.source > state.servers[state.named].data.announced {
            actions.push(Action::OthersAnnounce);
        }
        if state.left.noise > 0 {
            actions.push(Action::OthersPublish);
        }
    }

    fn node_actions(&self, state: &State, i: usize, actions: &mut Vec<Action>) {
        self.connection_actions(state, i, actions);
        self.reader_actions(state, i, actions);
        if !self.bounds.nodes_publish || !state.nodes[i].connection.is_open() {
            return;
        }
        if state.source > state.servers[state.named].data.announced {
            actions.push(Action::NodeAnnounces(i));
        }
        if state.left.noise > 0 {
            actions.push(Action::NodePublishes(i));
        }
    }

    /// Makes a node that is connected and has read nothing yet.
    fn node(&self, primary: &Server) -> Node {
        let incarnation = primary.data.control.map_or(0, |control| control.incarnation);
        let top = primary.data.top();
        Node {
            connection: Connection::Open { server: 0, id: primary.id, incarnation },
            incarnation,
            left: 0,
            applied: top.position,
            applied_record: top,
            seen: top,
            highest: top.position,
            floor: 0,
            entry: primary.data.entry,
            readers: vec![Reader::idle(self.bounds.reads); self.bounds.readers],
            knows: 0,
        }
    }
}

impl Left {
    /// Takes off what a step uses up.
    fn spend(&mut self, action: &Action) {
        let left = match action {
            Action::SourceChanges => &mut self.changes,
            Action::OthersPublish | Action::NodePublishes(_) => &mut self.noise,
            Action::Promotes => &mut self.promotions,
            Action::Restarts => &mut self.restarts,
            Action::Flushes => &mut self.flushes,
            Action::EvictsControl => &mut self.evictions[0],
            Action::EvictsLast => &mut self.evictions[1],
            Action::Retires => &mut self.retirements,
            Action::TimePasses => &mut self.ticks,
            Action::OwnerGoesBlind | Action::OwnerDies => &mut self.outages,
            Action::RenewalIsDelayed => &mut self.delays,
            _ => return,
        };
        *left -= 1;
    }
}

impl State {
    /// Says whether two servers are primaries at once.
    fn is_split(&self) -> bool {
        self.servers[1 - self.named].role == Role::Primary
    }

    /// Promises no more than what was announced where the order goes on, but to those who know better.
    fn lose(&mut self, announced: u8) {
        self.returned = self.returned.min(announced);
        for node in &mut self.nodes {
            let known = announced.max(node.knows);
            node.readers.iter_mut().for_each(|reader| reader.must = reader.must.min(known));
        }
    }

    /// Promises a node no more than all others.
    fn forget(&mut self, i: usize) {
        let (node, returned) = (&mut self.nodes[i], self.returned);
        node.knows = 0;
        node.readers.iter_mut().for_each(|reader| reader.must = reader.must.min(returned));
    }

    fn promise_nothing(&mut self) {
        let readers = self.nodes.iter_mut().flat_map(|node| &mut node.readers);
        readers.for_each(|reader| reader.must = 0);
    }

    /// Makes states equal that differ only in who is who.
    fn canonical(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.readers.sort_unstable());
        self.nodes.sort_unstable();
    }
}
