//! What can go wrong at the handle, and its place in the table of codes.

use undercurrent_types::{ErrorBody, ErrorCode, EventError, KeyError, StreamNameError};

use super::quota::{OverQuota, wait_ms};
use crate::cache::{LoadError, PutError, ReadError};
use crate::redact::SecretAttribute;
use crate::store;
use crate::store::ReadStreamError;
use crate::stream::{FilterError, SubscribeError};

/// Why an event was not published; nothing of its batch was, unless the error says *unknown*.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The name of the stream is none.
    #[error(transparent)]
    Stream(#[from] StreamNameError),
    /// The event breaks the envelope's rules or limits.
    #[error("event {index} of the batch is refused: {error}")]
    Event {
        /// The place in the batch, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        error: EventError,
    },
    /// An attribute carries a secret.
    #[error(
        "the attribute `{attribute}` of the event carries a secret: attributes are never changed, so take it out"
    )]
    Secret {
        /// Which one.
        attribute: String,
    },
    /// The producer has published too much of late.
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    /// A name that only sources may move.
    #[error("`{0}` can not be invalidated by hand: name a key or a tag")]
    Name(undercurrent_types::Name),
    /// Rules are in force for the namespace that this node can not go by, so it can not say what its events make stale.
    #[error(
        "{0}: start it with those, or put its own in force for all with `undercurrent rules apply`; nothing was published"
    )]
    OtherRules(#[from] OtherRules),
    /// The store refused the batch.
    #[error(transparent)]
    Store(#[from] store::PublishError),
}

/// Why a node can not go by the rules that are in force: two that stale different names would not agree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rules {installed} are in force, and this node was started with {own}: {reason}")]
pub struct OtherRules {
    /// The version of those in force.
    pub installed: String,
    /// The version of those in this node's configuration.
    pub own: String,
    /// What is between them.
    pub reason: String,
}

/// Why a key could not be read or put. Of the size of a pointer, since every read carries room for one.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct ContextError(Box<ContextReason>);

impl ContextError {
    /// Returns the reason.
    pub fn reason(&self) -> &ContextReason {
        &self.0
    }
}

impl<E> From<E> for ContextError
where
    ContextReason: From<E>,
{
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

/// What a [`ContextError`] holds.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextReason {
    /// The text is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be put.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The event that carries the value was not published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The value did not become another in time.
    #[error("`{key}` did not change within {} ms", .timeout.as_millis())]
    NotChanged {
        /// The key that was waited for.
        key: undercurrent_types::Key,
        /// For how long.
        timeout: std::time::Duration,
    },
}

impl PublishError {
    /// Returns the body of the answer on the wire.
    pub fn body(&self) -> ErrorBody {
        use store::PublishError as Store;
        let (code, index) = match self {
            Self::Stream(_) => (ErrorCode::InvalidStream, None),
            Self::Event { error, index } if error.is_over_limit() => (ErrorCode::TooLarge, Some(*index)),
            Self::Event { index, .. } => (ErrorCode::InvalidEvent, Some(*index)),
            Self::OverQuota(over) => {
                let retry_after_ms = Some(wait_ms(over.wait));
                return ErrorBody { retry_after_ms, ..ErrorBody::new(ErrorCode::Busy, self.to_string()) };
            }
            Self::Secret { .. } => (ErrorCode::InvalidEvent, None),
            Self::Name(_) => (ErrorCode::InvalidKey, None),
            Self::Store(Store::ExpectedSeq { index, .. } | Store::IdConflict { index, .. }) => {
                (ErrorCode::Conflict, Some(*index))
            }
            Self::Store(Store::RowConflict { .. }) | Self::OtherRules(_) => (ErrorCode::Conflict, None),
            Self::Store(
                Store::TooLarge { .. }
                | Store::RowTooLarge { .. }
                | Store::TableFull { .. }
                | Store::TooManyStreams { .. },
            ) => (ErrorCode::TooLarge, None),
            Self::Store(Store::Unavailable { .. }) => (ErrorCode::Unavailable, None),
            Self::Store(Store::TooDurable { .. }) => (ErrorCode::InvalidRequest, None),
            Self::Store(_) => (ErrorCode::StoreFailed, None),
        };
        ErrorBody { index, ..ErrorBody::new(code, self.to_string()) }
    }
}

impl ContextError {
    /// Returns the body of the answer on the wire.
    pub fn body(&self) -> ErrorBody {
        let code = match self.reason() {
            ContextReason::Key(_) => ErrorCode::InvalidKey,
            ContextReason::Read(ReadError::LevelNotOffered { .. }) => ErrorCode::LevelNotOffered,
            ContextReason::Read(ReadError::Load(LoadError::Missing { at, .. })) => {
                let body = ErrorBody::new(ErrorCode::NotFound, self.to_string());
                return ErrorBody { ticket: Some(at.to_string()), ..body };
            }
            ContextReason::Read(ReadError::Load(error)) => error.code(),
            ContextReason::Put(
                PutError::Loaded { .. } | PutError::NotATag { .. } | PutError::Published { .. },
            ) => ErrorCode::InvalidRequest,
            ContextReason::Put(
                PutError::Stale { .. } | PutError::InputMoved { .. } | PutError::Mixed { .. },
            ) => ErrorCode::Conflict,
            ContextReason::Put(PutError::TooLarge { .. } | PutError::TooMany { .. }) => ErrorCode::TooLarge,
            ContextReason::Put(PutError::Commit(error)) => error.code(),
            ContextReason::Put(PutError::Publish(_) | PutError::Store(_)) => ErrorCode::StoreFailed,
            ContextReason::Publish(error) => return error.body(),
            ContextReason::NotChanged { .. } => ErrorCode::TimedOut,
        };
        ErrorBody::new(code, self.to_string())
    }
}

impl SubscribeError {
    /// Returns the body of the answer on the wire.
    pub fn body(&self) -> ErrorBody {
        match self {
            Self::Read(ReadStreamError::Gone { oldest, .. }) => {
                let body = ErrorBody::new(ErrorCode::Gone, self.to_string());
                ErrorBody { oldest: Some(oldest.to_string()), ..body }
            }
            Self::Stream(_) => ErrorBody::new(ErrorCode::InvalidStream, self.to_string()),
            Self::OtherStore { .. } => ErrorBody::new(ErrorCode::InvalidCursor, self.to_string()),
            Self::Read(ReadStreamError::Store(error)) => error.body(),
        }
    }
}

impl store::StoreError {
    /// Returns the body of the answer on the wire.
    pub fn body(&self) -> ErrorBody {
        let code = match self {
            Self::Unavailable { .. } => ErrorCode::Unavailable,
            Self::Closed | Self::Io(_) => ErrorCode::StoreFailed,
        };
        ErrorBody::new(code, self.to_string())
    }
}

impl FilterError {
    /// Returns the body of the answer on the wire.
    pub fn body(&self) -> ErrorBody {
        ErrorBody::new(ErrorCode::InvalidRequest, self.to_string())
    }
}

impl From<SecretAttribute> for PublishError {
    fn from(SecretAttribute { attribute }: SecretAttribute) -> Self {
        Self::Secret { attribute }
    }
}
