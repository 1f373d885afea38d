//! Looks at all states of a model, or for the shortest way to one that must not be.

use std::fmt;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::{Duration, Instant};

use stateright::{Checker, CheckerBuilder, Expectation, HasDiscoveries, Model};

/// What looking at a model came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many different states were seen.
    pub states: usize,
    /// The length of the longest shortest way to one of them.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// What must always hold and does not, with the steps that lead there.
    pub broken: Option<(&'static str, Vec<String>)>,
    /// What must be possible and never happened: a model that does nothing breaks nothing.
    pub missing: Vec<&'static str>,
}

impl Report {
    /// Says whether all that must hold holds, and all that must be possible happened.
    pub fn holds(&self) -> bool {
        self.broken.is_none() && self.missing.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, depth, took, .. } = self;
        write!(f, "{states} states, depth {depth}, {:.1} s: ", took.as_secs_f64())?;
        match &self.broken {
            None if self.missing.is_empty() => f.write_str("holds"),
            None => write!(f, "holds, but never: {}", self.missing.join("; ")),
            Some((what, steps)) => {
                write!(f, "broken in {} steps: {what}", steps.len())?;
                steps.iter().enumerate().try_for_each(|(i, step)| write!(f, "\n  {:>2}. {step}", i + 1))
            }
        }
    }
}

/// A model whose states can be compared, shown and shared between threads.
pub trait Finite:
    Model<Action: Clone + Debug + PartialEq, State: Clone + Debug + Hash + PartialEq + Send + Sync>
    + Send
    + Sync
    + 'static
{
}

impl<M> Finite for M where
    M: Model<Action: Clone + Debug + PartialEq, State: Clone + Debug + Hash + PartialEq + Send + Sync>
        + Send
        + Sync
        + 'static
{
}

/// Looks at all states, with this many threads.
pub fn exhaust<M: Finite>(model: M, threads: usize) -> Report {
    run(model.checker().threads(threads))
}

/// Looks for the shortest way to a state that must not be, and ends there.
pub fn refute<M: Finite>(model: M) -> Report {
    run(model.checker().finish_when(HasDiscoveries::AnyFailures))
}

fn run<M: Finite>(checker: CheckerBuilder<M>) -> Report {
    let start = Instant::now();
    let checked = checker.spawn_bfs().join();
    let took = start.elapsed();
    let mut discoveries = checked.discoveries();
    let (mut broken, mut missing) = (None, Vec::new());
    for property in checked.model().properties() {
        let found = discoveries.remove(property.name);
        match (property.expectation, found) {
            (Expectation::Always, Some(path)) => {
                let steps = path.into_actions().iter().map(|step| format!("{step:?}")).collect();
                broken = Some((property.name, steps));
            }
            (Expectation::Sometimes, None) => missing.push(property.name),
            _ => {}
        }
    }
    Report { states: checked.unique_state_count(), depth: checked.max_depth(), took, broken, missing }
}
