//! Filling from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use undercurrent_types::{Key, Level, Name, Position, Token, Version};

use super::Cache;
use super::Moment;
use super::as_of::AsOf;
use super::entry::{Entry, PUT};
use super::fill::{join_closures, own_names};
use super::flight::{Mode, Need};
use super::inputs::{Inputs, versions};
use super::loader::LoadError;
use crate::store::{Commit, Committed, Keep, Over, StoreError};

/// What a value that is put depends on, and how long it may be served.
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// The ticket of the miss that the value fills.
    pub ticket: Option<Token>,
    /// The keys that the value was made from, each with the version that was read; at most [`Cache::MOST_INPUTS`].
    pub inputs: Vec<(Key, Version)>,
    /// Tags that make it stale, besides its key and inputs; at most [`Cache::MOST_INPUTS`].
    pub tags: Vec<Name>,
    /// For how long it may be served, counted from the put.
    pub max_age: Option<Duration>,
}

/// Why a value was not taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The kind has a loader, which is the only one to say what the value is.
    #[error("`{key}` is loaded from its source; only keys of kinds without a loader can be put")]
    Loaded {
        /// The key.
        key: Key,
    },
    /// The key was invalidated after the ticket was given.
    #[error(
        "the ticket for `{key}` is stale: the key was invalidated after it was given; get the key again and compute anew"
    )]
    Stale {
        /// The key.
        key: Key,
    },
    /// An input is at another version than the value was made from.
    #[error(
        "`{key}` was made from version {expected} of `{input}`, which is another now; read it again and compute anew"
    )]
    InputMoved {
        /// The key that was put.
        key: Key,
        /// The input.
        input: Key,
        /// The version that the caller read.
        expected: Version,
    },
    /// Two inputs were made from one key in two versions.
    #[error(
        "the inputs of `{key}` were made from two versions of `{input}`; read them again and compute anew"
    )]
    Mixed {
        /// The key that was put.
        key: Key,
        /// What the inputs disagree about.
        input: Key,
    },
    /// Something that is no tag was named as one.
    #[error("`{name}` is no tag, so `{key}` can not be put with it; name keys as inputs")]
    NotATag {
        /// The key that was put.
        key: Key,
        /// The name.
        name: Name,
    },
    /// More inputs or tags than a value may have.
    #[error("`{key}` has {actual} inputs or tags, and a value that is put has at most {limit} of each")]
    TooMany {
        /// The key that was put.
        key: Key,
        /// How many there are.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// The value of such a key is an event.
    #[error("the value of `{key}` becomes an event, which has no inputs, tags or time to live")]
    Published {
        /// The key.
        key: Key,
    },
    /// The value is too large.
    #[error("the value of `{key}` has {actual} bytes, and a value that is put has at most {limit}")]
    TooLarge {
        /// The key.
        key: Key,
        /// Its size.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// The store did not take the position.
    #[error(transparent)]
    Publish(#[from] crate::store::PublishError),
    /// The value could not be committed.
    #[error(transparent)]
    Commit(#[from] LoadError),
    /// The store can not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Cache {
    /// The largest value that can be put, in bytes.
    pub const LARGEST_PUT: usize = 8 << 20;
    /// The most inputs, and the most tags, that a value can be put with.
    pub const MOST_INPUTS: usize = 256;

    /// Puts the value of a key that nothing here loads.
    ///
    /// With a ticket the value commits as a load that began at the miss would: it is refused if the key or anything it
    /// depends on moved since. Without one it is a publish: it invalidates the key, then stands. Inputs have to be at
    /// the versions that are named, by a look as fresh as a read that names no level, so that a change of a file that
    /// nobody has told of yet refuses the put. From then on it is stale when they are. The value lives in memory only,
    /// and makes room like any other.
    ///
    /// # Errors
    ///
    /// Fails when the kind has a loader, the ticket is stale, an input has another version or can not be read, or a
    /// limit is passed; nothing changes then. Where an input moves between the look at it and the end of a put without
    /// a ticket, the key has been invalidated already.
    pub async fn put(
        &self,
        key: &Key,
        value: Bytes,
        options: PutOptions,
    ) -> Result<(Token, Version), PutError> {
        let put = self.put_value(key, value, options).await;
        self.0.was_put.notify_waiters();
        put
    }

    async fn put_value(
        &self,
        key: &Key,
        value: Bytes,
        options: PutOptions,
    ) -> Result<(Token, Version), PutError> {
        self.check_put(key, &value, &options)?;
        let began = Moment::now();
        let now = self.barrier_for(key).await?;
        let h = options.ticket.unwrap_or(now);
        self.ask_put_inputs(key, &options.inputs).await?;
        let inputs = self.read_put_inputs(key, &options.inputs, now).await?;
        if options.ticket.is_some() {
            // As a load that began at the miss: another that filled the key meanwhile is met there.
            let entry = self.commit(put_entry(key, value, &options, &inputs, h, began)?).await?;
            return match entry.as_of() {
                Position(0) if !self.stands(&entry) => Err(PutError::Stale { key: key.clone() }),
                Position(0) => Ok((h, entry.version)),
                position => Ok((Token { inc: h.inc, position }, entry.version)),
            };
        }
        // Judged by the look before it; taken as they are after it.
        let h = self.invalidate(key, "a value was put").await?;
        let inputs = self.read_put_inputs(key, &options.inputs, h).await?;
        let entry = put_entry(key, value, &options, &inputs, h, began)?;
        self.stand(h, entry).await
    }

    fn check_put(&self, key: &Key, value: &Bytes, options: &PutOptions) -> Result<(), PutError> {
        let key = || key.clone();
        if value.len() > Self::LARGEST_PUT {
            return Err(PutError::TooLarge { key: key(), actual: value.len(), limit: Self::LARGEST_PUT });
        }
        let actual = options.inputs.len().max(options.tags.len());
        if actual > Self::MOST_INPUTS {
            return Err(PutError::TooMany { key: key(), actual, limit: Self::MOST_INPUTS });
        }
        if let Some(name) = options.tags.iter().find(|name| !name.is_tag()) {
            return Err(PutError::NotATag { key: key(), name: name.clone() });
        }
        match self.loader(&key()) {
            Some(_) => Err(PutError::Loaded { key: key() }),
            None => Ok(()),
        }
    }

    /// Asks the sources of those inputs whose reads ask them, and refuses those at another version than was named: what
    /// memory has of them may be older than what the caller has done already.
    async fn ask_put_inputs(&self, key: &Key, named: &[(Key, Version)]) -> Result<(), PutError> {
        for (input, expected) in named {
            let begun = self.0.begun.load(Ordering::SeqCst);
            let (entry, _) = match self.level_of_kind(input) {
                Level::Verified => self.verified(input, begun, Mode::Fresh).await?,
                Level::Synced => self.synced(input, begun, Mode::Fresh).await?,
                // What memory has is as fresh as any read of it.
                Level::Fresh | Level::Bounded(_) | Level::Local => continue,
            };
            check_version(key, input, *expected, entry.version)?;
        }
        Ok(())
    }

    /// Reads the inputs of a put as the order has them now, and refuses those at another version than was named.
    async fn read_put_inputs(
        &self,
        key: &Key,
        named: &[(Key, Version)],
        barrier: Token,
    ) -> Result<Vec<Arc<Entry>>, PutError> {
        let begun = self.0.begun.load(Ordering::SeqCst);
        let reader = Inputs::new(self, key, Need::new(barrier, begun, Mode::Fresh));
        for (input, expected) in named {
            let entry = reader.read(input).await?;
            check_version(key, input, *expected, entry.version)?;
            if entry.closure.keys.iter().any(|(below, _)| below == key) {
                return Err(LoadError::Cycle(vec![key.clone(), input.clone(), key.clone()]).into());
            }
        }
        Ok(reader.into_entries())
    }

    /// Commits a value whose key was invalidated for it.
    async fn stand(&self, h: Token, entry: Entry) -> Result<(Token, Version), PutError> {
        let (key, version) = (entry.key.clone(), entry.version);
        let _inserting = self.inserting(&key).lock().await;
        let kept = self.0.store.keeps_entries().then(|| entry.to_kept());
        let keep = kept.as_ref().map(|kept| Keep { key: &key, entry: kept, over: Over::Anything });
        let commit = Commit { keep, ..Commit::of(h, &entry.closure.names) };
        let entry = match self.0.store.commit(commit).await? {
            Committed::Accepted(position) => entry.good_for(position),
            // Its inputs are asked at each read.
            Committed::InDoubt if !entry.inputs.is_empty() => entry,
            // Put, and invalidated again at once by somebody else: it stood for that long.
            Committed::Moved | Committed::InDoubt => return Ok((h, version)),
        };
        let entry = Arc::new(entry);
        let position = entry.as_of().max(h.position);
        self.insert(entry);
        Ok((Token { inc: h.inc, position }, version))
    }

    fn stands(&self, entry: &Arc<Entry>) -> bool {
        self.0.entries.peek(&entry.key).is_some_and(|standing| Arc::ptr_eq(&standing, entry))
    }
}

fn check_version(key: &Key, input: &Key, expected: Version, now: Version) -> Result<(), PutError> {
    if now == expected {
        return Ok(());
    }
    Err(PutError::InputMoved { key: key.clone(), input: input.clone(), expected })
}

/// Makes the entry of a value that was put: that of a load, by nobody's loader.
fn put_entry(
    key: &Key,
    value: Bytes,
    options: &PutOptions,
    inputs: &[Arc<Entry>],
    h: Token,
    began: Moment,
) -> Result<Entry, PutError> {
    let own = own_names(key, options.tags.clone());
    let closure = join_closures(&own, inputs);
    if let Some(input) = closure.mixture() {
        return Err(PutError::Mixed { key: key.clone(), input: input.clone() });
    }
    let own_deadline = options.max_age.map(|age| began.after(age));
    Ok(Entry {
        as_of: AsOf::new(Position(0)),
        last_answer: AtomicU64::new(0),
        key: key.clone(),
        version: Version::of(Some(&value)),
        value: Some(value),
        inc: h.inc,
        h: h.position,
        own,
        deadline: inputs.iter().filter_map(|input| input.deadline).chain(own_deadline).min(),
        inputs: versions(inputs),
        closure,
        validator: None,
        own_deadline,
        max_age: options.max_age,
        loader_version: PUT,
        default_level: Level::Fresh,
        since: began,
        took: Duration::ZERO,
    })
}
