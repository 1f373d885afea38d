//! The sources, what loads from them, and what was seen of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use rustix::time::{ClockId, clock_gettime};
use undercurrent::ablation::set_time;
use undercurrent::cache::{
    Barrier, BarrierError, Cache, Check, Inputs, LoadError, Loaded, Loader, Validator,
};
use undercurrent::store::{Batch, Invalidation, Store};
use undercurrent::{Key, Level, Name, Token};

use crate::dice::{one_in, pause, roll};
use crate::history::{Leaf, Operation, Recorder, Seen, Time, is_absent};
use crate::sources::Sources;

/// What changes of a leaf are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A key of its own, invalidated by its key or a tag.
    Plain,
    /// What a derived key reads beside its inputs; invalidated by a tag.
    Parameter,
    /// A key whose changes nobody tells of: it may be served for [`World::ttl`].
    Timed,
    /// A key that is put.
    Put,
    /// A key whose source is the log.
    State,
}

/// The kind of each leaf. Every other one that is loaded can be asked cheaply.
pub(crate) const LEAVES: [Kind; 11] = [
    Kind::Plain,
    Kind::Plain,
    Kind::Plain,
    Kind::Plain,
    Kind::Parameter,
    Kind::Parameter,
    Kind::Parameter,
    Kind::Timed,
    Kind::Timed,
    Kind::Put,
    Kind::State,
];

/// The first parameter: that of the first middle.
const PARAMETERS: Leaf = 4;

/// The derived keys with their inputs: diamonds and depth. The top reads leaves that its middles read too, and one of
/// them twice: the second time last, when no other input can tell.
const DERIVED: [(&str, &[&str]); 8] = [
    ("w:middle/0", &["w:leaf/0", "w:leaf/1"]),
    ("w:middle/1", &["w:leaf/1", "w:leaf/2"]),
    ("w:middle/2", &["w:middle/0", "w:leaf/3"]),
    ("w:top", &["w:middle/0", "w:leaf/1", "w:middle/1", "w:middle/2", "w:leaf/1"]),
    ("w:aged", &["w:timed/7", "w:leaf/0"]),
    ("w:older", &["w:aged", "w:timed/8"]),
    ("w:given", &["p:put/9", "w:leaf/3"]),
    ("w:said", &["state:task/10", "w:leaf/2"]),
];

/// How many of them need no event.
pub(crate) const WITHOUT_EVENTS: usize = 7;

/// Returns a derived key by its place, or the key of a leaf.
pub(crate) fn derived_key(place: usize) -> Key {
    DERIVED[place].0.parse().expect("it is a key")
}

/// Returns the key of a leaf that has one.
pub(crate) fn leaf_key(leaf: Leaf) -> Key {
    let text = match LEAVES[leaf as usize] {
        Kind::Plain | Kind::Parameter => format!("w:leaf/{leaf}"),
        Kind::Timed => format!("w:timed/{leaf}"),
        Kind::Put => format!("p:put/{leaf}"),
        Kind::State => format!("state:task/{leaf}"),
    };
    text.parse().expect("it is a key")
}

/// Returns the leaf of a key that is one.
pub(crate) fn leaf_of(key: &Key) -> Leaf {
    let number = key.rest().rsplit('/').next().unwrap_or_default();
    number.parse().expect("the keys of leaves end with their number")
}

fn is_derived(key: &Key) -> bool {
    DERIVED.iter().any(|(text, _)| *text == key.as_str())
}

/// Writes what a value says of a leaf.
pub(crate) fn text_of(leaf: Leaf, version: u64) -> String {
    if is_absent(version) { format!("{leaf}=-;") } else { format!("{leaf}={version};") }
}

/// Reads a value back: what was seen of each leaf.
pub(crate) fn seen(key: &Key, text: Option<&str>) -> Vec<(Leaf, Seen)> {
    let Some(text) = text else {
        return vec![(leaf_of(key), Seen::Absent)];
    };
    let part = |part: &str| {
        let (leaf, version) = part.split_once('=').expect("the world wrote it");
        let seen = version.parse().map_or(Seen::Absent, Seen::Version);
        (leaf.parse().expect("the world wrote it"), seen)
    };
    text.replace('"', "").split_terminator(';').map(part).collect()
}

/// The keys that the readers of a seed mostly read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Focus {
    /// No keys in particular.
    Any,
    /// Leaves, often at `verified`.
    Leaves,
    /// One derived key and its inputs.
    Middle,
    /// The key that is put.
    Put,
    /// What has a time to live, and what is made from it.
    Timed,
    /// Diamonds and depth.
    Top,
}

impl Focus {
    const ALL: [Self; 6] = [Self::Any, Self::Leaves, Self::Middle, Self::Put, Self::Timed, Self::Top];
}

/// How the time of a history goes.
pub(crate) enum Clock {
    /// By one for each begin and end, and the engine's time with it, a millisecond each.
    Ticks(AtomicU64),
    /// As the machine's, in nanoseconds: the same in all of its processes. With for how long values of timed leaves may be
    /// served.
    Wall(Duration),
}

/// One way into the engine.
pub(crate) struct Node {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Cache,
}

/// The sources, and what was seen of them.
pub(crate) struct World {
    pub(crate) clock: Clock,
    /// Who works picks one of them for each operation.
    pub(crate) nodes: Vec<Node>,
    sources: Sources,
    /// What is announced already of each leaf: what a barrier need not tell.
    told: Vec<AtomicU64>,
    /// For how many pauses somebody vouches for the world, before nobody does.
    pub(crate) calm: u64,
    /// Whether the store may be away, so that a change can go untold.
    disturbed: bool,
    recorder: Recorder,
    /// Whether nobody vouches for the world: writers tell nobody then. Held while a source is written, so that no write
    /// that nobody is told of ends after the world is vouched for again.
    pub(crate) in_doubt: RwLock<bool>,
    /// The last token that a writer got, and the moment before which everything announced is below it.
    pub(crate) token: Mutex<Option<(Token, Time)>>,
    /// How long writers pause at most, and one write of how many they tell nobody of: every other seed has writers that
    /// are slow and often silent, so that what is found by asking has time to be missed.
    pub(crate) pauses: u64,
    pub(crate) silent: u64,
    /// Whether entries are dropped now and then: what is found over nothing is announced to nobody.
    pub(crate) tiny: bool,
    pub(crate) focus: Focus,
    /// Whether loads fail now and then.
    pub(crate) failing: bool,
}

impl World {
    pub(crate) fn new(
        clock: Clock,
        (sources, recorder): (Sources, Recorder),
        nodes: Vec<Node>,
        seed: u64,
        tiny: bool,
        disturbed: bool,
    ) -> Self {
        let slow = !seed.is_multiple_of(2);
        Self {
            clock,
            nodes,
            sources,
            told: LEAVES.iter().map(|_| AtomicU64::new(0)).collect(),
            // Where everything takes time, what is kept has to be kept for a while to be read.
            calm: if recorder.outlives() { 1000 } else { 40 },
            disturbed,
            recorder,
            in_doubt: RwLock::new(false),
            token: Mutex::new(None),
            pauses: if slow { 60 } else { 6 },
            silent: if slow { 2 } else { 5 },
            tiny,
            focus: Focus::ALL[(seed / 2 % 6) as usize],
            failing: seed % 4 == 3,
        }
    }

    /// How much longer than others the writers of a kind pause: where readers care for what lasts for a time, nothing else
    /// is told for as long, so that a load may be joined that takes longer than its value lasts.
    pub(crate) fn slowness(&self, kind: Kind) -> u64 {
        let on_one_thread = matches!(self.clock, Clock::Ticks(_));
        if on_one_thread && self.focus == Focus::Timed && kind != Kind::Timed { 40 } else { 1 }
    }

    /// Takes the next moment.
    pub(crate) fn now(&self) -> Time {
        match &self.clock {
            Clock::Ticks(ticks) => {
                let now = ticks.fetch_add(1, Ordering::SeqCst);
                set_time(Some(Duration::from_millis(now + 1)));
                now
            }
            Clock::Wall(_) => {
                let now = clock_gettime(ClockId::Monotonic);
                now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
            }
        }
    }

    /// Returns a time span as the history counts it.
    pub(crate) fn span(&self, time: Duration) -> Time {
        match self.clock {
            Clock::Ticks(_) => time.as_millis() as u64,
            Clock::Wall(_) => time.as_nanos() as u64,
        }
    }

    /// Returns for how long values of timed leaves may be served.
    pub(crate) fn ttl(&self) -> Duration {
        match self.clock {
            Clock::Ticks(_) => Duration::from_millis(60),
            Clock::Wall(ttl) => ttl,
        }
    }

    pub(crate) fn version(&self, leaf: Leaf) -> u64 {
        self.sources.version(leaf)
    }

    /// Takes a leaf to its next version.
    pub(crate) fn write(&self, leaf: Leaf) -> u64 {
        let begin = self.now();
        if self.recorder.outlives() {
            // Whoever is killed on the way may have written it.
            let version = self.version(leaf) + 1;
            self.record(Operation::Write { leaf, version, begin, end: Time::MAX });
        }
        let version = self.sources.write(leaf);
        let end = self.now();
        self.record(Operation::Write { leaf, version, begin, end });
        if LEAVES[leaf as usize] == Kind::Timed {
            // Whoever may serve a value for that long has had that long.
            self.record(Operation::Announce { leaf, version, end: end + self.span(self.ttl()) });
        }
        version
    }

    /// Takes a version for a write that ends elsewhere.
    pub(crate) fn begin_write(&self, leaf: Leaf) -> u64 {
        self.sources.write(leaf)
    }

    pub(crate) fn record(&self, operation: Operation) {
        self.recorder.record(operation);
    }

    /// Records that reads from now on must see a version.
    pub(crate) fn announced(&self, leaf: Leaf, version: u64) -> Time {
        self.told[leaf as usize].fetch_max(version, Ordering::SeqCst);
        let end = self.now();
        self.record(Operation::Announce { leaf, version, end });
        end
    }

    pub(crate) fn take_history(&self) -> Vec<Operation> {
        self.recorder.take()
    }

    /// The name by which a leaf is announced that never changes.
    pub(crate) fn steady_name(&self, leaf: Leaf) -> Name {
        match LEAVES[leaf as usize] {
            Kind::Parameter => tag(&format!("parameter/{leaf}")),
            _ => Name::from(leaf_key(leaf)),
        }
    }

    /// One of the names by which a leaf can be announced.
    pub(crate) fn any_name(&self, leaf: Leaf) -> Name {
        match roll(4) {
            0 => self.steady_name(leaf),
            1 => group(leaf),
            _ => self.place_name(leaf),
        }
    }

    fn place_name(&self, leaf: Leaf) -> Name {
        let place = self.sources.place(leaf);
        tag(&format!("place/{leaf}/{place}"))
    }

    /// Moves a leaf to another place, and returns the name of the one it leaves. By its writer alone.
    pub(crate) fn leave_place(&self, leaf: Leaf) -> Name {
        let left = self.place_name(leaf);
        self.sources.leave(leaf);
        left
    }

    /// All names that a leaf has now.
    fn names(&self, leaf: Leaf) -> Vec<Name> {
        match LEAVES[leaf as usize] {
            Kind::Timed => Vec::new(),
            _ => vec![self.steady_name(leaf), self.place_name(leaf), group(leaf), Name::scope("world")],
        }
    }

    /// One of the nodes.
    pub(crate) fn node(&self) -> &Node {
        match self.nodes.len() {
            1 => &self.nodes[0],
            count => &self.nodes[roll(count as u64) as usize],
        }
    }

    /// Puts an invalidation in force, unless the store is away.
    pub(crate) async fn invalidate(&self, invalidation: Invalidation) -> Option<Token> {
        self.invalidate_at(self.node(), invalidation).await
    }

    /// Puts an invalidation in force through a node.
    pub(crate) async fn invalidate_at(&self, node: &Node, invalidation: Invalidation) -> Option<Token> {
        let batch = Batch::moving(vec![invalidation], "the workload");
        match node.store.publish(batch).await {
            Ok(published) => Some(published.token),
            Err(_) if self.disturbed => None,
            Err(error) => panic!("invalidations need nothing: {error}"),
        }
    }

    /// Takes long now and then, so that it may be dropped on the way, or panics.
    async fn misbehave(&self) {
        if one_in(40) {
            tokio::time::sleep(Duration::from_millis(roll(80))).await;
        }
        if self.failing && one_in(100) {
            std::panic::panic_any("a loader panics");
        }
    }

    async fn load_leaf(&self, leaf: Leaf) -> Loaded {
        let names = self.names(leaf);
        let version = self.version(leaf);
        // Some answers take longer to come than they are good for.
        let is_slow = LEAVES[leaf as usize] == Kind::Timed && one_in(4);
        for _ in 0..if is_slow { 120 } else { 1 } {
            pause().await;
        }
        let value = (!is_absent(version)).then(|| Bytes::from(text_of(leaf, version)));
        // Every other leaf can be asked cheaply.
        let validator = leaf.is_multiple_of(2).then(|| Validator(version.to_le_bytes().into()));
        let max_age = (LEAVES[leaf as usize] == Kind::Timed).then(|| self.ttl());
        Loaded { value, validator, names, max_age }
    }

    async fn load_derived(&self, key: &Key, inputs: &Inputs) -> Result<Loaded, LoadError> {
        let mut text = String::new();
        let read =
            DERIVED.iter().find(|(text, _)| *text == key.as_str()).map_or(&[][..], |(_, inputs)| inputs);
        for input in read {
            let input: Key = input.parse().expect("it is a key");
            match inputs.get(&input).await? {
                Some(value) => text.push_str(std::str::from_utf8(&value).expect("it is text")),
                None => text.push_str(&format!("{}=-;", leaf_of(&input))),
            }
            pause().await;
        }
        let mut names = Vec::new();
        if let Some(parameter) = parameter_of(key) {
            names = self.names(parameter);
            text.push_str(&text_of(parameter, self.version(parameter)));
            pause().await;
        }
        Ok(Loaded { value: Some(text.into()), names, ..Loaded::default() })
    }
}

fn tag(text: &str) -> Name {
    Name::tag(text).expect("it is a tag")
}

/// The tag that a leaf shares with others.
fn group(leaf: Leaf) -> Name {
    tag(&format!("group/{}", leaf % 2))
}

fn parameter_of(key: &Key) -> Option<Leaf> {
    key.rest().starts_with("middle/").then(|| PARAMETERS + leaf_of(key))
}

impl Loader for World {
    fn name(&self) -> &'static str {
        "world"
    }

    fn default_level(&self) -> Level {
        Level::Fresh
    }

    fn offers(&self, key: &Key, level: Level) -> Result<(), String> {
        // A barrier tells of what has the scope of the world.
        let is_timed = key.rest().starts_with("timed/");
        if level == Level::Synced && is_timed {
            Err("nobody tells of its changes".to_owned())
        } else {
            Ok(())
        }
    }

    fn load<'a>(&'a self, key: &'a Key, inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        Box::pin(async move {
            pause().await;
            if self.disturbed {
                self.misbehave().await;
            }
            if self.failing && one_in(20) {
                return Err(LoadError::Unavailable { key: key.clone(), reason: "it is away".to_owned() });
            }
            if is_derived(key) {
                return self.load_derived(key, inputs).await;
            }
            Ok(self.load_leaf(leaf_of(key)).await)
        })
    }

    fn check<'a>(
        &'a self,
        key: &'a Key,
        validator: &'a Validator,
    ) -> BoxFuture<'a, Result<Check, LoadError>> {
        Box::pin(async move {
            pause().await;
            let same = *validator.0 == self.version(leaf_of(key)).to_le_bytes();
            pause().await;
            Ok(if same { Check::Unchanged } else { Check::Changed })
        })
    }

    fn names_now(&self, key: &Key) -> Result<Option<Vec<Name>>, LoadError> {
        if is_derived(key) {
            return Ok(parameter_of(key).map(|parameter| self.names(parameter)));
        }
        Ok(Some(self.names(leaf_of(key))))
    }
}

/// Tells of everything that nobody has been told of yet.
impl Barrier for World {
    fn scope(&self) -> Name {
        Name::scope("world")
    }

    fn barrier(&self) -> BoxFuture<'_, Result<(), BarrierError>> {
        Box::pin(async move {
            pause().await;
            for leaf in 0..LEAVES.len() as Leaf {
                let version = self.version(leaf);
                let is_loaded = !matches!(LEAVES[leaf as usize], Kind::Put | Kind::State);
                if is_loaded && version > self.told[leaf as usize].load(Ordering::SeqCst) {
                    let told = self.invalidate(Invalidation::of(self.steady_name(leaf))).await;
                    let Some(_) = told else {
                        let (scope, reason) = (self.scope(), "the store is away".to_owned());
                        return Err(BarrierError { scope, reason });
                    };
                    self.announced(leaf, version);
                }
            }
            Ok(())
        })
    }
}
