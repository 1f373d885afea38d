//! Streams: what they are, and their events.

use std::time::Duration;

use undercurrent_types::{Cursor, Incarnation, Key, Seq, StreamName};

use super::connection::{Answer, Call, Link};
use super::publish::{born, durability, epoch, rank};
use super::record::{Stamp, record};
use super::reply::{Malformed, Reply};
use super::scripts::{CREATE, DELETE, FACTS, READ_STREAM, STREAMS, TAIL};
use crate::store::{
    CreateStreamError, Page, PublishError, ReadStreamError, Retention, StoreError, StreamSettings,
    StreamState,
};

/// How many streams or keys are asked about at once.
const MANY: usize = 500;

/// How much of a stream is kept that nobody has set up.
pub(super) const RETENTION: Retention =
    Retention { age: Some(Duration::from_secs(24 * 60 * 60)), bytes: None, count: Some(100_000) };

impl Link {
    /// Reads events after a cursor.
    pub(super) async fn read_stream(
        &self,
        stream: &StreamName,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, ReadStreamError> {
        // Of another incarnation: the script is asked for nothing that it could take for its own.
        let inc = self.order.known().seen.at.inc;
        let given_born =
            after.map(|cursor| born(inc, cursor.epoch).map_or("x".to_owned(), |n| n.to_string()));
        let call = Call::of(&READ_STREAM)
            .key(self.keys.stream(stream))
            .key(self.keys.meta(stream))
            .arg(given_born.unwrap_or_default())
            .number(after.map_or(0, |cursor| cursor.seq.0))
            .number(limit as u64);
        let answer = self.ask(&call).await?;
        let read = read_page(stream, answer).map_err(|e| self.malformed(&e))?;
        read.page(stream, after)
    }

    /// Returns what streams are.
    pub(super) async fn states(
        &self,
        streams: &[StreamName],
    ) -> Result<Vec<Option<StreamState>>, StoreError> {
        let mut states = Vec::with_capacity(streams.len());
        for some in streams.chunks(MANY) {
            let mut call = Call::of(&TAIL);
            some.iter().for_each(|stream| call.push_key(self.keys.meta(stream)));
            let Answer { at, mut rest, .. } = self.ask(&call).await?;
            for stream in some {
                let (is_there, state) =
                    read_state(stream, at.at.inc, &mut rest).map_err(|e| self.malformed(&e))?;
                states.push(is_there.then_some(state));
            }
        }
        Ok(states)
    }

    /// Returns the last event of a stream.
    pub(super) async fn tail(&self, stream: &StreamName) -> Result<Cursor, StoreError> {
        let call = Call::of(&TAIL).key(self.keys.meta(stream));
        let Answer { at, mut rest, .. } = self.ask(&call).await?;
        let (_, state) = read_state(stream, at.at.inc, &mut rest).map_err(|e| self.malformed(&e))?;
        Ok(state.tail)
    }

    /// Returns every stream, by name.
    pub(super) async fn streams(&self) -> Result<Vec<StreamState>, StoreError> {
        let mut answer = self.ask(&Call::of(&STREAMS).key(self.keys.streams())).await?;
        let mut names: Vec<StreamName> = Vec::new();
        while answer.rest.left() > 0 {
            names.push(answer.rest.parse().map_err(|e| self.malformed(&e))?);
        }
        names.sort_unstable();
        Ok(self.states(&names).await?.into_iter().flatten().collect())
    }

    /// Sets a stream up.
    pub(super) async fn create(
        &self,
        stream: &StreamName,
        settings: StreamSettings,
    ) -> Result<StreamState, CreateStreamError> {
        let most = self.server().strongest();
        if settings.durability > most {
            let (stream, asked) = (stream.clone(), settings.durability);
            let place = self.options.url.to_string();
            return Err(PublishError::TooDurable { stream, asked, most, place }.into());
        }
        let call = Call::of(&CREATE)
            .key(self.keys.streams())
            .key(self.keys.meta(stream))
            .arg(stream.as_str())
            .arg(rank(settings.durability).to_string())
            .arg(retention_text(settings.retention));
        let refused = |e: StoreError| CreateStreamError::Refused(e.into());
        let mut answer = self.ask(&call).await.map_err(refused)?;
        let mut read = || Ok::<_, Malformed>((answer.rest.text()?, answer.rest.text()?));
        let (what, has) = read().map_err(|e| refused(self.malformed(&e)))?;
        if what == "other" {
            let has = durability(has.parse().unwrap_or_default());
            return Err(CreateStreamError::OtherDurability { stream: stream.clone(), has });
        }
        let states = self.states(std::slice::from_ref(stream)).await.map_err(refused)?;
        let deleted = || PublishError::Unknown { reason: "the stream was deleted meanwhile".to_owned() };
        Ok(states.into_iter().flatten().next().ok_or_else(deleted)?)
    }

    /// Deletes a stream with all it said; says whether there was one.
    pub(super) async fn delete(&self, stream: &StreamName) -> Result<bool, PublishError> {
        loop {
            let before = self.count_of_facts(stream).await?;
            let said = self.facts_of(stream).await?;
            let [a, b] = self.keys.ids(stream);
            let mut call = Call::of(&DELETE)
                .key(self.keys.streams())
                .key(self.keys.facts())
                .key(self.keys.stream(stream))
                .key(self.keys.meta(stream))
                .key(a)
                .key(b)
                .arg(stream.as_str())
                .arg(before);
            for key in &said {
                call.push_key(self.keys.latest(key));
                call.push(key.as_str());
            }
            let mut answer = self.run(&call).await.map_err(|failed| self.not_published(failed))?;
            match &*answer.rest.text().map_err(|e| self.malformed(&e))? {
                "deleted" => {
                    let names: Vec<_> = said.iter().map(undercurrent_types::Name::from).collect();
                    self.order.raise(&names, answer.at.at);
                    return Ok(true);
                }
                "none" => return Ok(false),
                // It said more meanwhile.
                _ => {}
            }
        }
    }

    /// Returns how many facts a stream has told; empty if there is no such stream.
    async fn count_of_facts(&self, stream: &StreamName) -> Result<String, StoreError> {
        let call = Call::of(&FACTS).key(self.keys.meta(stream)).arg("count").arg("");
        let mut answer = self.ask(&call).await?;
        answer.rest.text().map_err(|e| self.malformed(&e))
    }

    /// Returns the keys whose last state a stream told.
    async fn facts_of(&self, stream: &StreamName) -> Result<Vec<Key>, StoreError> {
        let mut said = Vec::new();
        for from in (0..).step_by(MANY) {
            let call = Call::of(&FACTS).key(self.keys.facts());
            let call = call.arg(from.to_string()).arg((from + MANY - 1).to_string());
            let mut answer = self.ask(&call).await?;
            let mut keys: Vec<Key> = Vec::new();
            while answer.rest.left() > 0 {
                keys.push(answer.rest.parse().map_err(|e| self.malformed(&e))?);
            }
            if keys.is_empty() {
                break;
            }
            let mut call = Call::of(&FACTS).key(self.keys.facts());
            keys.iter().for_each(|key| call.push_key(self.keys.latest(key)));
            let mut answer = self.ask(&call).await?;
            for key in keys {
                if answer.rest.text().map_err(|e| self.malformed(&e))? == stream.as_str() {
                    said.push(key);
                }
            }
        }
        Ok(said)
    }
}

fn read_state(
    stream: &StreamName,
    inc: Incarnation,
    rest: &mut Reply,
) -> Result<(bool, StreamState), Malformed> {
    let is_there = rest.text()? == "y";
    let seq = Seq(rest.parse()?);
    let epoch = epoch(inc, rest.parse()?);
    let oldest = Seq(rest.parse()?);
    let durability = durability(rest.parse()?);
    let retention = retention(&rest.text()?);
    let tail = Cursor { epoch, seq };
    Ok((is_there, StreamState { stream: stream.clone(), tail, oldest, durability, retention }))
}

/// What READ_STREAM says.
struct Found {
    begin: Cursor,
    tail: Seq,
    records: Vec<crate::store::Record>,
}

impl Found {
    /// Makes a page, or says why there is none after the cursor.
    fn page(self, stream: &StreamName, after: Option<Cursor>) -> Result<Page, ReadStreamError> {
        let from = after.unwrap_or(self.begin);
        let reason = match from {
            _ if from.epoch != self.begin.epoch => "epoch",
            _ if from.seq > self.tail => "future",
            _ if from.seq < self.begin.seq => "retention",
            _ => {
                let next = self.records.last().map_or(from, |record| record.cursor);
                let at_tail = next.seq >= self.tail;
                return Ok(Page { records: self.records, next, at_tail });
            }
        };
        Err(ReadStreamError::Gone { stream: stream.clone(), given: from, oldest: self.begin, reason })
    }
}

fn read_page(stream: &StreamName, Answer { at, mut rest, .. }: Answer) -> Result<Found, Malformed> {
    let epoch = epoch(at.at.inc, rest.parse()?);
    let tail = Seq(rest.parse()?);
    let oldest: u64 = rest.parse()?;
    let begin = Cursor { epoch, seq: Seq(oldest.saturating_sub(1)) };
    let mut records = Vec::new();
    while rest.left() > 0 {
        let cursor = Cursor { epoch, seq: Seq(rest.parse()?) };
        let stamp: Stamp = rest.text()?.parse()?;
        records.push(record(stream.clone(), cursor, stamp.token, rest.bytes()?)?);
    }
    Ok(Found { begin, tail, records })
}

pub(super) fn retention_text(Retention { age, bytes, count }: Retention) -> String {
    let text = |limit: Option<u64>| limit.map_or("-".to_owned(), |limit| limit.to_string());
    let age = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    [text(age), text(bytes), text(count)].join(" ")
}

fn retention(text: &str) -> Retention {
    let mut words = text.split(' ').map(|word| word.parse::<u64>().ok());
    if text.is_empty() {
        return RETENTION;
    }
    let mut next = || words.next().flatten();
    Retention { age: next().map(Duration::from_millis), bytes: next(), count: next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_survives_its_text() {
        let all = Retention { age: Some(Duration::from_millis(1500)), bytes: Some(7), count: Some(0) };
        for given in [all, Retention::UNLIMITED, Retention { bytes: None, ..all }] {
            assert_eq!(retention(&retention_text(given)), given);
        }
        assert_eq!(retention(""), RETENTION);
    }
}
