//! The levels: how fresh a read must be, and the least that must be asked for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use undercurrent_types::{Key, Level, Name, Position, Token, Version};

use super::answer::{Answer, Why};
use super::as_of::Verdict;
use super::entry::Entry;
use super::fill::unavailable;
use super::flight::{Mode, Need};
use super::loader::{Check, LoadError, Loader};
use super::{Cache, Doubt};
use crate::ablation::{Step, skips};

/// How often a read begins again when its sources move under it.
const TRIES: u32 = 5;

/// What a read asks for beyond its key.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// How fresh it must be; the default of the key's kind where none is named.
    pub level: Option<Level>,
    /// A write that it must see.
    pub after: Option<Token>,
    /// Whether the value must be loaded, whatever is in memory.
    pub reload: bool,
    /// Whether what is in memory will do when the value can not be loaded. The answer says so, at level `local`.
    pub stale_on_error: bool,
}

/// Why a key could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The source of the key can not give the level that was named.
    #[error("`{key}` can not be read at `{level}`: {reason}")]
    LevelNotOffered {
        /// The key that was asked for.
        key: Key,
        /// The level that was named.
        level: Level,
        /// Why.
        reason: String,
    },
    /// The value could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl Cache {
    /// Reads a key.
    ///
    /// A hit takes no lock that all keys share, allocates nothing, and reads the clock only for values with a
    /// deadline. Dropping the future leaves a load that has begun running, for whoever else waits for it.
    ///
    /// # Errors
    ///
    /// Fails when the level is not offered or the load fails. What is not there is an answer, not an error.
    pub async fn get(&self, key: &Key, options: ReadOptions) -> Result<Answer, ReadError> {
        match self.hit(key, options) {
            Some(answer) => Ok(answer),
            // Boxed, so that the future of a hit is small.
            None => Box::pin(self.miss(key, options)).await,
        }
    }

    /// Answers from memory, if memory is enough.
    #[inline]
    pub fn hit(&self, key: &Key, options: ReadOptions) -> Option<Answer> {
        if options.reload {
            return None;
        }
        let entry = self.0.entries.get(key)?;
        let level = options.level.unwrap_or_else(|| entry.default_level);
        let why = match level {
            Level::Local if options.after.is_none() => Why::AnyAge,
            Level::Bounded(age) if options.after.is_none() => {
                let barrier = self.0.store.barrier_within(age)?;
                self.still_good(&entry, barrier)?
            }
            Level::Local | Level::Bounded(_) | Level::Fresh => {
                let barrier = self.0.store.barrier_now()?;
                self.still_good(&entry, barrier)?
            }
            Level::Verified if entry.inputs.is_empty() => {
                let loader = self.loader(key)?;
                match loader.check_now(key, entry.validator.as_ref()?)? {
                    Check::Unchanged if loader.version() == entry.loader_version => Why::Unchanged,
                    Check::Unchanged | Check::Changed => return None,
                }
            }
            Level::Synced | Level::Verified => return None,
        };
        Some(Answer::new(entry, level, why))
    }

    /// Evaluates the predicate at a position that is not below `barrier`, and raises `as_of` to it.
    /// In the model: `memory::reader::read`, `dependencies::store::read_valid`.
    #[inline]
    pub(super) fn still_good(&self, entry: &Entry, barrier: Position) -> Option<Why> {
        let horizon = self.0.store.horizon();
        if entry.inc != horizon.incarnation() || entry.is_late() {
            return None;
        }
        if entry.value.is_none() && skips(Step::NegativeAlike) {
            return Some(Why::Current);
        }
        let slots = if skips(Step::HitClosure) { &entry.closure.slots()[..1] } else { entry.closure.slots() };
        let why = match entry.as_of.judge(horizon, slots, barrier) {
            Verdict::Current => Why::Current,
            Verdict::Unmoved => Why::Unmoved,
            Verdict::Floor(as_of) => {
                let position = self.0.store.still_valid(&entry.closure.names, as_of)?;
                entry.as_of.raise(position);
                Why::Unmoved
            }
            Verdict::Ahead => return None,
        };
        Some(if entry.is_put() { Why::Put } else { why })
    }

    /// As [`Cache::still_good`], for a barrier that may be of another incarnation than this process knows.
    pub(super) fn good_at(&self, entry: &Entry, barrier: Token) -> Option<Why> {
        let is_current = barrier.inc == self.0.store.horizon().incarnation();
        is_current.then(|| self.still_good(entry, barrier.position)).flatten()
    }

    /// In the model: `memory::reader::begin`, `dependencies::process::begin`.
    pub(crate) async fn miss(&self, key: &Key, options: ReadOptions) -> Result<Answer, ReadError> {
        // First of all: loads that begin from here on began after the read.
        let begun = self.0.begun.load(Ordering::SeqCst);
        let loader = self.loader(key);
        let level = self.level_of(key, options.level, loader.as_deref())?;
        let mode = if options.reload { Mode::Load } else { Mode::Fresh };
        let read = match (level, loader) {
            // Boxed, so that what many wait in for a barrier is small.
            (Level::Synced, Some(_)) => Box::pin(self.synced(key, begun, mode)).await,
            (Level::Verified, Some(_)) => Box::pin(self.verified(key, begun, mode)).await,
            _ if self.is_asked_anyway(key) => {
                let later = Need::later(self.0.store.horizon().incarnation(), begun, mode);
                Box::pin(self.fill_fresh(key, later)).await
            }
            _ => match self.barrier_for(key).await {
                Ok(barrier) => self.fresh(key, Need::new(barrier, begun, mode)).await,
                Err(error) => Err(error),
            },
        };
        match read {
            Ok((entry, why)) => Ok(Answer::new(entry, level, why)),
            Err(error) if options.stale_on_error && error.code().is_retryable() => {
                match self.0.entries.peek(key) {
                    Some(entry) => Ok(Answer::new(entry, Level::Local, Why::StaleOnError)),
                    None => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the level to serve: the one that was named, if it is offered, or the default.
    fn level_of(
        &self,
        key: &Key,
        named: Option<Level>,
        loader: Option<&dyn Loader>,
    ) -> Result<Level, ReadError> {
        let Some(level) = named else {
            return Ok(loader.map_or(Level::Fresh, Loader::default_level));
        };
        let offered = match loader {
            Some(loader) => loader.offers(key, level),
            None if level > Level::Fresh => Err("nothing here loads it, so no source can be asked".into()),
            None => Ok(()),
        };
        offered.map_err(|reason| ReadError::LevelNotOffered { key: key.clone(), level, reason })?;
        Ok(level)
    }

    /// An entry that is valid at the barrier, or a fill that began at or after it.
    async fn fresh(&self, key: &Key, need: Need) -> Result<(Arc<Entry>, Why), LoadError> {
        if need.mode == Mode::Fresh
            && let Some(entry) = self.0.entries.get(key)
            && let Some(why) = self.good_at(&entry, need.barrier)
        {
            return Ok((entry, why));
        }
        Box::pin(self.fill_fresh(key, need)).await
    }

    /// Says whether the store will be asked for the key whatever a barrier says, which is a barrier itself: it keeps
    /// entries, and there is neither an entry nor a load that could be shared.
    fn is_asked_anyway(&self, key: &Key) -> bool {
        self.0.store.keeps_entries() && self.0.entries.peek(key).is_none() && !self.0.flights.has(key)
    }

    /// A fill that serves the need.
    async fn fill_fresh(&self, key: &Key, need: Need) -> Result<(Arc<Entry>, Why), LoadError> {
        let (entry, why) = self.fly(key, need, None).await?;
        if self.0.options.doubt == Doubt::Refuse
            && need.mode == Mode::Fresh
            && let Some(name) = self.doubtful(key, &entry.closure.names).await?
        {
            let reason = format!(
                "nobody vouches for `{name}` now, and the policy is to refuse; read it at `verified`"
            );
            return Err(LoadError::Unavailable { key: key.clone(), reason });
        }
        Ok((entry, why))
    }

    /// Waits for the source of every scope that the value depends on, then reads at a barrier sent after that.
    ///
    /// Where a source can not say that it is up to date, the value is verified instead: whoever asks the source
    /// during the read sees all that was done before it.
    pub(super) async fn synced(
        &self,
        key: &Key,
        begun: u64,
        mode: Mode,
    ) -> Result<(Arc<Entry>, Why), LoadError> {
        let mut asked: Vec<Name> = Vec::new();
        let mut scopes = match self.0.entries.peek(key) {
            Some(entry) => self.scopes_of(&entry),
            None => self.0.barriers.read().keys().cloned().collect(),
        };
        for _ in 0..TRIES {
            let doubtful = self.doubtful(key, &scopes).await?;
            if doubtful.is_some() || !self.wait_for(&scopes).await {
                return self.verified(key, begun, mode).await;
            }
            asked.append(&mut scopes);
            let barrier = self.barrier_for(key).await?;
            // What is not in memory and valid is asked anew: a load from before the read may be under way, and
            // nothing tells it of changes that nobody watches.
            let (entry, why) = match self.0.entries.get(key).filter(|_| mode == Mode::Fresh) {
                Some(entry) if self.good_at(&entry, barrier).is_some() => (entry, Why::Unmoved),
                _ => self.fly(key, Need::new(barrier, begun, mode.max(Mode::Ask)), None).await?,
            };
            if self.has_input_to_ask(&entry) {
                return self.verified(key, begun, mode).await;
            }
            scopes = self.scopes_of(&entry);
            scopes.retain(|scope| !asked.contains(scope));
            if scopes.is_empty() {
                return Ok((entry, why));
            }
        }
        Err(LoadError::Unstable { key: key.clone(), tries: TRIES })
    }

    /// Returns a name of these that nobody vouches for now, where there is one.
    pub(crate) async fn doubtful(&self, key: &Key, names: &[Name]) -> Result<Option<Name>, LoadError> {
        if names.is_empty() {
            return Ok(None);
        }
        let last = self.0.store.last(names).await.map_err(|error| unavailable(key, &error))?;
        Ok(names.iter().zip(last).find(|(_, last)| last.in_doubt).map(|(name, _)| name.clone()))
    }

    /// Waits until every source that can be waited for has told all that happened before; says whether each did.
    pub async fn wait_for_all(&self) -> bool {
        let scopes: Vec<_> = self.0.barriers.read().keys().cloned().collect();
        self.wait_for(&scopes).await
    }

    /// The names of an entry's closure whose source can be waited for.
    fn scopes_of(&self, entry: &Entry) -> Vec<Name> {
        let barriers = self.0.barriers.read();
        entry.closure.names.iter().filter(|name| barriers.contains_key(*name)).cloned().collect()
    }

    /// Says whether a value was made from one whose source can be asked and not waited for.
    fn has_input_to_ask(&self, entry: &Entry) -> bool {
        let mut loaders = entry.closure.keys.iter().filter_map(|(key, _)| Some((key, self.loader(key)?)));
        loaders.any(|(key, loader)| {
            loader.offers(key, Level::Synced).is_err() && loader.offers(key, Level::Verified).is_ok()
        })
    }

    async fn wait_for(&self, scopes: &[Name]) -> bool {
        let barriers: Vec<_> = scopes.iter().filter_map(|scope| self.barrier_of(scope)).collect();
        let answers = join_all(barriers.iter().map(|barrier| barrier.barrier())).await;
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            tracing::debug!(%error, "a synced read asks the sources themselves");
        }
        answers.iter().all(Result::is_ok)
    }

    /// Asks the source of every key in the closure whether it is still at the version that the value was made from.
    /// In the model: `dependencies::process::ask_sources`.
    pub(super) async fn verified(
        &self,
        key: &Key,
        begun: u64,
        mode: Mode,
    ) -> Result<(Arc<Entry>, Why), LoadError> {
        let ask = |barrier, begun| Need::new(barrier, begun, mode.max(Mode::Verify));
        if self.0.entries.peek(key).is_none_or(|entry| entry.inputs.is_empty()) {
            let barrier = self.barrier_for(key).await?;
            let (entry, why) = self.fly(key, ask(barrier, begun), None).await?;
            if entry.inputs.is_empty() {
                return Ok((entry, why));
            }
        }
        let mut held_before: Option<Arc<Entry>> = None;
        for _ in 0..TRIES {
            // What is asked in one round is not answered by a load that began in the round before.
            let round = self.0.begun.load(Ordering::SeqCst);
            let barrier = self.barrier_for(key).await?;
            let (entry, why) = self.fresh(key, Need::new(barrier, begun, Mode::Fresh)).await?;
            let (mut held, mut loaded) = (true, false);
            let own = (entry.key.clone(), entry.version);
            for (input, version) in entry.closure.keys.iter().chain([&own]) {
                let asked = self.holds(input, *version, ask(barrier, round)).await?;
                held &= asked != Held::Not;
                loaded |= asked == Held::Loaded;
                if !held {
                    break;
                }
            }
            // A load of one key may take long enough for another to move: they must hold together once more.
            let is_same = |before: &Arc<Entry>| {
                before.version == entry.version && before.closure.keys == entry.closure.keys
            };
            if held && (!loaded || held_before.as_ref().is_some_and(is_same)) {
                return Ok((entry, if loaded { why } else { Why::Unchanged }));
            }
            held_before = held.then_some(entry);
        }
        Err(LoadError::Unstable { key: key.clone(), tries: TRIES })
    }

    /// Asks whether a key is still at a version. A key that reads other keys only need not be asked itself.
    /// In the model: `dependencies::process::ask_sources`.
    async fn holds(&self, key: &Key, version: Version, need: Need) -> Result<Held, LoadError> {
        let standing = self.0.entries.peek(key).filter(|entry| entry.version == version);
        if let Some(entry) = standing {
            // What was put has no source: it is asked by looking whether it still stands.
            let put = self.loader(key).is_none() && self.good_at(&entry, need.barrier).is_some();
            if put || !entry.reads_source() {
                return Ok(Held::Asked);
            }
            if let Some(validator) = &entry.validator
                && let Some(loader) = self.loader(key)
                && loader.check(key, validator).await? == Check::Unchanged
            {
                return Ok(Held::Asked);
            }
        }
        let (entry, _) = self.fly(key, need, None).await?;
        Ok(if entry.version == version { Held::Loaded } else { Held::Not })
    }
}

/// What asking about one key of a closure came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// It is at the version; nothing was loaded.
    Asked,
    /// It is at the version, as a load says.
    Loaded,
    /// It is at another.
    Not,
}
