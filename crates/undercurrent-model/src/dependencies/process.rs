//! A reader, the fills that it waits for, and what its answer must be.

use crate::order::Position;

use super::entry::{Entry, Input};
use super::fill::{Fill, Phase, Turn};
use super::{Action, Broken, Dependencies, FRESH, Key, State, VERIFIED};

/// How often a `verified` read begins again when its sources move.
const TRIES: u8 = 2;

/// Someone who reads again and again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Process {
    left: u8,
    read: Option<Read>,
}

/// A read that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Read {
    key: Key,
    must: Must,
    verified: bool,
    tries: u8,
    /// The fill that the reader waits for, and those that wait inside it for each other.
    fills: Vec<Fill>,
    /// What a `verified` read is about to ask the sources about.
    found: Option<Entry>,
}

/// What an answer must not be older than.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Must {
    sources: [u8; 3],
    found: Position,
}

impl Process {
    pub(super) fn idle(reads: u8) -> Self {
        Self { left: reads, read: None }
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0 && self.read.is_none()
    }

    /// Says whether it is about to keep a value without a load.
    pub(super) fn restamps(&self) -> bool {
        let top = self.read.as_ref().and_then(|read| read.fills.last());
        top.is_some_and(|fill| matches!(fill.phase, Phase::Restamps(_)))
    }
}

impl Dependencies {
    pub(super) fn process_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (i, process) in state.processes.iter().enumerate() {
            if i > 0 && *process == state.processes[i - 1] {
                continue;
            }
            match &process.read {
                None if process.left > 0 => {
                    for key in self.bounds.keys {
                        actions.push(Action::Begin(i, *key, FRESH));
                        if self.bounds.verified {
                            actions.push(Action::Begin(i, *key, VERIFIED));
                        }
                    }
                }
                None => {}
                Some(read) => actions.push(match read.fills.last() {
                    Some(fill) => Action::Step(i, fill.key, fill.step()),
                    None => Action::Step(i, read.key, "asks the sources of the closure"),
                }),
            }
        }
    }

    /// Begins a read: it must see what was announced, and whatever changed if nobody vouches for it or it is
    /// `verified`. In the code: `cache::read::miss`.
    pub(super) fn begin(&self, state: &mut State, i: usize, key: Key, verified: bool) {
        let mut sources = if verified { state.sources } else { state.announced };
        if state.unwatched {
            sources[0] = state.sources[0];
        }
        let found = self.bounds.graph.always_from(key).iter().map(|key| state.found[key.index()]).max();
        let must = Must { sources, found: found.unwrap_or(0) };
        let fills = vec![Fill::new(key, verified && key.is_leaf())];
        let process = &mut state.processes[i];
        process.left -= 1;
        process.read = Some(Read { key, must, verified, tries: 0, fills, found: None });
    }

    /// Takes the innermost fill of a read one step on, and hands its answer to the one that waits for it.
    pub(super) fn step(&self, state: &mut State, i: usize) {
        let Some(mut read) = state.processes[i].read.take() else { return };
        let Some(fill) = read.fills.pop() else {
            state.processes[i].read = self.ask_sources(state, read);
            return;
        };
        let compares = matches!(read.fills.last(), Some(Fill { phase: Phase::Compares(_), .. }));
        let stale_will_do = compares && !self.steps.cutoff_reads_fresh_inputs;
        let mut turn = self.fill(state, fill, stale_will_do);
        loop {
            match turn {
                Turn::Rests(fill) => read.fills.push(fill),
                Turn::Reads(fill, key) => read.fills.extend([fill, Fill::new(key, false)]),
                Turn::Unstable => return,
                Turn::Ends(key, entry) => match read.fills.pop() {
                    Some(outer) => {
                        turn = self.receive(state, outer, Input::new(key, &entry));
                        continue;
                    }
                    None => {
                        state.processes[i].read = self.finish(state, read, key, entry);
                        return;
                    }
                },
            }
            break;
        }
        state.processes[i].read = Some(read);
    }

    /// Ends a read, or goes on with one at `verified`: from an answer to the sources, from a source to the answer.
    fn finish(&self, state: &mut State, mut read: Read, key: Key, entry: Entry) -> Option<Read> {
        if read.verified && key != read.key {
            read.fills.push(Fill::new(read.key, false));
        } else if read.verified && !key.is_leaf() {
            read.found = Some(entry);
        } else {
            self.judge(state, &read, &entry);
            return None;
        }
        Some(read)
    }

    /// Asks the sources of all keys in the closure whether they are at the versions that the answer was made from;
    /// the first that is not is filled anew. In the code: `cache::read::verified` and `cache::read::holds`.
    fn ask_sources(&self, state: &mut State, mut read: Read) -> Option<Read> {
        let entry = read.found.take()?;
        let moved = Key::ALL.into_iter().filter(|key| key.is_leaf()).find(|key| {
            entry.versions[key.index()].is_some_and(|version| version != state.sources[key.index()])
        });
        let Some(key) = moved else {
            self.judge(state, &read, &entry);
            return None;
        };
        read.tries += 1;
        read.fills.push(Fill::new(key, true));
        (read.tries < TRIES).then_some(read)
    }

    /// Judges an answer by all states that the sources were in.
    fn judge(&self, state: &mut State, read: &Read, entry: &Entry) {
        let graph = self.bounds.graph;
        let [a, b, tag] = state.sources;
        let gives = |from: [u8; 3]| {
            let states = (from[0]..=a).flat_map(|a| (from[1]..=b).map(move |b| (a, b)));
            let mut states = states.flat_map(|(a, b)| (from[2]..=tag).map(move |tag| [a, b, tag]));
            states.any(|sources| graph.value(read.key, sources) == entry.value)
        };
        let overtaken = entry.h < read.must.found && entry.value != graph.value(read.key, state.sources);
        if !gives([0; 3]) {
            state.broken = Some(Broken::Mixed);
        } else if overtaken || !gives(read.must.sources) {
            state.broken = Some(Broken::Stale);
        }
    }
}
