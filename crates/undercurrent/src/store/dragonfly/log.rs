//! The log of the namespace: what took each position.

use undercurrent_types::{Cursor, Name, Position, Seq, StreamName, Token};

use super::connection::{Answer, Call, Link};
use super::names::Workspaces;
use super::publish::epoch;
use super::record::{Stamp, record};
use super::reply::{Malformed, Reply};
use super::scripts::{LAST, READ_LOG, READ_STREAM};
use crate::store::{InvalidationRecord, LogCommit, LogPage, NameState, ReadLogError, Record, StoreError};

/// One record of the log, without its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) nonce: String,
    pub(super) time_ms: u64,
    pub(super) cause: String,
    /// The names that it moved, each with the place of the event that caused it.
    pub(super) names: Vec<(Name, Option<usize>)>,
    pub(super) runs: Vec<Run>,
}

/// Events of one stream that follow each other in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) stream: StreamName,
    first: u64,
    count: usize,
}

impl Entry {
    /// Reads a record as READ_LOG returns it.
    fn read(rest: &mut Reply, workspaces: &Workspaces) -> Result<Self, Malformed> {
        let (position, nonce, time_ms) = (Position(rest.parse()?), rest.text()?, rest.parse()?);
        let cause = rest.text()?;
        let (names, events) = (rest.text()?, rest.text()?);
        Self::of(position, nonce, time_ms, cause, (&names, &events), workspaces)
    }

    /// Reads the lines of a record.
    pub(super) fn of(
        position: Position,
        nonce: String,
        time_ms: u64,
        cause: String,
        (names, events): (&str, &str),
        workspaces: &Workspaces,
    ) -> Result<Self, Malformed> {
        let bad = |line: &str| Malformed(format!("`{line}` in the log"));
        let name = |line: &str| {
            let (by, name) = line.split_once(' ')?;
            Some((workspaces.name(name)?, by.parse().ok()))
        };
        let run = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let (first, count) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some(Run { stream: words.next()?.parse().ok()?, first, count })
        };
        let names: Result<_, _> = names.lines().map(|line| name(line).ok_or_else(|| bad(line))).collect();
        let runs: Result<_, _> = events.lines().map(|line| run(line).ok_or_else(|| bad(line))).collect();
        Ok(Self { position, nonce, time_ms, cause, names: names?, runs: runs? })
    }
}

impl Link {
    /// Reads commits after a position, each with its events as far as they are kept.
    pub(super) async fn read_log(
        &self,
        after: Option<Position>,
        limit: usize,
    ) -> Result<LogPage, ReadLogError> {
        let from = after.unwrap_or_default();
        let call = Call::of(&READ_LOG).number(from.0).number(limit as u64);
        let Answer { at, mut rest, .. } = self.ask(&call).await?;
        let token = |position| Token { inc: at.at.inc, position };
        let mut read = || {
            let (first, next) = (rest.parse::<u64>()?, Position(rest.parse()?));
            let mut entries = Vec::new();
            while rest.left() > 0 {
                entries.push(Entry::read(&mut rest, &self.keys.workspaces)?);
            }
            Ok((Position(first.saturating_sub(1)), next, entries))
        };
        let (oldest, next, entries) = read().map_err(|e: Malformed| self.malformed(&e))?;
        if let Some(given) = after.filter(|given| *given < oldest && given.0 > 0) {
            return Err(ReadLogError::Gone { given, oldest });
        }
        let mut commits = Vec::with_capacity(entries.len());
        for entry in entries {
            let events = self.events_of(&entry, token(entry.position)).await?;
            let Entry { position, time_ms, cause, names, .. } = entry;
            commits.push(LogCommit { token: token(position), time_ms, cause, names, events });
        }
        Ok(LogPage { commits, next, at_tail: next >= at.at.position })
    }

    /// Returns the events of a commit that are still kept.
    pub(super) async fn events_of(&self, entry: &Entry, token: Token) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        for run in &entry.runs {
            records.extend(self.events_of_run(entry, run, token).await?);
        }
        Ok(records)
    }

    /// Returns the events of a run, passing over those that are gone or belong to another commit.
    pub(super) async fn events_of_run(
        &self,
        entry: &Entry,
        run: &Run,
        token: Token,
    ) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::with_capacity(run.count);
        let (mut from, end) = (run.first - 1, run.first - 1 + run.count as u64);
        while from < end {
            let call = Call::of(&READ_STREAM)
                .key(self.keys.stream(&run.stream))
                .key(self.keys.meta(&run.stream))
                .arg("any")
                .number(from)
                .number(end - from);
            let Answer { at, mut rest, .. } = self.ask(&call).await?;
            let mut read = || {
                let epoch = epoch(at.at.inc, rest.parse()?);
                let (_tail, _oldest) = (rest.text()?, rest.text()?);
                let before = from;
                while rest.left() > 0 {
                    let seq: u64 = rest.parse()?;
                    let (stamp, json): (Stamp, _) = (rest.text()?.parse()?, rest.bytes()?);
                    from = seq;
                    if seq <= end && stamp.token == token && stamp.nonce == entry.nonce {
                        let cursor = Cursor { epoch, seq: Seq(seq) };
                        records.push(record(run.stream.clone(), cursor, token, json)?);
                    }
                }
                Ok(from > before)
            };
            if !read().map_err(|e: Malformed| self.malformed(&e))? {
                break;
            }
        }
        Ok(records)
    }

    /// Returns the last invalidations of any of these names, latest first.
    pub(super) async fn invalidations(
        &self,
        names: &[Name],
        limit: usize,
    ) -> Result<Vec<InvalidationRecord>, StoreError> {
        let mut found = Vec::new();
        let mut upper = "+".to_owned();
        while found.len() < limit && upper != "0" {
            let mut call = Call::of(&READ_LOG).arg(upper.clone()).number((limit - found.len()) as u64);
            names.iter().for_each(|name| call.push(self.keys.workspaces.outward(name.as_str())));
            let Answer { at, mut rest, .. } = self.ask(&call).await?;
            let mut read = || {
                let _oldest = rest.text()?;
                let upper = rest.text()?;
                let mut entries = Vec::new();
                while rest.left() > 0 {
                    entries.push(Entry::read(&mut rest, &self.keys.workspaces)?);
                }
                Ok((upper, entries))
            };
            let entries;
            (upper, entries) = read().map_err(|e: Malformed| self.malformed(&e))?;
            for entry in entries {
                let token = Token { inc: at.at.inc, position: entry.position };
                let Some((name, by)) = entry.names.first().cloned() else { continue };
                let event = match by {
                    Some(by) => self.events_of(&entry, token).await?.into_iter().nth(by),
                    None => None,
                };
                found.push(InvalidationRecord { name, position: entry.position, event, cause: entry.cause });
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Returns what is remembered of names.
    pub(super) async fn last(&self, names: &[Name]) -> Result<Vec<NameState>, StoreError> {
        let mut call = Call::of(&LAST);
        names.iter().for_each(|name| call.push(self.keys.workspaces.outward(name.as_str())));
        let mut rest = self.ask(&call).await?.rest;
        let mut read = || {
            let told = rest.text()?;
            let (at, mark) = told.split_once(' ').ok_or_else(|| Malformed(told.clone()))?;
            let position = at.parse().ok().map(Position);
            Ok(NameState { position, in_doubt: mark == "!" })
        };
        names.iter().map(|_| read().map_err(|e: Malformed| self.malformed(&e))).collect()
    }
}
