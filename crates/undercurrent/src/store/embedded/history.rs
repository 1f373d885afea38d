//! The last invalidations of each name, so that it can be said what made an entry stale.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use undercurrent_types::{Name, Position};

use super::codec::{Fields, Malformed, Out};

/// How many invalidations are remembered, all names together. About 100 bytes each.
const REMEMBERED: usize = 1 << 16;
/// How many of one name.
const OF_ONE_NAME: usize = 4;

/// Where a commit can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Its payload, not written yet, or never to be.
    Memory(Bytes),
    /// Its offset in the log.
    Log(u64),
}

/// The newest invalidations. The older ones are in the log, and not looked up.
#[derive(Default)]
pub(super) struct History {
    /// By position, oldest first.
    commits: VecDeque<Past>,
    by_name: HashMap<Name, VecDeque<Position>>,
    held: usize,
}

struct Past {
    at: Position,
    names: Box<[Name]>,
    source: Source,
}

impl History {
    /// Takes in a commit; positions rise.
    pub(super) fn push(&mut self, at: Position, names: Box<[Name]>, source: Source) {
        for name in &names {
            let positions = self.by_name.entry(name.clone()).or_default();
            if positions.len() == OF_ONE_NAME {
                positions.pop_front();
            }
            positions.push_back(at);
        }
        self.held += names.len();
        self.commits.push_back(Past { at, names, source });
        while self.held > REMEMBERED && self.commits.len() > 1 {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(past) = self.commits.pop_front() else { return };
        self.held -= past.names.len();
        for name in past.names {
            let Some(positions) = self.by_name.get_mut(&name) else { continue };
            while positions.front().is_some_and(|at| *at <= past.at) {
                positions.pop_front();
            }
            if positions.is_empty() {
                self.by_name.remove(&name);
            }
        }
    }

    /// Forgets the commits at places of the log that are gone.
    pub(super) fn forget(&mut self, is_gone: impl Fn(u64) -> bool) {
        self.commits.retain(|past| !matches!(past.source, Source::Log(offset) if is_gone(offset)));
        self.held = self.commits.iter().map(|past| past.names.len()).sum();
        let commits = &self.commits;
        self.by_name.retain(|_, positions| {
            positions.retain(|at| commits.binary_search_by_key(at, |past| past.at).is_ok());
            !positions.is_empty()
        });
    }

    /// Writes the commits that lie in the log.
    pub(super) fn encode(&self, out: &mut Out) {
        let in_log = self.commits.iter().filter_map(|past| match past.source {
            Source::Log(offset) => Some((past, offset)),
            Source::Memory(_) => None,
        });
        out.u64(in_log.clone().count() as u64);
        for (past, offset) in in_log {
            out.u64s(&[past.at.0, offset, past.names.len() as u64]);
            past.names.iter().for_each(|name| out.bytes(name.as_str().as_bytes()));
        }
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let mut history = Self::default();
        for _ in 0..fields.u64()? {
            let (at, offset, names) = (Position(fields.u64()?), fields.u64()?, fields.u64()?);
            let names = (0..names).map(|_| fields.parsed()).collect::<Result<_, _>>()?;
            history.push(at, names, Source::Log(offset));
        }
        Ok(history)
    }

    /// Notes where in the log a commit lies.
    pub(super) fn written(&mut self, at: Position, offset: u64) {
        if let Ok(i) = self.commits.binary_search_by_key(&at, |past| past.at) {
            self.commits[i].source = Source::Log(offset);
        }
    }

    /// Returns the last invalidations of any of these names, latest first.
    pub(super) fn find(&self, names: &[Name], limit: usize) -> Vec<(Name, Position, Source)> {
        let mut found: Vec<_> = names
            .iter()
            .flat_map(|name| self.by_name.get(name).into_iter().flatten().map(move |at| (*at, name)))
            .collect();
        found.sort_by(|a, b| b.cmp(a));
        found.dedup();
        found.truncate(limit);
        let found = found.into_iter().filter_map(|(at, name)| {
            let i = self.commits.binary_search_by_key(&at, |past| past.at).ok()?;
            Some((name.clone(), at, self.commits[i].source.clone()))
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: u64) -> Name {
        Name::tag(&format!("t{n}")).unwrap()
    }

    #[test]
    fn the_last_invalidations_come_latest_first() {
        let mut history = History::default();
        for n in 1..=6 {
            history.push(Position(n), [name(n % 2)].into(), Source::Memory(Bytes::new()));
        }
        history.written(Position(5), 640);
        let found = history.find(&[name(1), name(0), name(1), name(9)], 3);
        let places: Vec<_> = found.iter().map(|(_, at, source)| (at.0, source.clone())).collect();
        let memory = || Source::Memory(Bytes::new());
        assert_eq!(places, [(6, memory()), (5, Source::Log(640)), (4, memory())]);
    }

    #[test]
    fn what_is_gone_from_the_log_is_forgotten() {
        let mut history = History::default();
        for n in 1..=6 {
            history.push(Position(n), [name(n % 2)].into(), Source::Log(n * 100));
        }
        history.forget(|offset| offset < 600);
        assert_eq!(history.find(&[name(0), name(1)], 9), [(name(0), Position(6), Source::Log(600))]);
        assert_eq!((history.held, history.by_name.len()), (1, 1));
    }

    #[test]
    fn memory_stays_within_its_bound() {
        let mut history = History::default();
        for n in 0..2 * REMEMBERED as u64 {
            history.push(Position(n), [name(n / 100), name(0)].into(), Source::Log(n));
        }
        assert!(history.held <= REMEMBERED && history.by_name.len() <= REMEMBERED);
        assert_eq!(history.find(&[name(1)], 10), []);
        assert_eq!(history.find(&[name(0)], 10).len(), OF_ONE_NAME);
    }
}
