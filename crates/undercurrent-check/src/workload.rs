//! Writers, invalidators and readers on one engine, with a hostile scheduler.
//!
//! Everything runs on one thread, and every pause is drawn from the seed: so a seed that fails fails again.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use undercurrent::cache::{
    Cache, CacheOptions, Check, Inputs, LoadError, Loaded, Loader, ReadOptions, Validator,
};
use undercurrent::event_stream::Redactor;
use undercurrent::rules::RuleSet;
use undercurrent::store::embedded::{EmbeddedStore, StoreOptions};
use undercurrent::store::{Batch, Invalidation, Mark, Store};
use undercurrent::{EventStream, Key, Level, Name};

use crate::history::{Leaf, Operation, Promise, Seen, is_absent};
use crate::random::Random;

/// Leaves that are keys of their own.
const LEAVES: usize = 4;
/// Derived keys of the first level; each also has a parameter, a leaf that its loader reads beside its inputs.
const MIDDLES: usize = 3;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Changes of each leaf.
    pub writes: u64,
    /// Readers at once.
    pub readers: u64,
    /// Reads of each reader.
    pub reads: u64,
}

impl Default for Size {
    fn default() -> Self {
        Self { writes: 40, readers: 6, reads: 60 }
    }
}

thread_local! {
    /// The scheduler's dice; of the thread, since the whole workload runs on one.
    static DICE: RefCell<Random> = RefCell::new(Random::new(0));
}

fn roll(bound: u64) -> u64 {
    DICE.with(|dice| dice.borrow_mut().below(bound))
}

/// Lets the others run, not at all or several times.
async fn pause() {
    for _ in 0..roll(4) {
        tokio::task::yield_now().await;
    }
}

/// The sources, and what was seen of them.
struct World {
    versions: Vec<AtomicU64>,
    clock: AtomicU64,
    history: Mutex<Vec<Operation>>,
    /// Whether nobody vouches for the world: writers tell nobody then.
    in_doubt: AtomicBool,
    /// How long writers pause at most, and one write of how many they tell nobody of: every other seed has writers that
    /// are slow and often silent, so that what is found by asking has time to be missed.
    pauses: u64,
    silent: u64,
}

impl World {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn version(&self, leaf: Leaf) -> u64 {
        self.versions[leaf].load(Ordering::SeqCst)
    }

    fn record(&self, operation: Operation) {
        self.history.lock().push(operation);
    }
}

fn leaf_key(leaf: Leaf) -> Key {
    format!("w:leaf/{leaf}").parse().expect("it is a key")
}

fn middle_key(middle: usize) -> Key {
    format!("w:middle/{middle}").parse().expect("it is a key")
}

/// The inputs of a derived key. The top reads leaves that its middles read too, and one of them twice: the
/// second time last, when no other input can tell.
fn inputs_of(key: &Key) -> Vec<Key> {
    match key.rest().split_once('/') {
        Some(("middle", "0")) => vec![leaf_key(0), leaf_key(1)],
        Some(("middle", "1")) => vec![leaf_key(1), leaf_key(2)],
        Some(("middle", _)) => vec![middle_key(0), leaf_key(3)],
        _ => vec![middle_key(0), leaf_key(1), middle_key(1), middle_key(2), leaf_key(1)],
    }
}

/// How a leaf, or a parameter, is announced apart from its key.
fn tag_of(leaf: Leaf) -> Name {
    let text = if leaf < LEAVES { format!("group/{}", leaf % 2) } else { format!("parameter/{leaf}") };
    Name::tag(&text).expect("it is a tag")
}

impl Loader for World {
    fn name(&self) -> &'static str {
        "world"
    }

    fn default_level(&self) -> Level {
        Level::Fresh
    }

    fn offers(&self, _key: &Key, _level: Level) -> Result<(), String> {
        Ok(())
    }

    fn load<'a>(&'a self, key: &'a Key, inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        Box::pin(async move {
            pause().await;
            let scope = Name::scope("world");
            match key.rest().split_once('/') {
                Some(("leaf", number)) => {
                    let leaf: Leaf = number.parse().expect("it is a number");
                    let version = self.version(leaf);
                    pause().await;
                    let value = (!is_absent(version)).then(|| Bytes::from(format!("{leaf}={version};")));
                    // Every other leaf can be asked cheaply.
                    let validator = leaf.is_multiple_of(2).then(|| Validator(version.to_le_bytes().into()));
                    Ok(Loaded { value, validator, names: vec![tag_of(leaf), scope], max_age: None })
                }
                part => {
                    let mut text = String::new();
                    for input in inputs_of(key) {
                        match inputs.get(&input).await? {
                            Some(value) => text.push_str(std::str::from_utf8(&value).expect("it is text")),
                            None => {
                                text.push_str(&format!("{}=-;", input.rest().trim_start_matches("leaf/")));
                            }
                        }
                        pause().await;
                    }
                    let mut names = Vec::new();
                    if let Some(("middle", number)) = part {
                        let parameter = LEAVES + number.parse::<usize>().expect("it is a number");
                        let version = self.version(parameter);
                        let seen = if is_absent(version) { "-".to_owned() } else { version.to_string() };
                        text.push_str(&format!("{parameter}={seen};"));
                        names = vec![tag_of(parameter), scope];
                        pause().await;
                    }
                    Ok(Loaded { value: Some(text.into()), names, ..Loaded::default() })
                }
            }
        })
    }

    fn check<'a>(
        &'a self,
        key: &'a Key,
        validator: &'a Validator,
    ) -> BoxFuture<'a, Result<Check, LoadError>> {
        Box::pin(async move {
            pause().await;
            let leaf = key.rest().trim_start_matches("leaf/").parse().expect("only leaves have validators");
            let same = *validator.0 == self.version(leaf).to_le_bytes();
            pause().await;
            Ok(if same { Check::Unchanged } else { Check::Changed })
        })
    }
}

/// Runs a workload and returns its history.
///
/// # Panics
///
/// Panics when the engine can not be opened in a temporary directory.
pub fn run(seed: u64, size: Size) -> Vec<Operation> {
    DICE.with(|dice| *dice.borrow_mut() = Random::new(seed));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = StoreOptions::default();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(dir.path(), options).expect("a store"));
        let cache = Cache::new(store.clone(), CacheOptions::default());
        let world = Arc::new(World {
            versions: (0..LEAVES + MIDDLES).map(|_| AtomicU64::new(0)).collect(),
            clock: AtomicU64::new(1),
            history: Mutex::default(),
            in_doubt: AtomicBool::new(false),
            pauses: if seed.is_multiple_of(2) { 6 } else { 60 },
            silent: if seed.is_multiple_of(2) { 5 } else { 2 },
        });
        cache.register("w", world.clone());
        let namespace = "check".to_owned();
        let events =
            EventStream::assemble(namespace, store.clone(), cache, RuleSet::shipped(), Redactor::default());
        let mut tasks: Vec<_> = (0..LEAVES + MIDDLES)
            .map(|leaf| tokio::spawn(write(world.clone(), store.clone(), leaf, size)))
            .collect();
        tasks.extend((0..size.readers).map(|_| tokio::spawn(read(world.clone(), events.clone(), size))));
        tasks.push(tokio::spawn(doubt(world.clone(), store.clone(), size)));
        for task in tasks {
            task.await.expect("no task panics");
        }
        events.close().await;
        std::mem::take(&mut *world.history.lock())
    })
}

/// The one writer of a leaf.
async fn write(world: Arc<World>, store: Arc<dyn Store>, leaf: Leaf, size: Size) {
    for _ in 0..size.writes {
        for _ in 0..roll(world.pauses) {
            pause().await;
        }
        let doubted = world.in_doubt.load(Ordering::SeqCst);
        let begin = world.now();
        let version = world.versions[leaf].fetch_add(1, Ordering::SeqCst) + 1;
        let end = world.now();
        world.record(Operation::Write { leaf, version, begin, end });
        if doubted {
            // Nobody is told, and nobody may rely on being told.
            world.record(Operation::Announce { leaf, version, end });
            continue;
        }
        pause().await;
        if roll(world.silent) == 0 {
            continue;
        }
        let version = world.version(leaf);
        let by_tag = leaf >= LEAVES || roll(2) == 0;
        let name = if by_tag { tag_of(leaf) } else { Name::from(leaf_key(leaf)) };
        invalidate(&store, Invalidation::of(name)).await;
        world.record(Operation::Announce { leaf, version, end: world.now() });
    }
}

/// Whoever vouches for the world, and at times does not.
async fn doubt(world: Arc<World>, store: Arc<dyn Store>, size: Size) {
    let mark = |mark| Invalidation { name: Name::scope("world"), mark };
    for _ in 0..size.writes / 8 {
        for _ in 0..40 {
            pause().await;
        }
        invalidate(&store, mark(Mark::InDoubt)).await;
        world.in_doubt.store(true, Ordering::SeqCst);
        for _ in 0..20 {
            pause().await;
        }
        world.in_doubt.store(false, Ordering::SeqCst);
        invalidate(&store, mark(Mark::Vouched)).await;
    }
}

async fn invalidate(store: &Arc<dyn Store>, invalidation: Invalidation) {
    let batch = Batch::moving(vec![invalidation], "the workload");
    store.publish(batch).await.expect("invalidations need nothing");
}

async fn read(world: Arc<World>, events: EventStream, size: Size) {
    for _ in 0..size.reads {
        pause().await;
        let key = match roll(10) {
            0..4 => leaf_key(roll(LEAVES as u64) as usize),
            4..7 => middle_key(roll(MIDDLES as u64) as usize),
            _ => "w:top".parse().expect("it is a key"),
        };
        let (level, reload) = match roll(20) {
            0 => (Level::Local, false),
            1 | 2 => (Level::Verified, false),
            3 => (Level::Fresh, true),
            _ => (Level::Fresh, false),
        };
        let promise = match (level, reload) {
            (Level::Local, _) => Promise::Nothing,
            (Level::Verified, _) => Promise::Written,
            _ => Promise::Announced,
        };
        let begin = world.now();
        let options = ReadOptions { level: Some(level), reload, ..ReadOptions::default() };
        let Ok(answer) = events.get_app_context(&key).with(options).await else {
            // The sources moved during every try: said, not guessed.
            continue;
        };
        let end = world.now();
        let saw = seen(&key, answer.text());
        if level == Level::Verified || reload && key.rest().starts_with("leaf/") {
            // What such a read finds is announced to all that depend on it.
            for &(leaf, seen) in &saw {
                if let Seen::Version(version) = seen {
                    world.record(Operation::Announce { leaf, version, end });
                }
            }
        }
        world.record(Operation::Read { promise, saw, begin, end });
    }
}

/// Reads a value back: what was seen of each leaf.
fn seen(key: &Key, text: Option<&str>) -> Vec<(Leaf, Seen)> {
    let Some(text) = text else {
        let leaf = key.rest().trim_start_matches("leaf/").parse().expect("only leaves are absent");
        return vec![(leaf, Seen::Absent)];
    };
    let part = |part: &str| {
        let (leaf, version) = part.split_once('=').expect("the world wrote it");
        let seen = version.parse().map_or(Seen::Absent, Seen::Version);
        (leaf.parse().expect("the world wrote it"), seen)
    };
    text.split_terminator(';').map(part).collect()
}
