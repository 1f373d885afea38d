//! Taking a secret out of everything that is kept.
//!
//! An event can not be changed where it lies, so a stream that has the secret is written anew beside it and takes its
//! place in one step, every event with its seq. States and rows are replaced where they are. Cached values that have it
//! are deleted; their sources say what they are now.

use redis::{Cmd, Value};
use undercurrent_types::{Key, Name, StreamName};

use super::connection::{Answer, Call, Link};
use super::reply::{Malformed, Reply};
use super::scripts::{FACTS, READ_STREAM, REPLACE, REWRITE, ROWS};
use crate::store::{Scrubbed, Secret, StoreError};

/// How often a stream is begun anew that is deleted and made again meanwhile.
const TRIES: usize = 3;
/// How many keys are looked at at once.
const MANY: usize = 200;

impl Link {
    /// Takes a secret out, and returns the names of what said it.
    pub(super) async fn scrub(&self, secret: &Secret) -> Result<(Scrubbed, Vec<Name>), StoreError> {
        let mut scrubbed = Scrubbed::default();
        for state in self.streams().await? {
            for _ in 0..TRIES {
                if self.scrub_stream(secret, &state.stream, &mut scrubbed).await? {
                    break;
                }
            }
        }
        let mut names = self.scrub_states(secret, &mut scrubbed).await?;
        self.scrub_rows(secret, &mut scrubbed).await?;
        names.extend(self.scrub_entries(secret).await?);
        names.sort();
        names.dedup();
        Ok((scrubbed, names))
    }

    /// Says whether a stream is done; otherwise it has to be begun anew.
    async fn scrub_stream(
        &self,
        secret: &Secret,
        stream: &StreamName,
        scrubbed: &mut Scrubbed,
    ) -> Result<bool, StoreError> {
        // Most streams do not have it, and are only read.
        let mut from = 0;
        loop {
            let page = self.raw(stream, from).await?;
            if page.events.iter().any(|event| secret.is_in(&event.json)) {
                break;
            }
            match page.events.last() {
                Some(last) => from = last.seq,
                None => return Ok(true),
            }
        }
        let mut found = Scrubbed { segments: 1, ..Scrubbed::default() };
        let (mut through, mut copied) = (0, 0);
        loop {
            let page = self.raw(stream, through).await?;
            through = page.events.last().map_or(page.tail, |last| last.seq);
            let mut call = Call::of(&REWRITE)
                .key(self.keys.stream(stream))
                .key(self.keys.meta(stream))
                .key(self.keys.rewritten(stream))
                .arg(page.born)
                .number(through)
                .number(copied);
            copied += page.events.len() as u64;
            for event in page.events {
                let (without, times) = secret.take_out(&event.json);
                found.times += times;
                found.commits += u64::from(times > 0);
                call.push(event.seq.to_string());
                call.push(event.stamp);
                call.push_bytes(without.into_owned());
            }
            let mut answer = self.run(&call).await.map_err(|failed| self.unavailable(failed))?;
            match &*answer.rest.text().map_err(|e| self.malformed(&e))? {
                "done" => break,
                "gone" => return Ok(false),
                _ => {}
            }
        }
        scrubbed.times += found.times;
        scrubbed.commits += found.commits;
        scrubbed.segments += found.segments;
        Ok(true)
    }

    /// Reads events as they lie there.
    async fn raw(&self, stream: &StreamName, from: u64) -> Result<Raw, StoreError> {
        let call = Call::of(&READ_STREAM)
            .key(self.keys.stream(stream))
            .key(self.keys.meta(stream))
            .arg("any")
            .number(from)
            .number(512);
        let Answer { mut rest, .. } = self.ask(&call).await?;
        let mut read = || {
            let (born, tail, _oldest) = (rest.text()?, rest.parse()?, rest.text()?);
            let mut events = Vec::new();
            while rest.left() > 0 {
                events.push(RawEvent { seq: rest.parse()?, stamp: rest.text()?, json: rest.bytes()? });
            }
            Ok(Raw { born, tail, events })
        };
        read().map_err(|e: Malformed| self.malformed(&e))
    }

    async fn scrub_states(&self, secret: &Secret, scrubbed: &mut Scrubbed) -> Result<Vec<Name>, StoreError> {
        let mut names = Vec::new();
        for from in (0..).step_by(MANY) {
            let call = Call::of(&FACTS).key(self.keys.facts());
            let call = call.arg(from.to_string()).arg((from + MANY - 1).to_string());
            let mut rest = self.ask(&call).await?.rest;
            if rest.left() == 0 {
                break;
            }
            while rest.left() > 0 {
                let key: Key = rest.parse().map_err(|e| self.malformed(&e))?;
                let Some(value) = self.latest(&key).await? else { continue };
                if self.replace(secret, self.keys.latest(&key), "value", &value, scrubbed).await? {
                    names.push(Name::from(&key));
                }
            }
        }
        Ok(names)
    }

    async fn scrub_rows(&self, secret: &Secret, scrubbed: &mut Scrubbed) -> Result<(), StoreError> {
        let mut tables = self.ask(&Call::of(&ROWS).key(self.keys.tables())).await?.rest;
        while tables.left() > 0 {
            let table = tables.text().map_err(|e| self.malformed(&e))?;
            tables.text().map_err(|e| self.malformed(&e))?;
            for (id, row) in self.rows(&table).await? {
                let told = [row.revision.to_string().as_bytes(), b" ", &row.value].concat();
                self.replace(secret, self.keys.table(&table), &id, &told, scrubbed).await?;
            }
        }
        Ok(())
    }

    /// Replaces a value that has the secret; says whether it had.
    async fn replace(
        &self,
        secret: &Secret,
        key: String,
        field: &str,
        value: &[u8],
        scrubbed: &mut Scrubbed,
    ) -> Result<bool, StoreError> {
        let (without, times) = secret.take_out(value);
        if times == 0 {
            return Ok(false);
        }
        let mut call = Call::of(&REPLACE).key(key).arg(field);
        call.push_bytes(value);
        call.push_bytes(without.into_owned());
        // Where it was not there any more, what took its place is what the caller was warned of.
        self.ask(&call).await?;
        scrubbed.times += times;
        scrubbed.commits += 1;
        Ok(true)
    }

    /// Deletes the cached values that have the secret, and returns their keys.
    async fn scrub_entries(&self, secret: &Secret) -> Result<Vec<Name>, StoreError> {
        let begins = self.keys.contexts();
        let mut names = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = Cmd::new();
            scan.arg("SCAN").arg(&cursor).arg("MATCH").arg(format!("{begins}*")).arg("COUNT").arg(MANY);
            let found = self.plainly(vec![scan]).await?.pop().unwrap_or_default();
            let read = || {
                let mut found = Reply::open(found)?;
                let cursor = found.text()?;
                let (mut keys, mut list) = (found.array()?, Vec::new());
                while keys.left() > 0 {
                    list.push(keys.text()?);
                }
                Ok((cursor, list))
            };
            let keys;
            (cursor, keys) = read().map_err(|e: Malformed| self.malformed(&e))?;
            let look = |key: &String| {
                let mut look = Cmd::new();
                look.arg("HMGET").arg(key).arg("value").arg("rest").arg("inputs");
                look
            };
            let values = self.plainly(keys.iter().map(look).collect()).await?;
            for (key, value) in keys.iter().zip(values) {
                if has(secret, value) {
                    let mut delete = Cmd::new();
                    delete.arg("DEL").arg(key);
                    self.plainly(vec![delete]).await?;
                    names.extend(key.strip_prefix(&begins).and_then(|name| self.keys.workspaces.name(name)));
                }
            }
            if cursor == "0" {
                return Ok(names);
            }
        }
    }

    async fn plainly(&self, commands: Vec<Cmd>) -> Result<Vec<Value>, StoreError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let sent = self.step("scrub", |_| commands).await;
        sent.map(|(_, values)| values).map_err(|failed| self.unavailable(failed))
    }
}

pub(super) fn has(secret: &Secret, value: Value) -> bool {
    match value {
        Value::Array(values) => values.into_iter().any(|value| has(secret, value)),
        Value::BulkString(bytes) => secret.is_in(&bytes),
        _ => false,
    }
}

/// A part of a stream as it lies there.
struct Raw {
    born: String,
    tail: u64,
    events: Vec<RawEvent>,
}

struct RawEvent {
    seq: u64,
    stamp: String,
    json: Vec<u8>,
}
