//! One step of the order, as one call of a script.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use undercurrent_types::{Cursor, Durability, Epoch, Incarnation, Key, Position, Seq, StreamName};

use super::connection::{Answer, Call, Failed, Link};
use super::lease::Word;
use super::reply::{Malformed, Reply};
use super::scripts::PUBLISH;
use super::url::StoreUrl;
use crate::store::{Batch, Invalidation, Mark, NewEvent, PublishError, Published, PublishedEvent, RowCheck};

/// The most bytes of one commit.
const LARGEST: usize = 16 << 20;
/// The most bytes of one value of a row.
const LARGEST_ROW: usize = 1 << 20;
/// What PUBLISH holds a table to.
const TABLE: (usize, usize) = (1 << 16, 256 << 20);

/// A batch with all that can be prepared before it is sent.
pub(super) struct Draft<'a> {
    batch: &'a Batch,
    /// For each event its whole JSON, and what it is recognised by: its id and its content.
    events: Vec<(Vec<u8>, [u8; 32])>,
    streams: Places<&'a StreamName>,
    facts: Places<&'a Key>,
    tables: Places<&'a str>,
}

/// Distinct values in the order of their first appearance.
struct Places<T> {
    values: Vec<T>,
    places: HashMap<T, usize>,
}

impl<T: Copy + Eq + Hash> Places<T> {
    fn of(values: impl Iterator<Item = T>) -> Self {
        let mut all = Self { values: Vec::new(), places: HashMap::new() };
        for value in values {
            all.places.entry(value).or_insert_with(|| {
                all.values.push(value);
                all.values.len()
            });
        }
        all
    }

    /// Returns the place of a value, from 1.
    fn of_value(&self, value: T) -> usize {
        self.places[&value]
    }
}

impl<'a> Draft<'a> {
    /// Encodes the events of a batch and checks its sizes.
    pub(super) fn new(batch: &'a Batch) -> Result<Self, PublishError> {
        for row in &batch.rows {
            let actual = row.value.as_ref().map_or(0, bytes::Bytes::len);
            if actual > LARGEST_ROW {
                let (table, id) = (row.table.to_owned(), row.id.clone());
                return Err(PublishError::RowTooLarge { table, id, actual, limit: LARGEST_ROW });
            }
        }
        let draft = Self {
            batch,
            events: batch.events.iter().map(encode).collect(),
            streams: Places::of(batch.events.iter().map(|new| &new.stream)),
            facts: Places::of(batch.events.iter().filter_map(|new| Some(&new.latest.as_ref()?.0))),
            tables: Places::of(
                batch.rows.iter().map(|row| row.table).chain(batch.holds.iter().map(|hold| hold.table)),
            ),
        };
        let actual = draft.size();
        if actual > LARGEST {
            return Err(PublishError::TooLarge { actual, limit: LARGEST });
        }
        Ok(draft)
    }

    fn size(&self) -> usize {
        let events: usize = self.events.iter().map(|(json, _)| json.len() + 128).sum();
        let names: usize = self.batch.names.iter().map(|moved| moved.name.as_str().len() + 16).sum();
        let rows = self.batch.rows.iter();
        let rows: usize =
            rows.map(|row| row.id.len() + row.value.as_ref().map_or(0, bytes::Bytes::len)).sum();
        events + names + rows + self.batch.cause.len()
    }

    /// Says whether sending it twice is the same as sending it once: rows that were compared are not what they were.
    fn repeats(&self) -> bool {
        self.batch.rows.iter().all(|row| row.expected.is_none())
    }

    fn call<'b>(&'b self, link: &Link, strongest: Durability, word: Option<&'b Word<'_>>) -> Call<'b> {
        let keys = &link.keys;
        let workspaces = &keys.workspaces;
        let mut call = Call::of(&PUBLISH).key(keys.streams()).key(keys.facts()).key(keys.tables());
        call.push(rank(strongest).to_string());
        call.push(word.map_or("", |word| &*word.text));
        call.push(link.options.vouch.as_millis().to_string());
        call.push(word.map_or(0, |word| word.said_ms).to_string());
        call.push(&*self.batch.cause);
        call.push(self.streams.values.len().to_string());
        for stream in &self.streams.values {
            let asked = self.batch.events.iter().find(|new| new.stream == **stream);
            call.push(stream.as_str());
            call.push(asked.map_or(0, |new| rank(new.durability)).to_string());
            call.push_key(keys.stream(stream));
            call.push_key(keys.meta(stream));
            keys.ids(stream).into_iter().for_each(|half| call.push_key(half));
        }
        call.push(self.facts.values.len().to_string());
        for key in &self.facts.values {
            call.push(key.as_str());
            call.push_key(keys.latest(key));
        }
        call.push(self.tables.values.len().to_string());
        for table in &self.tables.values {
            call.push(*table);
            call.push_key(keys.table(table));
        }
        call.push(self.events.len().to_string());
        let known_by: Vec<u8> = self.events.iter().flat_map(|(_, known_by)| *known_by).collect();
        call.push_bytes(known_by);
        call.push(self.heads());
        self.events.iter().for_each(|(json, _)| call.push_bytes(&json[..]));
        for (_, value) in self.batch.events.iter().filter_map(|new| new.latest.as_ref()) {
            call.push_bytes(marked(value.as_deref()));
        }
        let only = (self.events.len() == 1).then_some(0);
        call.push(self.batch.names.len().to_string());
        for Invalidation { name, mark, event } in &self.batch.names {
            let by = event.filter(|event| *event < self.events.len()).or(only);
            let by = by.map_or("-".to_owned(), |event| event.to_string());
            let mark = match mark {
                Mark::Keep => 'k',
                Mark::InDoubt => 'd',
                Mark::Vouched => 'v',
            };
            call.push(format!("{by} {mark} {}", workspaces.outward(name.as_str())));
        }
        let moved = self.batch.names.iter().filter_map(|moved| moved.name.as_key());
        let plain: Vec<_> = moved.filter_map(|key| link.plain(key.as_str())).collect();
        call.push(plain.len().to_string());
        plain.into_iter().for_each(|key| call.push_key(key));
        call.push(self.batch.rows.len().to_string());
        for row in &self.batch.rows {
            let table = self.tables.of_value(row.table);
            let expected = match row.expected {
                None => "*".to_owned(),
                Some(None) => "-".to_owned(),
                Some(Some(revision)) => revision.to_string(),
            };
            call.push(format!("{table} {expected}"));
            call.push(&*row.id);
            call.push_bytes(marked(row.value.as_deref()));
        }
        call.push(self.batch.holds.len().to_string());
        for RowCheck { table, id, revision } in &self.batch.holds {
            call.push(format!("{} {revision} {id}", self.tables.of_value(table)));
        }
        call
    }

    /// Says of each event where it goes, what it expects and what it tells; nothing where all say the same and each has
    /// an id of its own.
    fn heads(&self) -> String {
        let is_plain = |new: &NewEvent| new.expected_seq.is_none() && new.latest.is_none();
        let mut ids = HashSet::with_capacity(self.events.len());
        if self.streams.values.len() <= 1
            && self.batch.events.iter().all(is_plain)
            && self.events.iter().all(|(_, known_by)| ids.insert(&known_by[..16]))
        {
            return String::new();
        }
        let head = |new: &NewEvent| {
            let expected = new.expected_seq.map_or("-".to_owned(), |seq| seq.to_string());
            let fact = new.latest.as_ref().map(|(key, _)| self.facts.of_value(key).to_string());
            format!("{} {expected} {}", self.streams.of_value(&new.stream), fact.as_deref().unwrap_or("-"))
        };
        self.batch.events.iter().map(head).collect::<Vec<_>>().join("\n")
    }

    fn read(
        &self,
        Answer { at, mut rest, .. }: Answer,
        most: Durability,
        place: &StoreUrl,
    ) -> Result<Result<Published, PublishError>, Malformed> {
        let inc = at.at.inc;
        if rest.text()? == "no" {
            return Ok(Err(self.refusal(&mut rest, most, place)?));
        }
        // For each stream its epoch, what it promises, and the seq that the next of its events has.
        let mut streams = Vec::new();
        for _ in &self.streams.values {
            let told = rest.text()?;
            let mut words = told.split(' ').map(str::parse::<u64>);
            let mut next = || words.next()?.ok();
            let parse = |(born, rank, seq)| (epoch(inc, born), durability(rank as u8), Seq(seq));
            let told = next().zip(next()).zip(next()).map(|((born, rank), seq)| parse((born, rank, seq)));
            streams.push(told.ok_or_else(|| Malformed("what is said of a stream".to_owned()))?);
        }
        let mut repeated = HashMap::new();
        while rest.left() > 0 {
            let told = rest.text()?;
            let parse =
                |(index, seq): (&str, &str)| Some((index.parse::<usize>().ok()?, Seq(seq.parse().ok()?)));
            let (index, seq) = told.split_once(' ').and_then(parse).ok_or_else(|| Malformed(told.clone()))?;
            repeated.insert(index, seq);
        }
        let mut events = Vec::with_capacity(self.events.len());
        for (index, new) in self.batch.events.iter().enumerate() {
            let (epoch, durability, last) = &mut streams[self.streams.of_value(&new.stream) - 1];
            let before = repeated.get(&index).copied();
            let seq = before.unwrap_or_else(|| {
                *last = last.next();
                *last
            });
            let cursor = Cursor { epoch: *epoch, seq };
            events.push(PublishedEvent { cursor, durability: *durability, duplicate: before.is_some() });
        }
        Ok(Ok(Published { token: at.at, events }))
    }

    fn refusal(
        &self,
        rest: &mut Reply,
        most: Durability,
        place: &StoreUrl,
    ) -> Result<PublishError, Malformed> {
        let (kind, index, what) = (rest.text()?, rest.parse::<usize>()?, rest.text()?);
        let bad = || Malformed(format!("{kind} {index} {what}"));
        let stream = || self.batch.events.get(index).map(|new| new.stream.clone()).ok_or_else(bad);
        let row = || self.batch.rows.get(index).ok_or_else(bad);
        Ok(match &*kind {
            "seq" => PublishError::ExpectedSeq {
                index,
                stream: stream()?,
                expected: self.batch.events[index].expected_seq.unwrap_or_default(),
                actual: Seq(what.parse().map_err(|_| bad())?),
            },
            "id" => PublishError::IdConflict {
                index,
                stream: stream()?,
                event_source: self.batch.events[index].event.source.to_string(),
                id: self.batch.events[index].event.id.clone(),
            },
            "row" => PublishError::RowConflict {
                table: row()?.table.to_owned(),
                id: row()?.id.clone(),
                actual: what.parse().ok().map(Position),
            },
            "held" => {
                let RowCheck { table, id, .. } = self.batch.holds.get(index).ok_or_else(bad)?;
                PublishError::NotHeld { table, id }
            }
            "full" => {
                PublishError::TableFull { table: row()?.table.to_owned(), rows: TABLE.0, bytes: TABLE.1 }
            }
            "weaker" => PublishError::TooDurable {
                stream: stream()?,
                asked: durability(what.parse().map_err(|_| bad())?),
                most,
                place: place.to_string(),
            },
            "owned" => {
                PublishError::Owned { name: self.batch.names.get(index).ok_or_else(bad)?.name.clone() }
            }
            _ => return Err(bad()),
        })
    }
}

impl Link {
    /// Commits a batch.
    /// In the model: `shared::scripts::publish`.
    pub(super) async fn publish(
        &self,
        draft: &Draft<'_>,
        word: Option<&Word<'_>>,
    ) -> Result<Published, PublishError> {
        let most = self.server().strongest();
        let call = draft.call(self, most, word);
        let answer = match self.run(&call).await {
            // Its ids answer what was written already.
            Err(Failed::Unknown(_)) if draft.repeats() => match self.run(&call).await {
                Err(Failed::Unavailable(reason)) => Err(Failed::Unknown(reason)),
                answer => answer,
            },
            answer => answer,
        };
        let answer = answer.map_err(|failed| self.not_published(failed))?;
        let at = answer.at.clone();
        let published = draft
            .read(answer, most, &self.options.url)
            .map_err(|e| PublishError::Unknown { reason: e.to_string() })??;
        let names = draft.batch.names.iter().map(|moved| &moved.name);
        self.order.published(names, &at);
        Ok(published)
    }

    pub(super) fn not_published(&self, failed: Failed) -> PublishError {
        let place = self.options.url.to_string();
        match failed {
            Failed::Unavailable(reason) => PublishError::Unavailable { place, reason },
            Failed::Unknown(reason) => {
                PublishError::Unknown { reason: format!("{reason} (store `{place}`)") }
            }
        }
    }
}

/// Returns the JSON of an event, and what it is recognised by.
fn encode(new: &NewEvent) -> (Vec<u8>, [u8; 32]) {
    let event = &new.event;
    let mut json = Vec::with_capacity(512);
    event.write_json_open(&mut json);
    json.push(b'}');
    let mut known_by = [0; 32];
    known_by[..16].copy_from_slice(&id_hash(event.source.as_str(), &event.id));
    // What `Event::content_hash` returns, of the JSON that is there already.
    known_by[16..].copy_from_slice(&blake3::hash(&json).as_bytes()[..16]);
    (json, known_by)
}

/// Returns what an id of a source is found by.
pub(super) fn id_hash(source: &str, id: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(source.as_bytes()).update(&[0]).update(id.as_bytes());
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}

/// Tells a value that is empty from one that is none.
fn marked(value: Option<&[u8]>) -> Vec<u8> {
    value.map_or_else(Vec::new, |value| [b"v", value].concat())
}

/// The epoch of a stream: the incarnation, and how many streams had been deleted in it when this one was made.
pub(super) fn epoch(inc: Incarnation, born: u64) -> Epoch {
    Epoch((inc.0 & !0xffff_ffff) | (born & 0xffff_ffff))
}

/// How many streams had been deleted when a stream of this epoch was made, if it is one of the incarnation.
pub(super) fn born(inc: Incarnation, epoch: Epoch) -> Option<u64> {
    (epoch.0 >> 32 == inc.0 >> 32).then_some(epoch.0 & 0xffff_ffff)
}

/// A durability as scripts compare it.
pub(super) fn rank(durability: Durability) -> u8 {
    match durability {
        Durability::Memory => 0,
        Durability::Page => 1,
        Durability::Durable => 2,
        Durability::Replicated => 3,
    }
}

pub(super) fn durability(rank: u8) -> Durability {
    match rank {
        0 => Durability::Memory,
        1 => Durability::Page,
        2 => Durability::Durable,
        _ => Durability::Replicated,
    }
}
