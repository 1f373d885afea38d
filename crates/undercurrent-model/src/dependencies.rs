//! One store and values made from values, with every script of the store as one step.
//!
//! `a` and `b` are loaded from sources, `m` is made from them and from something that has only a tag, and `k` is made
//! from `m`, or from `m` and `a`. Readers fill what is not valid, each for itself: that fills are shared saves work
//! and is left out. Sources change first and are announced later; a change may be met by a `verified` read before. In
//! version 0 of a source nothing is there: that is an answer like any other, so what holds here holds for negative
//! entries too (I6).
//!
//! The invariants: an answer is what some one state of the sources gives (I5), and that state is not before what the
//! read must see (I1): the changes announced before it began, and for `verified` or in doubt all changes. Nor did its
//! load begin before one that was found to differ, unless it is what the sources have.

mod entry;
mod fill;
mod graph;
mod process;
mod store;

use stateright::{Model, Property};

use crate::order::{self, Order, Position};
use entry::Entry;
use process::Process;

pub use graph::{Graph, Key};

/// How much happens.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What is made from what.
    pub graph: Graph,
    /// How many readers there are.
    pub processes: usize,
    /// How often each of them reads.
    pub reads: u8,
    /// Which keys they read.
    pub keys: &'static [Key],
    /// Whether these keys, and all that they are made from, are kept already when the first read begins.
    pub warm: bool,
    /// How often the sources of `a` and `b` and what the tag stands for change.
    pub changes: [u8; 3],
    /// How often each key is invalidated although nothing changed. Where nothing is made from `b`, that only takes
    /// positions.
    pub needless: [u8; 4],
    /// How often the store drops an entry.
    pub expiries: u8,
    /// How often the scope of `a` comes in doubt.
    pub doubts: u8,
    /// Whether reads may ask for `verified`.
    pub verified: bool,
}

impl Bounds {
    /// Two readers that read once, and two changes of `a`.
    pub const SMALL: Self = Self {
        graph: Graph::Chain,
        processes: 2,
        reads: 1,
        keys: &[Key::M, Key::K],
        warm: false,
        changes: [2, 0, 0],
        needless: [0; 4],
        expiries: 0,
        doubts: 0,
        verified: false,
    };
}

/// The steps of the protocol; a field that is `false` leaves one out.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// Those of the order.
    pub order: order::Steps,
    /// The position of a load is asked for before it begins.
    pub h_before_the_load: bool,
    /// A value is kept only if the predicate holds.
    pub commit_asks_the_predicate: bool,
    /// The predicate is asked of the whole closure, not of the own key alone.
    pub commit_asks_the_closure: bool,
    /// The closure holds the closures of all inputs.
    pub closure_is_transitive: bool,
    /// A loader reads each input once.
    pub inputs_are_read_once: bool,
    /// No value is made from two versions of one key.
    pub no_mixture: bool,
    /// A value is kept without a load only if no own name moved.
    pub cutoff_needs_own_unmoved: bool,
    /// Early cutoff reads its inputs no older than itself.
    pub cutoff_reads_fresh_inputs: bool,
    /// The predicate of RESTAMP is evaluated at h.
    pub restamp_at_h: bool,
    /// RESTAMP writes the closures that the inputs have now.
    pub restamp_takes_current_closures: bool,
    /// RESTAMP replaces only the entry that READ returned.
    pub restamp_over_the_same: bool,
    /// A COMMIT over a valid entry of another version takes a position.
    pub announce_change: bool,
    /// So does one that is refused.
    pub refusal_announces: bool,
    /// Where that entry's load did not begin earlier, neither stays.
    pub unknown_order_keeps_neither: bool,
    /// What is not there is invalidated like a value.
    pub negative_alike: bool,
}

impl Steps {
    /// The protocol.
    pub const ALL: Self = Self {
        order: order::Steps::ALL,
        h_before_the_load: true,
        commit_asks_the_predicate: true,
        commit_asks_the_closure: true,
        closure_is_transitive: true,
        inputs_are_read_once: true,
        no_mixture: true,
        cutoff_needs_own_unmoved: true,
        cutoff_reads_fresh_inputs: true,
        restamp_at_h: true,
        restamp_takes_current_closures: true,
        restamp_over_the_same: true,
        announce_change: true,
        refusal_announces: true,
        unknown_order_keeps_neither: true,
        negative_alike: true,
    };
}

/// The model.
#[derive(Clone, Copy, Debug)]
pub struct Dependencies {
    /// How much happens.
    pub bounds: Bounds,
    /// Which steps are taken.
    pub steps: Steps,
}

/// All that can differ between two moments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    sources: [u8; 3],
    /// Of each source, the latest change that has been announced.
    announced: [u8; 3],
    /// Of each key, the highest h of a load that was found to differ from another.
    found: [Position; 4],
    order: Order,
    entries: [Option<Entry>; 4],
    processes: Vec<Process>,
    /// Whether the scope of `a` is without an owner, whatever the store knows of it.
    unwatched: bool,
    left: Left,
    broken: Option<Broken>,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Left {
    needless: [u8; 4],
    expiries: u8,
    doubts: u8,
    /// Invalidations of a scope that is in doubt.
    doubtful: u8,
}

/// What an answer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Broken {
    Stale,
    Mixed,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A source changes.
    Changes(usize),
    /// Its latest change is announced: the key or tag it is about is invalidated.
    Announces(usize),
    /// A key is invalidated although nothing changed.
    Invalidates(Key),
    /// The scope of `a` comes in doubt.
    ScopeInDoubt,
    /// The scope is invalidated while it is in doubt.
    ScopeInvalidated,
    /// The owner of the scope vouches for it again.
    ScopeVouched,
    /// The store drops an entry.
    Expires(Key),
    /// A read begins.
    Begin(usize, Key, &'static str),
    /// A read or a fill inside it goes on.
    Step(usize, Key, &'static str),
}

impl Model for Dependencies {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let Bounds { processes, reads, needless, expiries, doubts, .. } = self.bounds;
        vec![State {
            sources: [0; 3],
            announced: [0; 3],
            found: [0; 4],
            order: Order::default(),
            entries: if self.bounds.warm { self.warm() } else { [const { None }; 4] },
            processes: vec![Process::idle(reads); processes],
            unwatched: false,
            left: Left { needless, expiries, doubts, doubtful: doubts },
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        for source in 0..3 {
            if state.sources[source] < self.bounds.changes[source] {
                actions.push(Action::Changes(source));
            }
            if state.sources[source] > state.announced[source] {
                actions.push(Action::Announces(source));
            }
        }
        let needless = |key: &Key| state.left.needless[key.index()] > 0;
        actions.extend(Key::ALL.into_iter().filter(needless).map(Action::Invalidates));
        self.doubt_actions(state, actions);
        if state.left.expiries > 0 {
            let stands = |key: &Key| state.entries[key.index()].is_some();
            actions.extend(Key::ALL.into_iter().filter(stands).map(Action::Expires));
        }
        self.process_actions(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Changes(source) => next.sources[source] += 1,
            Action::Announces(source) => {
                next.announced[source] = next.sources[source];
                next.order.invalidate(graph::ABOUT[source], &self.steps.order);
            }
            Action::Invalidates(key) => {
                next.left.needless[key.index()] -= 1;
                next.order.invalidate(key.name(), &self.steps.order);
            }
            Action::ScopeInDoubt => {
                next.left.doubts -= 1;
                next.unwatched = true;
                next.order.put_in_doubt(graph::SCOPE, &self.steps.order);
            }
            Action::ScopeInvalidated => {
                next.left.doubtful -= 1;
                next.order.invalidate(graph::SCOPE, &self.steps.order);
            }
            Action::ScopeVouched => {
                next.unwatched = false;
                next.announced[0] = next.sources[0];
                next.order.vouch(graph::SCOPE, &self.steps.order);
            }
            Action::Expires(key) => {
                next.left.expiries -= 1;
                next.entries[key.index()] = None;
            }
            Action::Begin(process, key, level) => self.begin(&mut next, process, key, level == VERIFIED),
            Action::Step(process, ..) => self.step(&mut next, process),
        }
        next.processes.sort_unstable();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I1: no answer is from before what its read must see", |_, state: &State| {
                state.broken != Some(Broken::Stale)
            }),
            Property::always("I5: an answer is what one state of the sources gives", |_, state: &State| {
                state.broken != Some(Broken::Mixed)
            }),
            Property::sometimes("a value is kept without a load", |_, state: &State| {
                state.processes.iter().any(Process::restamps)
            }),
            Property::sometimes("all was read and is kept", |_, state: &State| {
                state.processes.iter().all(Process::is_done) && state.entries[Key::K.index()].is_some()
            }),
        ]
    }
}

const FRESH: &str = "at fresh";
const VERIFIED: &str = "at verified";

impl Dependencies {
    /// Makes the entries of the keys that are read, and of what they are made from, as of before everything.
    fn warm(&self) -> [Option<Entry>; 4] {
        let mut entries = [const { None }; 4];
        for key in self.bounds.keys.iter().flat_map(|key| self.bounds.graph.always_from(*key)) {
            entries[key.index()] = Some(self.first_entry(*key));
        }
        entries
    }

    fn doubt_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.unwatched {
            actions.push(Action::ScopeVouched);
            if state.left.doubtful > 0 {
                actions.push(Action::ScopeInvalidated);
            }
        } else if state.left.doubts > 0 {
            actions.push(Action::ScopeInDoubt);
        }
    }
}
