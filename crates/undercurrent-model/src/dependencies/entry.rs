//! A kept value, and what a loader gets of it.

use crate::order::{Closure, Position};

use super::graph::Key;

/// Of each key that a value was made from, the version that was read.
pub(super) type Versions = [Option<u8>; 4];

/// A value with its closure, inputs and the position it is good for. In the code: `cache::entry::Entry`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) value: u8,
    pub(super) h: Position,
    pub(super) as_of: Position,
    pub(super) closure: Closure,
    pub(super) versions: Versions,
    pub(super) inputs: Vec<(Key, u8)>,
}

/// What a loader read. In the code: `cache::inputs::Inputs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Input {
    pub(super) key: Key,
    pub(super) value: u8,
    closure: Closure,
    versions: Versions,
}

impl Input {
    pub(super) fn new(key: Key, entry: &Entry) -> Self {
        Self { key, value: entry.value, closure: entry.closure, versions: entry.versions }
    }
}

/// Joins the own names with the closures of the inputs. In the code: `cache::fill::join_closures`.
pub(super) fn join_closures(own: Closure, inputs: &[Input], transitive: bool) -> Closure {
    inputs.iter().fold(own, |closure, input| {
        closure.and(if transitive { input.closure } else { Closure::of(&[input.key.name()]) })
    })
}

/// Joins the versions that the inputs were made from, or finds a key that was read in two. In the code:
/// `cache::entry::mixture`.
pub(super) fn join_versions(inputs: &[Input]) -> Result<Versions, Key> {
    let mut joined: Versions = [None; 4];
    for input in inputs {
        let mut versions = input.versions;
        versions[input.key.index()] = Some(input.value);
        for key in Key::ALL {
            let (had, has) = (joined[key.index()], versions[key.index()]);
            if had.is_some() && has.is_some() && had != has {
                return Err(key);
            }
            joined[key.index()] = had.or(has);
        }
    }
    Ok(joined)
}
