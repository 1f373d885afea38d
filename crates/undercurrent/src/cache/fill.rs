//! How a value comes into memory: h first, then revalidation or a load, then the commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use undercurrent_types::{Key, Level, Name, Position, Token, Version};

use super::Moment;
use super::answer::Why;
use super::as_of::AsOf;
use super::entry::{Closure, Entry, PUT};
use super::flight::{Flight, Mode, Need, Outcome, UNKNOWN};
use super::inputs::{Inputs, versions};
use super::kept::{BLIND, Old};
use super::loader::{Check, LoadError, Loaded, Loader};
use super::{Cache, Doubt};
use crate::ablation::{Step, skips};
use crate::store::{Batch, Commit, Committed, Invalidation, Keep, Over, PublishError, Read, StoreError};

/// How often a fill begins again when its inputs do not fit together.
const TRIES: u32 = 5;

/// What one try of a fill came to.
enum Try {
    Done(Arc<Entry>, Why),
    /// Two inputs hold one key in two versions: the value is for nobody.
    Mixed(Key),
}

impl Cache {
    /// Shares or makes the fill that serves a read. `waiter` is the key whose loader asks, where one does.
    ///
    /// What nobody vouches for is asked for at every read. A value that was not accepted may have been in doubt while it
    /// was loaded, and one whose time is over may have been so when the read began; if that load began before this read,
    /// the source is asked once more.
    pub(super) async fn fly(&self, key: &Key, need: Need, waiter: Option<&Key>) -> Outcome {
        let (entry, why, early) = self.share(key, need, waiter).await?;
        let doubtful = entry.as_of() == Position(0) && !skips(Step::DoubtAsked);
        if early && need.mode == Mode::Fresh && (doubtful || entry.is_late() && !skips(Step::LateAsked)) {
            let (entry, why, _) = self.share(key, Need { mode: Mode::Ask, ..need }, waiter).await?;
            return Ok((entry, why));
        }
        Ok((entry, why))
    }

    /// Waits for a flight; also says whether it began before the read.
    async fn share(
        &self,
        key: &Key,
        need: Need,
        waiter: Option<&Key>,
    ) -> Result<(Arc<Entry>, Why, bool), LoadError> {
        let joined = self.0.flights.join(key, need, waiter)?;
        let _waiting = waiter.map(|waiter| Waiting { cache: self, waiter, key });
        if joined.start {
            self.launch(key.clone(), joined.flight.clone(), waiter.is_none());
        }
        let (entry, why) = joined.flight.outcome().await?;
        Ok((entry, why, joined.flight.began_before(need.begun)))
    }

    /// Runs a flight in a task of its own, so that no reader's end is the end of the others' load. A patient one waits
    /// for another node that fills the key.
    fn launch(&self, key: Key, flight: Arc<Flight>, patient: bool) {
        let mut landing = Landing { cache: self.clone(), key, flight, outcome: None };
        tokio::spawn(async move {
            let outcome = landing.cache.fill(&landing.key, &landing.flight, patient).await;
            // Whatever did not end with a commit still has the lease: a failure, or an entry that stood in memory.
            landing.cache.0.store.release(&landing.key).await;
            landing.outcome.replace(outcome);
        });
    }

    /// In the model: `memory::flight::flight`, `dependencies::fill::begin_again`.
    async fn fill(&self, key: &Key, flight: &Flight, patient: bool) -> Outcome {
        // In this order: who joined before the flight closed began before its place was taken and h was asked for.
        let mode = flight.close();
        let place = self.0.begun.fetch_add(1, Ordering::SeqCst);
        let mut read = self.ask_store(key, mode).await?;
        flight.begin(place, Token { inc: read.at.inc, position: read.known });
        if patient {
            read = self.await_lease(key, mode, read).await?;
        }
        for _ in 0..TRIES {
            let need = Need::new(read.at, place, mode.min(Mode::Ask));
            match self.attempt(key, need, mode.max(need.mode), &read).await? {
                Try::Done(entry, why) => return Ok((entry, why)),
                Try::Mixed(moving) => {
                    let moved = self.invalidate(&moving, "two versions of it met in one value").await;
                    moved.map_err(|error| unavailable(&moving, &error))?;
                    read = self.ask_store(key, mode).await?;
                }
            }
        }
        Err(LoadError::Unstable { key: key.clone(), tries: TRIES })
    }

    /// Asks the store where its order stands. Where it can not be asked and doubt is no reason to refuse, the source
    /// is asked at each read.
    pub(super) async fn barrier_for(&self, key: &Key) -> Result<Token, LoadError> {
        match self.0.store.barrier().await {
            Err(StoreError::Unavailable { .. }) if self.0.options.doubt == Doubt::Load => Ok(BLIND),
            answer => answer.map_err(|error| unavailable(key, &error)),
        }
    }

    /// In the model: `dependencies::fill::fill`.
    async fn attempt(&self, key: &Key, need: Need, mode: Mode, read: &Read) -> Result<Try, LoadError> {
        let standing = self.0.entries.get(key);
        if mode == Mode::Fresh
            && let Some(entry) = &standing
            && self.good_at(entry, need.barrier).is_some()
        {
            return Ok(Try::Done(entry.clone(), Why::Current));
        }
        if mode == Mode::Fresh
            && let Some(entry) = self.take_kept(key, read).await
        {
            return Ok(Try::Done(entry, Why::Shared));
        }
        let standing = self.standing(key, standing, read);
        let Some(loader) = self.loader(key) else {
            return self.take_put(key, standing, need).await;
        };
        if mode < Mode::Load
            && let Some(old) = standing.filter(|old| old.entry.loader_version == loader.version())
            && let Some(done) = self.revalidate(&old, need, mode, loader.as_ref()).await?
        {
            return Ok(done);
        }
        if mode == Mode::Fresh
            && let Some(error) = self.backing_off(key)
        {
            return Err(error);
        }
        let loaded = self.load(key, need, loader.as_ref()).await;
        self.note_load(key, need.barrier.position, &loaded);
        loaded
    }

    /// Takes what was put as it stands, whatever the read asks for: nobody could say anything else. Where its inputs
    /// moved or are in doubt, it stands while they come back at the same versions.
    async fn take_put(&self, key: &Key, standing: Option<Old>, need: Need) -> Result<Try, LoadError> {
        if need.is_blind() {
            let reason = "the store can not be asked, and nothing loads it".into();
            return Err(LoadError::Unavailable { key: key.clone(), reason });
        }
        let missing = || LoadError::Missing { key: key.clone(), at: need.barrier };
        let old = standing.filter(|old| old.entry.loader_version == Nobody.version()).ok_or_else(missing)?;
        if let Some(why) = self.good_at(&old.entry, need.barrier) {
            return Ok(Try::Done(old.entry, why));
        }
        let kept = self.revalidate(&old, need, Mode::Fresh, &Nobody).await?;
        kept.ok_or_else(missing)
    }

    /// Tries to keep a standing value without a load; `None` sends the caller to one.
    /// In the model: `dependencies::fill::receive`.
    async fn revalidate(
        &self,
        standing: &Old,
        need: Need,
        mode: Mode,
        loader: &dyn Loader,
    ) -> Result<Option<Try>, LoadError> {
        let began = Moment::now();
        let old = &standing.entry;
        let own = match loader.names_now(&old.key)? {
            Some(names) => own_names(&old.key, names),
            None => old.own.clone(),
        };
        let mut inputs = Vec::with_capacity(old.inputs.len());
        let reader = Inputs::new(self, &old.key, need);
        for (key, version) in &old.inputs {
            if skips(Step::CutoffInputsFresh)
                && let Some(entry) = self.0.entries.peek(key).filter(|entry| entry.version == *version)
            {
                inputs.push(entry);
                continue;
            }
            match reader.read(key).await {
                Ok(entry) if entry.version == *version => inputs.push(entry),
                // Another version, or no answer: the loader sees for itself.
                Ok(_) | Err(_) => return Ok(None),
            }
        }
        let why = match &old.validator {
            Some(validator) => match loader.check(&old.key, validator).await? {
                Check::Unchanged => Why::Unchanged,
                Check::Changed => return Ok(None),
            },
            None if inputs.is_empty() || mode == Mode::Verify && old.reads_source() => return Ok(None),
            None if self.own_moved(standing, need, &own).await? && !skips(Step::CutoffOwnUnmoved) => {
                return Ok(None);
            }
            None => Why::SameInputs,
        };
        let closure = join_closures(&own, &inputs);
        let closure = if skips(Step::RestampClosure) { old.closure.clone() } else { closure };
        if let Some(moving) = mixture(&closure) {
            return Ok(Some(Try::Mixed(moving.clone())));
        }
        let asked = why == Why::Unchanged;
        let own_deadline = if asked { old.max_age.map(|age| began.after(age)) } else { old.own_deadline };
        let entry = Entry {
            as_of: AsOf::new(Position(0)),
            last_answer: AtomicU64::new(0),
            key: old.key.clone(),
            value: old.value.clone(),
            version: old.version,
            inc: need.barrier.inc,
            h: if skips(Step::RestampAtH) { self.0.store.horizon().applied() } else { need.barrier.position },
            own,
            deadline: earliest(&inputs, own_deadline),
            inputs: versions(&inputs),
            closure,
            validator: old.validator.clone(),
            own_deadline,
            max_age: old.max_age,
            loader_version: old.loader_version,
            default_level: old.default_level,
            since: if asked { began } else { old.since },
            took: old.took,
        };
        let entry = self.restamp(standing, entry).await?;
        Ok(Some(Try::Done(entry, why)))
    }

    /// Says whether a name of the entry's own was invalidated after the value was found good, or is in doubt.
    /// In the model: `dependencies::store::own_moved`.
    async fn own_moved(&self, standing: &Old, need: Need, own: &[Name]) -> Result<bool, LoadError> {
        let old = &standing.entry;
        if need.is_blind() || *own != *old.own {
            return Ok(true);
        }
        if let Some(moved) = standing.own_moved {
            return Ok(moved);
        }
        let good = Token { inc: old.inc, position: old.as_of().max(old.h) };
        if old.inc != self.0.store.horizon().incarnation() || old.is_own_late() {
            return Ok(true);
        }
        let valid = self.0.store.valid(own, good).await.map_err(|error| unavailable(&old.key, &error))?;
        Ok(valid.is_none())
    }

    /// Commits the same version again, over the entry that was looked at and no other.
    /// In the model: `dependencies::store::restamp`.
    async fn restamp(&self, old: &Old, entry: Entry) -> Result<Arc<Entry>, LoadError> {
        let key = entry.key.clone();
        let _inserting = self.inserting(&key).lock().await;
        let (as_of, keep) = match self.ask_to_commit(&entry, None, Over::Same).await? {
            Committed::Accepted(position) => (position, true),
            Committed::InDoubt => (Position(0), true),
            Committed::Moved => (Position(0), false),
        };
        let entry = Arc::new(entry.good_for(as_of));
        let may_replace = match old.own_moved {
            None => self.0.entries.peek(&key).is_some_and(|standing| Arc::ptr_eq(&standing, &old.entry)),
            // It is the store's, which compared it.
            Some(_) => self.may_replace(&entry),
        };
        if keep && may_replace {
            self.insert(entry.clone());
        }
        Ok(entry)
    }

    /// In the model: `dependencies::fill::receive`.
    async fn load(&self, key: &Key, need: Need, loader: &dyn Loader) -> Result<Try, LoadError> {
        let began = Moment::now();
        let reader = Inputs::of_load(self, key, need);
        let limit = self.0.options.load_time;
        let loading = async {
            reader.enter().await;
            loader.load(key, &reader).await
        };
        let loaded = tokio::time::timeout(limit, loading)
            .await
            .map_err(|_| LoadError::TimedOut { key: key.clone(), limit })??;
        let inputs = reader.into_entries();
        let own = own_names(key, loaded.names);
        let closure = join_closures(&own, &inputs);
        if let Some(moving) = mixture(&closure) {
            return Ok(Try::Mixed(moving.clone()));
        }
        let own_deadline = loaded.max_age.map(|age| began.after(age));
        let entry = Entry {
            as_of: AsOf::new(Position(0)),
            last_answer: AtomicU64::new(0),
            key: key.clone(),
            version: Version::of(loaded.value.as_deref()),
            value: loaded.value,
            inc: need.barrier.inc,
            h: need.barrier.position,
            own,
            deadline: earliest(&inputs, own_deadline),
            inputs: versions(&inputs),
            closure,
            validator: loaded.validator,
            own_deadline,
            max_age: loaded.max_age,
            loader_version: loader.version(),
            default_level: loader.default_level(),
            since: began,
            took: began.elapsed(),
        };
        let entry = self.commit(entry).await?;
        Ok(Try::Done(entry, if need.is_blind() { Why::Uncached } else { Why::Loaded }))
    }

    /// Commits a loaded value. The reads that waited get it in any case; memory keeps it only if it is accepted.
    /// In the model: `dependencies::store::commit`, `memory::store::commit_at_store`.
    pub(super) async fn commit(&self, entry: Entry) -> Result<Arc<Entry>, LoadError> {
        let key = entry.key.clone();
        if entry.inc == UNKNOWN {
            return Ok(Arc::new(entry));
        }
        let _inserting = self.inserting(&key).lock().await;
        let applied = self.0.store.horizon().applied();
        let standing = self.0.entries.peek(&key).filter(|entry| self.still_good(entry, applied).is_some());
        let differs = standing.as_ref().is_some_and(|standing| standing.version != entry.version)
            && !skips(Step::AnnounceChange);
        if differs && entry.is_put() && self.is_stale(&entry).await? {
            // It is given to nobody, so it is no change that was found.
            return Ok(Arc::new(entry));
        }
        if differs
            && standing.as_ref().is_some_and(|standing| standing.h >= entry.h)
            && !skips(Step::UnknownOrder)
        {
            // Two different values, and nobody can say which of them is the later one: neither stays.
            self.take_away(&key, "two loads of it disagree").await?;
            return Ok(Arc::new(entry));
        }
        let announce = differs.then_some(&key);
        let committed = self.ask_to_commit(&entry, announce, Over::Anything).await?;
        if differs && !entry.is_put() && !matches!(committed, Committed::Accepted(_)) {
            // Whatever this one is worth by now, the one that stands is known to be old.
            self.take_away(&key, "a change found").await?;
        }
        let (as_of, keep) = match committed {
            Committed::Accepted(position) => {
                let newer =
                    standing.is_some_and(|standing| standing.inc == entry.inc && standing.as_of() > position);
                (position, !newer || differs)
            }
            Committed::InDoubt => (Position(0), entry.validator.is_some() || !entry.inputs.is_empty()),
            Committed::Moved => (Position(0), false),
        };
        let entry = Arc::new(entry.good_for(as_of));
        if keep {
            self.insert(entry.clone());
        }
        Ok(entry)
    }

    /// Says whether a name of an entry has moved since its `h`.
    async fn is_stale(&self, entry: &Entry) -> Result<bool, LoadError> {
        let h = Token { inc: entry.inc, position: entry.h };
        let judged = self.0.store.commit(Commit::of(h, &entry.closure.names)).await;
        judged.map(|judged| judged == Committed::Moved).map_err(|error| unavailable(&entry.key, &error))
    }

    /// Takes a value out of memory and makes it stale for all.
    async fn take_away(&self, key: &Key, cause: &str) -> Result<(), LoadError> {
        self.0.entries.remove(key);
        let moved = self.invalidate(key, cause).await;
        moved.map(|_| ()).map_err(|error| unavailable(key, &error))
    }

    /// Asks the store whether a value that was read from its `h` on is good.
    async fn ask_to_commit(
        &self,
        entry: &Entry,
        announce: Option<&Key>,
        over: Over,
    ) -> Result<Committed, LoadError> {
        if entry.inc == UNKNOWN {
            return Ok(Committed::Moved);
        }
        let h = Token { inc: entry.inc, position: entry.h };
        let kept = self.0.store.keeps_entries().then(|| entry.to_kept());
        let own_key = [Name::from(&entry.key)];
        let names = if skips(Step::CommitClosure) { &own_key[..] } else { &entry.closure.names[..] };
        let keep = kept.as_ref().map(|kept| Keep { key: &entry.key, entry: kept, over });
        let committed = self.0.store.commit(Commit { h, closure: names, announce, keep }).await;
        let committed = committed.map_err(|error| unavailable(&entry.key, &error))?;
        let now = Committed::Accepted(self.0.store.horizon().applied());
        Ok(match committed {
            Committed::Moved if skips(Step::CommitPredicate) => now,
            Committed::InDoubt if skips(Step::DoubtCounts) => now,
            committed => committed,
        })
    }

    /// Takes a position that makes one key stale.
    pub(super) async fn invalidate(&self, key: &Key, cause: &str) -> Result<Token, PublishError> {
        let batch = Batch::moving(vec![Invalidation::of(Name::from(key))], cause);
        Ok(self.0.store.publish(batch).await?.token)
    }

    pub(super) fn inserting(&self, key: &Key) -> &tokio::sync::Mutex<()> {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let stripes = &self.0.inserting;
        &stripes[(hasher.finish() % stripes.len() as u64) as usize]
    }
}

/// The loader of values that were put: it has no source.
struct Nobody;

impl Loader for Nobody {
    fn name(&self) -> &'static str {
        "put"
    }

    fn version(&self) -> u32 {
        PUT
    }

    fn default_level(&self) -> Level {
        Level::Fresh
    }

    fn offers(&self, key: &Key, _level: Level) -> Result<(), String> {
        Err(format!("`{key}` is put"))
    }

    fn load<'a>(&'a self, key: &'a Key, _inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        let reason = "it is put, and nothing loads it".into();
        Box::pin(std::future::ready(Err(LoadError::Unavailable { key: key.clone(), reason })))
    }
}

/// Finds a key that two inputs were made from in different versions.
fn mixture(closure: &Closure) -> Option<&Key> {
    if skips(Step::NoMixture) { None } else { closure.mixture() }
}

pub(super) fn unavailable(key: &Key, error: &dyn std::error::Error) -> LoadError {
    LoadError::Unavailable { key: key.clone(), reason: error.to_string() }
}

/// The key itself and what its loader named, sorted. In the model: `dependencies::graph::own`.
pub(super) fn own_names(key: &Key, mut names: Vec<Name>) -> Box<[Name]> {
    names.push(Name::from(key));
    names.sort_unstable();
    names.dedup();
    names.into()
}

/// Own names and the current closures of all inputs. In the model: `dependencies::entry::join_closures`.
pub(super) fn join_closures(own: &[Name], inputs: &[Arc<Entry>]) -> Closure {
    let mut names = own.to_vec();
    let mut keys = Vec::new();
    for input in inputs {
        if skips(Step::ClosureTransitive) {
            names.push(Name::from(&input.key));
        } else {
            names.extend(input.closure.names.iter().cloned());
        }
        keys.extend(input.closure.keys.iter().cloned());
        keys.push((input.key.clone(), input.version));
    }
    Closure::new(names, keys)
}

/// Returns the earliest of the own deadline and those of all inputs.
fn earliest(inputs: &[Arc<Entry>], own: Option<Moment>) -> Option<Moment> {
    let inherited = inputs.iter().filter_map(|input| input.deadline);
    inherited.filter(|_| !skips(Step::DeadlineInherited)).chain(own).min()
}

/// Ends a flight however its task ends: frees those who wait, and starts the flight that waited behind it.
struct Landing {
    cache: Cache,
    key: Key,
    flight: Arc<Flight>,
    outcome: Option<Outcome>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| {
            let reason = if std::thread::panicking() { "it panicked" } else { "its task was ended" };
            Err(LoadError::Broken { key: self.key.clone(), reason: reason.into() })
        });
        let flights = &self.cache.0.flights;
        let mut next = flights.land(&self.key, &self.flight, outcome);
        while let Some(flight) = next {
            if tokio::runtime::Handle::try_current().is_ok() {
                self.cache.launch(self.key.clone(), flight, true);
                return;
            }
            let ended = LoadError::Broken { key: self.key.clone(), reason: "the runtime has ended".into() };
            next = flights.land(&self.key, &flight, Err(ended));
        }
    }
}

/// Forgets who waits for whom, also when the load is dropped while it waits.
struct Waiting<'a> {
    cache: &'a Cache,
    waiter: &'a Key,
    key: &'a Key,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.cache.0.flights.stop_waiting(self.waiter, self.key);
    }
}
