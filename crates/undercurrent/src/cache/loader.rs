//! What a cache asks of the outside: produce a value, ask whether it still stands, wait for a source.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use undercurrent_types::{ErrorCode, Key, Level, Name, Token};

use super::inputs::Inputs;

/// Produces the value of a kind of key from its source of truth.
pub trait Loader: Send + Sync + 'static {
    /// Returns the name that `explain` shows.
    fn name(&self) -> &'static str;

    /// Returns the version of this loader, at least 1: an entry of another one is a miss. 0 is what is put.
    fn version(&self) -> u32 {
        1
    }

    /// Returns how many loads of the kind run at once. Others wait for a place, and that counts as part of their time;
    /// a load that reads another key leaves its place until it has it.
    fn at_once(&self) -> usize {
        64
    }

    /// Returns the level of a read that names none: `fresh`, unless the loader says otherwise.
    fn default_level(&self) -> Level {
        Level::Fresh
    }

    /// Says why a level can not be given for a key, if it can not. Up to `fresh` every loader can be read at; more is
    /// for those whose source can be waited for or asked.
    ///
    /// # Errors
    ///
    /// The reason, for people.
    fn offers(&self, _key: &Key, level: Level) -> Result<(), String> {
        match level {
            Level::Local | Level::Bounded(_) | Level::Fresh => Ok(()),
            Level::Synced | Level::Verified => Err(format!("the loader `{}` does not offer it", self.name())),
        }
    }

    /// Loads the value. Every other key that it reads, it reads through `inputs`.
    ///
    /// The names must have been determined before the source was read: a directory that counts as watched must have
    /// been watched already when the read began. The future may be dropped at any point.
    fn load<'a>(&'a self, key: &'a Key, inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>>;

    /// Asks the source whether a value is still what it was when the validator was made.
    ///
    /// A loader whose values carry no validator is not asked, and need not say anything else.
    fn check<'a>(
        &'a self,
        _key: &'a Key,
        _validator: &'a Validator,
    ) -> BoxFuture<'a, Result<Check, LoadError>> {
        Box::pin(std::future::ready(Ok(Check::Changed)))
    }

    /// The same without waiting, for sources that answer in about a microsecond; `None` sends the caller to
    /// [`Loader::check`].
    fn check_now(&self, _key: &Key, _validator: &Validator) -> Option<Check> {
        None
    }

    /// Returns the names that a value of this key would depend on if it were loaded now, besides its key and inputs.
    ///
    /// Asked when a standing value is found unchanged, before the source is: what vouches for a value may have become
    /// another since it was loaded. `None` says that it can not have.
    ///
    /// # Errors
    ///
    /// Fails as the load would.
    fn names_now(&self, _key: &Key) -> Result<Option<Vec<Name>>, LoadError> {
        Ok(None)
    }

    /// Writes a validator for people.
    fn describe(&self, validator: &Validator) -> String {
        format!("{} bytes", validator.0.len())
    }
}

/// What a loader produced.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The value; `None` says that what the key names is not there, which is an answer like any other.
    pub value: Option<Bytes>,
    /// Names that the value depends on besides its key and inputs: tags and scopes.
    pub names: Vec<Name>,
    /// What the source can be asked cheaply later.
    pub validator: Option<Validator>,
    /// For how long the value may be served, counted from before the request that brought it.
    pub max_age: Option<Duration>,
}

/// What a source can be asked cheaply, in the loader's own encoding: a stat, an ETag, an object id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator(pub Box<[u8]>);

/// A source's answer about a validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The value is what the source has now.
    Unchanged,
    /// It is not, or the source can not say.
    Changed,
}

/// Why a value could not be loaded. Waiters get clones.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Not allowed, with the reason.
    #[error("`{key}` is denied: {reason}")]
    Denied {
        /// The key that was asked for.
        key: Key,
        /// Why, and what would allow it.
        reason: String,
    },
    /// The source answered with an error.
    #[error("`{key}` could not be loaded: {reason}")]
    Failed {
        /// The key that was asked for.
        key: Key,
        /// The source's error.
        reason: String,
    },
    /// The value is too large to be served.
    #[error("`{key}` has {actual} bytes, and a value has at most {limit}")]
    TooLarge {
        /// The key that was asked for.
        key: Key,
        /// Its size.
        actual: u64,
        /// The limit.
        limit: u64,
    },
    /// The loader did not end in time.
    #[error("loading `{key}` took longer than {} ms", .limit.as_millis())]
    TimedOut {
        /// The key that was asked for.
        key: Key,
        /// The limit.
        limit: Duration,
    },
    /// The loader panicked, or its task was ended.
    #[error("the loader of `{key}` broke off: {reason}")]
    Broken {
        /// The key that was asked for.
        key: Key,
        /// What is known.
        reason: String,
    },
    /// A loader waits, through others, for itself.
    #[error("a cycle of loaders: {}", Chain(.0))]
    Cycle(Vec<Key>),
    /// The sources moved during every try.
    #[error("`{key}` changed during each of {tries} tries to read it")]
    Unstable {
        /// The key that was asked for.
        key: Key,
        /// How often it was tried.
        tries: u32,
    },
    /// Nothing here loads this kind of key, and nobody has put it. The token is the position of the miss: a ticket to
    /// fill it.
    #[error("`{key}` is not cached, and nothing loads keys of kind `{}`: put it, or register a loader", .key.kind())]
    Missing {
        /// The key that was asked for.
        key: Key,
        /// The position of the miss.
        at: Token,
    },
    /// It failed more than once, and is not asked again for a moment; what moves the key ends that.
    #[error("`{key}` is not asked again for {} ms, since it failed: {error}", .after.as_millis())]
    BackingOff {
        /// The key that was asked for.
        key: Key,
        /// For how long.
        after: Duration,
        /// The last failure.
        #[source]
        error: Box<LoadError>,
    },
    /// The source or the store can not be asked now.
    #[error("`{key}` is unavailable: {reason}")]
    Unavailable {
        /// The key that was asked for.
        key: Key,
        /// What can not be asked.
        reason: String,
    },
}

impl LoadError {
    /// Returns its place in the table of codes, which also says whether the same load may succeed later.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Denied { .. } => ErrorCode::Denied,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::TimedOut { .. } => ErrorCode::TimedOut,
            Self::Cycle(_) => ErrorCode::Cycle,
            Self::Unstable { .. } => ErrorCode::Unstable,
            Self::Unavailable { .. } => ErrorCode::Unavailable,
            Self::Missing { .. } => ErrorCode::NotFound,
            Self::BackingOff { error, .. } => error.code(),
            Self::Failed { .. } | Self::Broken { .. } => ErrorCode::LoadFailed,
        }
    }
}

/// Keys, each waiting for the next.
struct Chain<'a>(&'a [Key]);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, key) in self.0.iter().enumerate() {
            let arrow = if i == 0 { "" } else { " → " };
            write!(f, "{arrow}`{key}`")?;
        }
        Ok(())
    }
}

/// How a `synced` read waits for a source: everything that completed there before the call has been published when
/// it returns.
pub trait Barrier: Send + Sync + 'static {
    /// Returns the scope that the source speaks for.
    fn scope(&self) -> Name;

    /// Waits for the source.
    fn barrier(&self) -> BoxFuture<'_, Result<(), BarrierError>>;
}

/// Why a source can not say that it is up to date.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the source of `{scope}` can not say that it is up to date: {reason}")]
pub struct BarrierError {
    /// Its scope.
    pub scope: Name,
    /// Why.
    pub reason: String,
}
