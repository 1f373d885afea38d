//! Filling from outside.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use undercurrent_types::{Key, Level, Name, Position, Token, Version};

use super::Cache;
use super::as_of::AsOf;
use super::entry::{Closure, Entry, Moment};
use super::loader::LoadError;
use crate::store::{Committed, StoreError};

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

    /// Puts the value of a key that nothing here loads.
    ///
    /// With a ticket the value commits as a load that began at the miss would: it is refused if the key moved since.
    /// Without one it is a publish: it invalidates the key, then stands. The value lives in memory only, and makes
    /// room like any other.
    ///
    /// # Errors
    ///
    /// Fails when the kind has a loader, the ticket is stale, or the value is too large; nothing changes then.
    pub async fn put(
        &self,
        key: &Key,
        value: Bytes,
        ticket: Option<Token>,
        max_age: Option<Duration>,
    ) -> Result<(Token, Version), PutError> {
        if value.len() > Self::LARGEST_PUT {
            let (key, actual) = (key.clone(), value.len());
            return Err(PutError::TooLarge { key, actual, limit: Self::LARGEST_PUT });
        }
        if self.loader(key).is_some() {
            return Err(PutError::Loaded { key: key.clone() });
        }
        let began = Moment::now();
        let h = match ticket {
            Some(ticket) => ticket,
            None => self.invalidate(key, "a value was put").await?,
        };
        let version = Version::of(Some(&value));
        let own: Box<[Name]> = [Name::from(key)].into();
        let deadline = max_age.map(|age| began.after(age));
        let entry = Entry {
            as_of: AsOf::new(Position(0)),
            last_answer: AtomicU64::new(0),
            key: key.clone(),
            value: Some(value),
            version,
            inc: h.inc,
            h: h.position,
            closure: Closure::new(own.to_vec(), Vec::new()),
            own,
            inputs: Box::default(),
            validator: None,
            deadline,
            own_deadline: deadline,
            max_age,
            loader_version: 0,
            default_level: Level::Fresh,
            since: began,
            took: Duration::ZERO,
        };
        if ticket.is_some() {
            // As a load that began at the miss: another that filled the key meanwhile is met there.
            let entry = self.commit(entry).await?;
            return match entry.as_of() {
                Position(0) => Err(PutError::Stale { key: key.clone() }),
                position => Ok((Token { inc: h.inc, position }, version)),
            };
        }
        let _inserting = self.inserting(key).lock().await;
        match self.0.store.commit(h, &entry.closure.names, None).await? {
            Committed::Accepted(position) => {
                self.insert(Arc::new(entry.good_for(position)));
                Ok((Token { inc: h.inc, position }, version))
            }
            // Put, and invalidated again at once by somebody else: it stood for that long.
            Committed::Moved | Committed::InDoubt => Ok((h, version)),
        }
    }
}
