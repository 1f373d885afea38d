//! Publishing: one pipeline.

use std::collections::HashSet;

use bytes::Bytes;
use undercurrent_types::wire::{Ack, Written};
use undercurrent_types::{
    Data, Durability, Event, EventSource, EventType, Key, Name, Seq, SourceKind, StreamName, Token, Version,
};

use super::EventStream;
use super::error::{ContextError, PublishError};
use super::install::{self, InForce};
use crate::cache::{PutError, PutOptions};
use crate::rules;
use crate::store::{self, Batch, Invalidation, NewEvent, Published, Record};

/// The stream and the id of each event of a batch.
type Told = Vec<(StreamName, String)>;

/// An event on its way to a stream.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where it goes.
    pub stream: StreamName,
    /// The event.
    pub event: Event,
    /// What the stream promises, if this event creates it. Where nothing is named: the strongest that the store gives,
    /// and `page` for what the source `local` reports.
    pub durability: Option<Durability>,
    /// The seq that the last event of the stream must have.
    pub expected_seq: Option<Seq>,
}

impl EventStream {
    /// Publishes one event and returns when it is as durable as its stream promises.
    ///
    /// What it makes stale is stale before anybody can see it. A repeated id answers what the first one was answered.
    ///
    /// # Errors
    ///
    /// Fails when the event is invalid, its producer is over its quota or the store refuses it; nothing was published
    /// then, unless the error says that it is unknown.
    pub async fn publish<S>(&self, stream: S, event: Event) -> Result<Ack, PublishError>
    where
        S: TryInto<StreamName>,
        PublishError: From<S::Error>,
    {
        let outgoing = Outgoing { stream: stream.try_into()?, event, durability: None, expected_seq: None };
        let mut acks = self.publish_with(vec![outgoing], Vec::new(), "").await?;
        Ok(acks.pop().expect("one event has one acknowledgement"))
    }

    /// Publishes a batch of events, and moves names that no event of it speaks of: all of it at one position, or
    /// nothing.
    ///
    /// # Errors
    ///
    /// Fails as [`EventStream::publish`] does; the error names the place in the batch.
    pub async fn publish_with(
        &self,
        events: Vec<Outgoing>,
        names: Vec<Invalidation>,
        cause: &str,
    ) -> Result<Vec<Ack>, PublishError> {
        for (index, outgoing) in events.iter().enumerate() {
            outgoing.event.validate().map_err(|error| PublishError::Event { index, error })?;
        }
        self.admit(events.iter().map(|outgoing| &outgoing.event))?;
        // Without events nothing is matched.
        let mut rules = if events.is_empty() { self.in_force() } else { self.rules_that_hold().await? };
        let mut outgoing = (events, names);
        for _ in 0..install::TRIES {
            // Rules of one process are those it was started with.
            let kept = rules.is_shared().then(|| outgoing.clone());
            let (batch, told) = self.draft(&rules, outgoing.0, outgoing.1, cause)?;
            match (self.0.store.publish(batch).await, kept) {
                (Ok(published), _) => return Ok(acks(told, published)),
                // Another node put others in force: these events may make other names stale.
                (Err(store::PublishError::NotHeld { .. }), Some(kept)) => {
                    rules = self.take_rules().await?;
                    outgoing = kept;
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
        Err(self.changing())
    }

    /// Makes a batch of events, and of the names that they and the caller move, that is published only while the rules
    /// hold; with the stream and the id of each event.
    fn draft(
        &self,
        in_force: &InForce,
        events: Vec<Outgoing>,
        names: Vec<Invalidation>,
        cause: &str,
    ) -> Result<(Batch, Told), PublishError> {
        let mut batch = Batch::moving(names, cause);
        if events.is_empty() {
            // Whoever has conflicting rules may still say that a name is stale.
            return Ok((batch, Told::new()));
        }
        batch.events.reserve(events.len());
        batch.holds = in_force.holds();
        let mut told = Vec::with_capacity(events.len());
        let mut moved: HashSet<Name> = batch.names.iter().map(|one| one.name.clone()).collect();
        for (index, outgoing) in events.into_iter().enumerate() {
            let Outgoing { stream, event, durability, expected_seq } = outgoing;
            for name in in_force.rules.names(&event) {
                if moved.insert(name.clone()) {
                    batch.names.push(Invalidation::by(name, index));
                }
            }
            let event = self.0.redactor.redact(event)?;
            told.push((stream.clone(), event.id.clone()));
            let durability = durability.unwrap_or_else(|| self.default_durability(&event));
            let latest = rules::latest(&event);
            batch.events.push(NewEvent { stream, event, durability, expected_seq, latest });
        }
        Ok((batch, told))
    }

    /// What the source `local` reports can be found again by looking, so it need not wait for the disk.
    fn default_durability(&self, event: &Event) -> Durability {
        let strongest = self.0.store.strongest();
        match event.source.kind() {
            SourceKind::Local => Durability::Page.min(strongest),
            _ => strongest,
        }
    }

    /// Hands an event to those who follow the stream live with its ephemeral events, and says how many they are.
    ///
    /// It is not kept: no seq, no cursor moves, nothing is written, and it makes nothing stale.
    ///
    /// # Errors
    ///
    /// Fails when the event is invalid, its producer is over its quota, an attribute carries a secret, or the store can not be
    /// asked where the stream ends.
    pub async fn publish_ephemeral(&self, stream: &StreamName, event: Event) -> Result<usize, PublishError> {
        event.validate().map_err(|error| PublishError::Event { index: 0, error })?;
        self.admit([&event])?;
        let event = self.0.redactor.redact(event)?;
        let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let store = &self.0.store;
        let position = store.visible().await.map_err(store::PublishError::from)?;
        let cursor = store.tail(stream).await.map_err(store::PublishError::from)?;
        let inc = store.horizon().incarnation();
        Ok(self.0.ephemeral.publish(&Record {
            stream: stream.clone(),
            cursor,
            token: Token { inc, position },
            json: event.to_json().into(),
            event_type: text(event.ty.as_str()),
            source: text(event.source.as_str()),
            subject: event.subject.as_deref().map(text),
            id: text(&event.id),
        }))
    }

    /// Asks the quotas of the events' producers, where there are any.
    fn admit<'a>(&self, events: impl IntoIterator<Item = &'a Event>) -> Result<(), PublishError> {
        match self.0.quota.get() {
            Some(quota) => Ok(quota.admit(events, self.0.begun.elapsed())?),
            None => Ok(()),
        }
    }

    /// Turns an event into the names that it makes stale, by the rules of the namespace.
    ///
    /// Only what has happened makes stale: an `action` that announces something does not.
    pub fn handle_cache_invalidation(&self, event: &Event) -> Vec<Name> {
        self.in_force().rules.names(event)
    }

    /// Makes keys and tags stale, all at one position. In force when it returns.
    ///
    /// # Errors
    ///
    /// Fails when a name is a scope, which only its source may move.
    pub async fn invalidate(&self, names: Vec<Name>) -> Result<Written, PublishError> {
        if let Some(name) = names.iter().find(|name| !name.is_tag() && name.as_key().is_none()) {
            return Err(PublishError::Name(name.clone()));
        }
        let own = |name: Name| match name.as_key().and_then(|key| self.own_key(&key)) {
            Some(own) => Name::from(own),
            None => name,
        };
        let names = names.into_iter().map(own).map(Invalidation::of).collect();
        let batch = Batch::moving(names, "invalidated by hand");
        let published = self.0.store.publish(batch).await?;
        Ok(Written { token: published.token, version: None })
    }

    /// Puts the value of a key.
    ///
    /// Of a `state:` or `ci:` key the value is JSON and becomes an event of the stream `state`, since the log is where
    /// such keys come from. Any other kind without a loader is kept in memory; with a ticket from a miss the value is
    /// refused if the key, or anything that it depends on, has moved since.
    ///
    /// # Errors
    ///
    /// Fails when the kind has a loader of its own, the ticket is stale, an input has another version, or the value is
    /// too large or no JSON.
    pub async fn put(&self, key: &Key, value: Bytes, options: PutOptions) -> Result<Written, ContextError> {
        if !matches!(key.kind(), "state" | "ci") {
            let (token, version) = self.0.cache.put(key, value, options).await?;
            return Ok(Written { token, version: Some(version) });
        }
        if !options.inputs.is_empty() || !options.tags.is_empty() || options.max_age.is_some() {
            return Err(PutError::Published { key: key.clone() }.into());
        }
        let data = Data::from_json(&value).map_err(|error| PublishError::Event { index: 0, error })?;
        let event = by_system("state_update.put").with_subject(key.as_str()).with_data(data);
        let ack = self.publish("state", event).await?;
        let version = Version::of(Some(&value));
        Ok(Written { token: ack.token, version: Some(version) })
    }
}

/// Returns an event that the engine itself tells now.
pub(super) fn by_system(ty: &str) -> Event {
    let ty: EventType = ty.parse().expect("it is a type");
    let source: EventSource = "system".parse().expect("it is a source");
    Event::new(ty, source).with_time(jiff::Timestamp::now().to_string())
}

fn acks(told: Told, published: Published) -> Vec<Ack> {
    let acks = told.into_iter().zip(published.events).map(|((stream, id), event)| Ack {
        stream,
        id,
        seq: event.cursor.seq.0,
        cursor: event.cursor.to_text(),
        token: published.token,
        durability: event.durability,
        duplicate: event.duplicate,
    });
    acks.collect()
}

impl From<std::convert::Infallible> for PublishError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
