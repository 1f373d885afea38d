//! A fill: h first, then early cutoff and RESTAMP, or a load and COMMIT.

use crate::order::Position;

use super::entry::{Entry, Input, Versions, join_closures, join_versions};
use super::graph::Next;
use super::{Dependencies, Key, State};

/// How often a fill begins again when its inputs do not fit together.
const TRIES: u8 = 2;

/// A read of one key, by a reader or inside another fill.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Fill {
    pub(super) key: Key,
    pub(super) phase: Phase,
    /// Whether the source must be asked, though the entry may be valid.
    ask: bool,
    h: Position,
    tries: u8,
    got: Vec<Input>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Is about to READ.
    Reads,
    /// Reads the inputs of an entry that is no longer valid, to compare their versions.
    Compares(Entry),
    /// The loader reads its inputs.
    Loads,
    /// Is about to ask the source.
    Asks,
    /// Has a value for COMMIT.
    Commits(u8),
    /// Has found all inputs as they were, for RESTAMP.
    Restamps(Entry),
}

impl Fill {
    pub(super) fn new(key: Key, ask: bool) -> Self {
        Self { key, phase: Phase::Reads, ask, h: 0, tries: 0, got: Vec::new() }
    }

    pub(super) fn step(&self) -> &'static str {
        match self.phase {
            Phase::Reads => "READ",
            Phase::Compares(_) | Phase::Loads => "waits for an input",
            Phase::Asks => "asks the source",
            Phase::Commits(_) => "COMMIT",
            Phase::Restamps(_) => "RESTAMP",
        }
    }

    fn entry(&self, value: u8, versions: Versions, transitive: bool) -> Entry {
        Entry {
            value,
            h: self.h,
            as_of: 0,
            closure: join_closures(self.key.own(), &self.got, transitive),
            versions,
            inputs: self.got.iter().map(|input| (input.key, input.value)).collect(),
        }
    }
}

/// What a fill comes to next.
pub(super) enum Turn {
    /// It goes on at its next step.
    Rests(Fill),
    /// It waits for another key.
    Reads(Fill, Key),
    /// It has its answer.
    Ends(Key, Entry),
    /// Its inputs did not fit together in any try.
    Unstable,
}

impl Dependencies {
    /// Makes the entry that a fill makes when nothing else happens, and nothing has.
    pub(super) fn first_entry(&self, key: Key) -> Entry {
        let mut fill = Fill::new(key, false);
        while !key.is_leaf()
            && let Next::Reads(input) = self.bounds.graph.next(key, &fill.got, 0, true)
        {
            fill.got.push(Input::new(input, &self.first_entry(input)));
        }
        let versions = join_versions(&fill.got).unwrap_or([None; 4]);
        fill.entry(self.bounds.graph.value(key, [0; 3]), versions, self.steps.closure_is_transitive)
    }

    /// Takes a fill one step on. `stale_will_do` is the word of a cutoff that was told to look at its inputs as they
    /// stand. In the code: `cache::fill::attempt`.
    pub(super) fn fill(&self, state: &mut State, mut fill: Fill, stale_will_do: bool) -> Turn {
        match fill.phase.clone() {
            Phase::Reads => self.read_first(state, fill, stale_will_do),
            Phase::Asks => {
                let value = self.bounds.graph.value(fill.key, state.sources);
                fill.phase = Phase::Commits(value);
                Turn::Rests(fill)
            }
            Phase::Commits(value) => {
                if !self.steps.h_before_the_load {
                    fill.h = state.order.position();
                }
                let versions = join_versions(&fill.got).unwrap_or([None; 4]);
                let entry = fill.entry(value, versions, self.steps.closure_is_transitive);
                self.commit(state, fill.key, entry.clone());
                Turn::Ends(fill.key, entry)
            }
            Phase::Restamps(old) => {
                let versions = join_versions(&fill.got).unwrap_or([None; 4]);
                let mut entry = fill.entry(old.value, versions, self.steps.closure_is_transitive);
                if !self.steps.restamp_takes_current_closures {
                    entry.closure = old.closure;
                }
                self.restamp(state, fill.key, &old, entry.clone());
                Turn::Ends(fill.key, entry)
            }
            Phase::Compares(_) | Phase::Loads => Turn::Rests(fill),
        }
    }

    fn read_first(&self, state: &mut State, mut fill: Fill, stale_will_do: bool) -> Turn {
        if stale_will_do && let Some(entry) = &state.entries[fill.key.index()] {
            return Turn::Ends(fill.key, entry.clone());
        }
        if !fill.ask
            && let Some(entry) = self.read_valid(state, fill.key)
        {
            return Turn::Ends(fill.key, entry);
        }
        fill.h = state.order.position();
        if fill.key.is_leaf() {
            fill.phase = Phase::Asks;
            return Turn::Rests(fill);
        }
        fill.phase = match state.entries[fill.key.index()].clone() {
            Some(old) if !self.own_moved(state, fill.key, &old) => Phase::Compares(old),
            Some(old) if !self.steps.cutoff_needs_own_unmoved => Phase::Compares(old),
            _ => Phase::Loads,
        };
        self.go_on(state, fill)
    }

    /// Gives a fill the input it waited for. In the code: `cache::fill::revalidate` and `cache::fill::load`.
    pub(super) fn receive(&self, state: &mut State, mut fill: Fill, input: Input) -> Turn {
        fill.got.push(input);
        if let Phase::Compares(old) = &fill.phase
            && old.inputs[fill.got.len() - 1] != (input.key, input.value)
        {
            fill.got.clear();
            fill.phase = Phase::Loads;
        }
        self.go_on(state, fill)
    }

    fn go_on(&self, state: &mut State, mut fill: Fill) -> Turn {
        fill.phase = match &fill.phase {
            Phase::Compares(old) => match old.inputs.get(fill.got.len()) {
                Some((key, _)) => {
                    let key = *key;
                    return Turn::Reads(fill, key);
                }
                None => Phase::Restamps(old.clone()),
            },
            _ => {
                let once = self.steps.inputs_are_read_once;
                match self.bounds.graph.next(fill.key, &fill.got, state.sources[2], once) {
                    Next::Reads(key) => return Turn::Reads(fill, key),
                    Next::Returns(value) => Phase::Commits(value),
                }
            }
        };
        match join_versions(&fill.got) {
            Err(moving) if self.steps.no_mixture => self.begin_again(state, &fill, moving),
            _ => Turn::Rests(fill),
        }
    }

    /// The value is for nobody: the key that was read in two versions is invalidated, and h is asked for anew. In the
    /// code: `cache::fill::fill`.
    fn begin_again(&self, state: &mut State, fill: &Fill, moving: Key) -> Turn {
        state.order.invalidate(moving.name(), &self.steps.order);
        let tries = fill.tries + 1;
        if tries == TRIES {
            return Turn::Unstable;
        }
        Turn::Rests(Fill { tries, ..Fill::new(fill.key, fill.ask) })
    }
}
