//! Why an answer was allowed, and what made the one before stale.

use std::collections::HashSet;

use undercurrent_types::wire::{
    ExplainedAnswer, ExplainedEntry, ExplainedInput, ExplainedInvalidation, ExplainedName, Explanation,
};
use undercurrent_types::{Key, Name, Version};

use super::EventStream;
use super::error::ContextError;
use crate::cache::Entry;
use crate::store::{InvalidationRecord, NameState};

/// How many inputs are followed.
const MOST_INPUTS: usize = 1000;
/// How many invalidations are shown.
const SHOWN: usize = 10;

impl EventStream {
    /// Explains a key: what is in memory under it, all that it depends on, the last invalidations with their causes,
    /// and why the last answer was allowed. Loads nothing.
    ///
    /// # Errors
    ///
    /// Does not fail today; what can not be asked is left out.
    pub async fn explain(&self, key: &Key) -> Result<Explanation, ContextError> {
        let cache = &self.0.cache;
        let loader = cache.loader(key);
        let entry = cache.peek(key);
        let names = match &entry {
            Some(entry) => entry.closure.names.to_vec(),
            None => vec![Name::from(key)],
        };
        let records = self.0.store.invalidations(&names, SHOWN).await;
        let answer = entry.as_ref().and_then(|entry| explain_answer(entry));
        let last = self.0.store.last(&names).await.unwrap_or_default();
        let closure = names.iter().zip(last).map(explain_name).collect();
        Ok(Explanation {
            key: key.clone(),
            default_level: cache.default_level(key),
            loader: loader.as_ref().map_or("none: it is put", |loader| loader.name()).to_owned(),
            entry: entry.map(|entry| {
                let validator = entry.validator.as_ref().zip(loader.as_ref());
                ExplainedEntry {
                    version: entry.version,
                    exists: entry.value.is_some(),
                    bytes: entry.value.as_ref().map_or(0, bytes::Bytes::len),
                    age_ms: millis(entry.since.elapsed()),
                    load_us: entry.took.as_micros().try_into().unwrap_or(u64::MAX),
                    as_of: entry.as_of().0,
                    valid: cache.is_valid(&entry),
                    validator: validator.map(|(validator, loader)| loader.describe(validator)),
                    loader_version: entry.loader_version,
                    loaded_at: entry.h.0,
                    expires_in_ms: entry.deadline.map(|deadline| millis(deadline.remaining())),
                    inputs: self.explain_inputs(&entry, &mut HashSet::new()),
                    closure,
                }
            }),
            answer,
            invalidations: records.into_iter().map(explain_invalidation).collect(),
        })
    }

    /// Follows the inputs of an entry as far as memory has them, each key once.
    fn explain_inputs(&self, entry: &Entry, shown: &mut HashSet<Key>) -> Vec<ExplainedInput> {
        let cache = &self.0.cache;
        let explain = |(key, version): &(Key, Version)| {
            let first = shown.len() < MOST_INPUTS && shown.insert(key.clone());
            let below = cache.peek(key).filter(|entry| entry.version == *version);
            let inputs = below.as_ref().filter(|_| first).map(|entry| self.explain_inputs(entry, shown));
            ExplainedInput {
                key: key.clone(),
                version: *version,
                valid: below.is_some_and(|entry| cache.is_valid(&entry)),
                inputs: inputs.unwrap_or_default(),
            }
        };
        entry.inputs.iter().map(explain).collect()
    }
}

fn explain_name((name, last): (&Name, NameState)) -> ExplainedName {
    let NameState { position, in_doubt } = last;
    ExplainedName { name: name.clone(), last: position.map(|position| position.0), in_doubt }
}

fn explain_answer(entry: &Entry) -> Option<ExplainedAnswer> {
    let (level, why) = entry.last_answer()?;
    Some(ExplainedAnswer {
        version: entry.version,
        level,
        why: why.word().to_owned(),
        because: why.to_string(),
    })
}

fn explain_invalidation(record: InvalidationRecord) -> ExplainedInvalidation {
    let event = record.event.as_ref();
    let cause = match event {
        Some(event) => format!("{} from {}", event.type_text(), event.source_text()),
        None => record.cause,
    };
    ExplainedInvalidation {
        name: record.name,
        position: record.position.0,
        cause,
        stream: record.event.as_ref().map(|event| event.stream.clone()),
        sequence: event.map(|event| event.cursor.to_string()),
        event_id: event.map(|event| event.id_text().to_owned()),
        event_type: event.map(|event| event.type_text().to_owned()),
    }
}

pub(super) fn millis(time: std::time::Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
