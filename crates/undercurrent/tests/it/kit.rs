//! What the tests share: an engine over a real store, and a loader that does what it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use undercurrent::cache::{Cache, CacheOptions, Check, Inputs, LoadError, Loaded, Loader, Validator};
use undercurrent::event_stream::Redactor;
use undercurrent::rules::RuleSet;
use undercurrent::store::Store;
use undercurrent::store::embedded::{EmbeddedStore, StoreOptions};
use undercurrent::{EventStream, Key, Level, Name};

/// An engine without sources, in a directory that goes with it.
pub(crate) struct Engine {
    pub(crate) events: EventStream,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) dir: TempDir,
}

impl Engine {
    pub(crate) fn open() -> Self {
        Self::open_in(tempfile::tempdir().unwrap())
    }

    pub(crate) fn open_in(dir: TempDir) -> Self {
        let store: Arc<dyn Store> =
            Arc::new(EmbeddedStore::open(dir.path(), StoreOptions::default()).unwrap());
        let cache = Cache::new(store.clone(), CacheOptions::default());
        let namespace = "default".to_owned();
        let events =
            EventStream::assemble(namespace, store.clone(), cache, RuleSet::shipped(), Redactor::default());
        Self { events, store, dir }
    }

    /// Returns a second handle over the same store, as if another node shared it.
    pub(crate) fn another(&self) -> EventStream {
        let cache = Cache::new(self.store.clone(), CacheOptions::default());
        let (store, rules) = (self.store.clone(), RuleSet::shipped());
        EventStream::assemble("default".to_owned(), store, cache, rules, Redactor::default())
    }

    /// Registers a scripted loader for a kind of key.
    pub(crate) fn script(&self, kind: &str) -> Arc<Script> {
        let script = Arc::new(Script::new());
        self.events.cache().register(kind, script.clone());
        script
    }

    pub(crate) async fn get(&self, text: &str) -> String {
        self.get_at(text, Level::Fresh).await
    }

    pub(crate) async fn get_at(&self, text: &str, level: Level) -> String {
        let answer = self.events.get_app_context(text).level(level).await.unwrap();
        answer.text().unwrap_or("<absent>").to_owned()
    }

    pub(crate) async fn invalidate(&self, text: &str) {
        self.events.invalidate(vec![text.parse().unwrap()]).await.unwrap();
    }
}

/// What the loader of a key makes of its inputs.
type Recipe = Arc<dyn for<'a> Fn(&'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> + Send + Sync>;

/// A loader whose source is a map in memory; its loads can be held in the middle.
pub(crate) struct Script {
    values: Mutex<std::collections::BTreeMap<String, Option<Bytes>>>,
    recipes: Mutex<std::collections::BTreeMap<String, Recipe>>,
    names: Mutex<Vec<Name>>,
    /// Whether values carry a validator that the loader can check.
    validators: bool,
    /// Whether its source can be waited for.
    can_wait: bool,
    /// How fresh a read is that names no level.
    default_level: Level,
    pub(crate) loads: AtomicU64,
    pub(crate) checks: AtomicU64,
    /// Loads that have read their source and wait for a permit, while loads are held.
    held: watch::Sender<(bool, u64)>,
    permits: Semaphore,
}

impl Script {
    fn new() -> Self {
        Self {
            values: Mutex::default(),
            recipes: Mutex::default(),
            names: Mutex::default(),
            validators: false,
            can_wait: true,
            default_level: Level::Fresh,
            loads: AtomicU64::new(0),
            checks: AtomicU64::new(0),
            held: watch::channel((false, 0)).0,
            permits: Semaphore::new(0),
        }
    }

    pub(crate) fn with_validators() -> Self {
        Self { validators: true, ..Self::new() }
    }

    /// A script whose source can be asked and not waited for.
    pub(crate) fn to_be_asked() -> Self {
        Self { can_wait: false, ..Self::with_validators() }
    }

    /// A script whose source is asked at each read that names no level, as that of files is.
    pub(crate) fn asked_by_default() -> Self {
        Self { default_level: Level::Verified, ..Self::with_validators() }
    }

    /// Sets what the source has; nobody is told.
    pub(crate) fn set(&self, key: &str, value: &str) {
        self.values.lock().insert(key.to_owned(), Some(Bytes::copy_from_slice(value.as_bytes())));
    }

    pub(crate) fn remove(&self, key: &str) {
        self.values.lock().insert(key.to_owned(), None);
    }

    /// Sets how a key is made of others.
    pub(crate) fn recipe<F>(&self, key: &str, recipe: F)
    where
        F: for<'a> Fn(&'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> + Send + Sync + 'static,
    {
        self.recipes.lock().insert(key.to_owned(), Arc::new(recipe));
    }

    /// Makes a key the concatenation of others.
    pub(crate) fn join(&self, key: &str, inputs: &[&str]) {
        let inputs: Vec<Key> = inputs.iter().map(|text| text.parse().unwrap()).collect();
        self.recipe(key, move |reader| {
            let inputs = inputs.clone();
            Box::pin(async move {
                let mut value = Vec::new();
                for key in &inputs {
                    value.extend_from_slice(&reader.get(key).await?.unwrap_or_default());
                }
                Ok(Loaded { value: Some(value.into()), ..Loaded::default() })
            })
        });
    }

    /// Sets the names that every value depends on besides its key.
    pub(crate) fn depend_on(&self, names: &[&str]) {
        *self.names.lock() = names.iter().map(|text| text.parse().unwrap()).collect();
    }

    /// From here on every load stops after it has read its source.
    pub(crate) fn hold(&self) {
        self.held.send_modify(|held| held.0 = true);
    }

    /// Waits until that many loads have stopped since the beginning.
    pub(crate) async fn wait_held(&self, count: u64) {
        self.held.subscribe().wait_for(|held| held.1 >= count).await.unwrap();
    }

    /// Lets all go on, now and later.
    pub(crate) fn release_all(&self) {
        self.held.send_modify(|held| held.0 = false);
        self.permits.add_permits(1000);
    }

    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }
}

impl Loader for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn default_level(&self) -> Level {
        self.default_level
    }

    fn offers(&self, _key: &Key, level: Level) -> Result<(), String> {
        match level {
            Level::Synced if !self.can_wait => Err("the script can not be waited for".into()),
            Level::Verified if !self.validators => Err("the script has no validators".into()),
            _ => Ok(()),
        }
    }

    fn load<'a>(&'a self, key: &'a Key, inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        Box::pin(async move {
            self.loads.fetch_add(1, Ordering::SeqCst);
            let recipe = self.recipes.lock().get(key.as_str()).cloned();
            let mut loaded = match recipe {
                Some(recipe) => recipe(inputs).await?,
                None => {
                    let value = self.values.lock().get(key.as_str()).cloned().flatten();
                    let validator =
                        self.validators.then(|| Validator(value.clone().unwrap_or_default().to_vec().into()));
                    Loaded { value, validator, ..Loaded::default() }
                }
            };
            loaded.names.extend(self.names.lock().iter().cloned());
            if self.held.borrow().0 {
                self.held.send_modify(|held| held.1 += 1);
                self.permits.acquire().await.expect("it is never closed").forget();
            }
            Ok(loaded)
        })
    }

    fn check<'a>(
        &'a self,
        key: &'a Key,
        validator: &'a Validator,
    ) -> BoxFuture<'a, Result<Check, LoadError>> {
        Box::pin(async move {
            self.checks.fetch_add(1, Ordering::SeqCst);
            let value = self.values.lock().get(key.as_str()).cloned().flatten().unwrap_or_default();
            Ok(if *validator.0 == *value { Check::Unchanged } else { Check::Changed })
        })
    }
}

/// Has `finder` find a change by a load that is not kept: the new version depends on what moves while it is loaded, and the
/// old one, which `reader` has, does not. It may not outlive the answer.
pub(crate) async fn a_change_is_found_and_not_kept(reader: &Engine, finder: &Engine, script: &Script) {
    script.set("x:leaf", "1");
    assert_eq!(reader.get("x:leaf").await, "1");
    reader.invalidate("tag:other").await;
    script.set("x:leaf", "2");
    script.depend_on(&["tag:t"]);
    script.hold();
    let events = finder.events.clone();
    let read = tokio::spawn(async move { events.get_app_context("x:leaf").reload().await.unwrap() });
    script.wait_held(1).await;
    reader.invalidate("tag:t").await;
    script.release_all();
    assert_eq!(read.await.unwrap().text(), Some("2"));
    assert_eq!(reader.get("x:leaf").await, "2", "the old one does not outlive it");
}
