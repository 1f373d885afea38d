//! The last state that visible events carried about each key.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::RwLock;
use undercurrent_types::{Epoch, Key, Position, StreamName};

use super::codec::{Fields, Malformed, Out};
use crate::store::Secret;

/// Values up to this size stay in memory; of larger ones only the place in the log does.
const SMALL: usize = 4 << 10;

/// How a state is written in a checkpoint.
const DELETED: u64 = 0;
const VALUE: u64 = 1;
const IN_LOG: u64 = 2;

/// `latest`. A read-write lock, since projections read it and only the appender and the flusher write.
///
/// It grows with the number of keys, deleted ones included, by at most about 4 KiB each.
#[derive(Default)]
pub(super) struct Latest(RwLock<HashMap<Key, Fact>>);

struct Fact {
    at: Position,
    /// The stream of the event, and its epoch.
    of: (StreamName, Epoch),
    state: State,
}

/// What is known of the state of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A fact said that there is none.
    Deleted,
    /// Here it is.
    Value(Bytes),
    /// It lies in a commit of the log.
    InLog {
        /// The offset of the commit, or of the control record.
        offset: u64,
        /// The place of the event or the change in it.
        event: usize,
    },
}

impl Latest {
    /// Takes in a fact, unless a later one is there. A small value is copied, so that it does not keep its commit.
    pub(super) fn set(&self, key: &Key, at: Position, of: (&StreamName, Epoch), value: Option<&Bytes>) {
        let state = match value {
            None => State::Deleted,
            Some(value) if value.len() <= SMALL => State::Value(Bytes::copy_from_slice(value)),
            Some(value) => State::Value(value.clone()),
        };
        self.put(key, at, of, state);
    }

    /// Takes in a fact that was found in the log.
    pub(super) fn restore(
        &self,
        key: &Key,
        at: Position,
        of: (&StreamName, Epoch),
        value: Option<&[u8]>,
        (offset, event): (u64, usize),
    ) {
        let state = match value {
            None => State::Deleted,
            Some(value) if value.len() <= SMALL => State::Value(Bytes::copy_from_slice(value)),
            Some(_) => State::InLog { offset, event },
        };
        self.put(key, at, of, state);
    }

    fn put(&self, key: &Key, at: Position, (stream, epoch): (&StreamName, Epoch), state: State) {
        let mut by_key = self.0.write();
        if by_key.get(key).is_none_or(|fact| fact.at <= at) {
            by_key.insert(key.clone(), Fact { at, of: (stream.clone(), epoch), state });
        }
    }

    /// Forgets what events of a stream said in epochs before one, and returns of which keys.
    pub(super) fn forget_stream(&self, stream: &StreamName, before: Epoch) -> Vec<Key> {
        let mut by_key = self.0.write();
        let forgotten = by_key.extract_if(|_, fact| fact.of.0 == *stream && fact.of.1 < before);
        forgotten.map(|(key, _)| key).collect()
    }

    /// Returns the position of the last fact about a key.
    pub(super) fn at(&self, key: &Key) -> Option<Position> {
        self.0.read().get(key).map(|fact| fact.at)
    }

    /// Notes where a large value lies from now on.
    pub(super) fn moved(&self, key: &Key, at: Position, (offset, event): (u64, usize)) {
        if let Some(fact) = self.0.write().get_mut(key).filter(|fact| fact.at == at)
            && matches!(fact.state, State::InLog { .. })
        {
            fact.state = State::InLog { offset, event };
        }
    }

    /// Lets a large value go, since it lies in the log now.
    pub(super) fn written(&self, key: &Key, at: Position, (offset, event): (u64, usize)) {
        if let Some(fact) = self.0.write().get_mut(key).filter(|fact| fact.at == at)
            && matches!(&fact.state, State::Value(value) if value.len() > SMALL)
        {
            fact.state = State::InLog { offset, event };
        }
    }

    /// Takes a secret out of the values and the names of keys, and returns the keys that had it.
    pub(super) fn scrub(&self, secret: &Secret) -> Vec<Key> {
        let mut by_key = self.0.write();
        let mut keys = Vec::new();
        for (key, fact) in by_key.iter_mut() {
            if let State::Value(value) = &fact.state
                && let (Cow::Owned(without), _) = secret.take_out(value)
            {
                fact.state = State::Value(without.into());
                keys.push(key.clone());
            }
        }
        let named: Vec<_> = by_key.extract_if(|key, _| secret.is_in(key.as_str().as_bytes())).collect();
        for (key, fact) in named {
            let (without, _) = secret.take_out(key.as_str().as_bytes());
            if let Some(other) = std::str::from_utf8(&without).ok().and_then(|text| Key::parse(text).ok()) {
                by_key.insert(other, fact);
            }
            keys.push(key);
        }
        keys
    }

    pub(super) fn encode(&self, out: &mut Out) {
        let by_key = self.0.read();
        out.u64(by_key.len() as u64);
        for (key, Fact { at, of, state }) in by_key.iter() {
            out.bytes(key.as_str().as_bytes());
            out.bytes(of.0.as_str().as_bytes());
            out.u64s(&[at.0, of.1.0]);
            match state {
                State::Deleted => out.u64(DELETED),
                State::Value(value) => {
                    out.u64(VALUE);
                    out.bytes(value);
                }
                State::InLog { offset, event } => {
                    out.u64s(&[IN_LOG, *offset, *event as u64]);
                }
            }
        }
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let latest = Self::default();
        for _ in 0..fields.u64()? {
            let (key, stream) = (fields.parsed()?, fields.parsed()?);
            let (at, epoch) = (Position(fields.u64()?), Epoch(fields.u64()?));
            let state = match fields.u64()? {
                DELETED => State::Deleted,
                VALUE => State::Value(Bytes::copy_from_slice(fields.bytes()?)),
                IN_LOG => {
                    let (offset, event) = (fields.u64()?, fields.u64()?);
                    State::InLog { offset, event: usize::try_from(event).map_err(|_| Malformed)? }
                }
                _ => return Err(Malformed),
            };
            latest.put(&key, at, (&stream, epoch), state);
        }
        Ok(latest)
    }

    /// Returns every state, with the position and the stream that it comes from.
    pub(super) fn all(&self) -> Vec<(Key, Position, StreamName, State)> {
        let by_key = self.0.read();
        let all =
            by_key.iter().map(|(key, fact)| (key.clone(), fact.at, fact.of.0.clone(), fact.state.clone()));
        all.collect()
    }

    /// Returns the state of a key, where an event carried one.
    pub(super) fn get(&self, key: &Key) -> Option<State> {
        self.0.read().get(key).map(|fact| fact.state.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_never_goes_back_and_large_values_leave_memory() {
        let latest = Latest::default();
        let key = Key::parse("state:t").unwrap();
        let stream = "s".parse().unwrap();
        let of = (&stream, Epoch(1));
        assert_eq!(latest.get(&key), None);
        let large = Bytes::from(vec![7; SMALL + 1]);
        latest.set(&key, Position(5), of, Some(&large));
        latest.set(&key, Position(4), of, Some(&Bytes::from_static(b"old")));
        assert_eq!(latest.get(&key), Some(State::Value(large)));
        latest.written(&key, Position(4), (1, 1));
        latest.written(&key, Position(5), (64, 0));
        assert_eq!(latest.get(&key), Some(State::InLog { offset: 64, event: 0 }));
        latest.set(&key, Position(6), of, None);
        assert_eq!(latest.get(&key), Some(State::Deleted));
    }

    #[test]
    fn what_a_deleted_stream_said_is_forgotten_and_not_what_its_successor_says() {
        let latest = Latest::default();
        let stream = "s".parse().unwrap();
        let [old, new] = ["state:old", "state:new"].map(|key| Key::parse(key).unwrap());
        latest.set(&old, Position(1), (&stream, Epoch(1)), Some(&Bytes::from_static(b"1")));
        latest.set(&new, Position(2), (&stream, Epoch(2)), Some(&Bytes::from_static(b"2")));
        assert_eq!(latest.forget_stream(&"other".parse().unwrap(), Epoch(9)), []);
        assert_eq!(latest.forget_stream(&stream, Epoch(2)), std::slice::from_ref(&old));
        assert_eq!(latest.get(&old), None);
        assert!(latest.get(&new).is_some());
    }
}
