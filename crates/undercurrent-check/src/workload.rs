//! Writers, invalidators and readers on one engine, with a hostile scheduler.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::FutureExt;
use undercurrent::EventStream;
use undercurrent::ablation::{Step, set_hook, set_time, switch_off};
use undercurrent::cache::{Cache, CacheOptions, Doubt};
use undercurrent::event_stream::Redactor;
use undercurrent::loaders::ProjectionLoader;
use undercurrent::rules::RuleSet;
use undercurrent::store::Store;
use undercurrent::store::dragonfly::SharedStore;
use undercurrent_servers::applicable;

use crate::deliveries;
use crate::dice::{self, Random};
use crate::history::{Leaf, Operation, Recorder};
use crate::plans::{Over, Plan};
use crate::site::{Site, faults_of, options};
use crate::sources::Sources;
use crate::tasks;
use crate::world::{Clock, Kind, LEAVES, Node, World};

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

/// Runs a workload and returns its history.
///
/// # Panics
///
/// Panics when the engine can not be opened in a temporary directory, or a task of it panics.
pub fn run(plan: &Plan, seed: u64, size: Size) -> Vec<Operation> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    dice::seed(seed);
    let _restored = Restored;
    if plan.threads {
        let count = AtomicU64::new(0);
        let begin_thread = move || {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            dice::seed(seed.wrapping_add(number << 32));
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .on_thread_start(begin_thread)
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(all(plan, dir.path(), seed, size))
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(all(plan, dir.path(), seed, size))
    }
}

/// Switches the step of a name off for this thread; says whether there is one.
pub fn switch_off_named(name: &str) -> bool {
    let step = Step::ALL.iter().chain(&Step::SHARED).find(|step| format!("{step:?}") == name);
    switch_off(step.copied());
    step.is_some()
}

/// Gives the thread its own time and nothing to do in gaps, however the run ends.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        set_time(None);
        set_hook(None);
    }
}

async fn all(plan: &Plan, dir: &std::path::Path, seed: u64, size: Size) -> Vec<Operation> {
    match plan.over {
        Over::Process(open) => {
            // Every third seed forgets names soon.
            let store = open(dir, if seed.is_multiple_of(3) { 6 } else { 1 << 20 });
            work(plan, vec![store], seed, size, std::future::ready(())).await
        }
        Over::Server { disturbed, finding } => {
            let count = 2 + (seed % 3) as usize;
            // What there is none of was not asked.
            let Some(site) = applicable(Site::start(seed, count, disturbed, finding).await) else {
                return Vec::new();
            };
            let disturbed = disturbed && site.can_be_disturbed();
            let mut stores: Vec<Arc<dyn Store>> = Vec::new();
            for node in 0..count {
                let store = SharedStore::open(options(site.place_of(node), seed, disturbed)).await;
                stores.push(Arc::new(store.expect("a node finds its server")));
            }
            let faults = async {
                if disturbed {
                    disturb(&site, seed, count).await;
                }
            };
            work(plan, stores, seed, size, faults).await
        }
    }
}

async fn disturb(site: &Site, seed: u64, nodes: usize) {
    let mut random = Random::new(seed);
    for (pause, fault) in faults_of(seed, nodes) {
        tokio::time::sleep(pause).await;
        // What a server refuses at that moment did not go wrong: a save, while another one is under way.
        let _ = site.disturb(fault, &mut random).await;
    }
}

/// Works on stores until all has been done, while something else goes on.
async fn work(
    plan: &Plan,
    stores: Vec<Arc<dyn Store>>,
    seed: u64,
    size: Size,
    meanwhile: impl Future<Output = ()>,
) -> Vec<Operation> {
    // On threads every other seed drops entries.
    let tiny = plan.is_real() && seed.is_multiple_of(2);
    let weight = if tiny { 6 << 10 } else { CacheOptions::default().weight };
    let node = |store: Arc<dyn Store>| {
        let cache = Cache::new(store.clone(), CacheOptions { weight, ..CacheOptions::default() });
        Node { store, cache }
    };
    let nodes: Vec<_> = stores.into_iter().map(node).collect();
    let clock = match plan.over {
        Over::Server { .. } => Clock::Wall(Duration::from_millis(20)),
        Over::Process(_) if plan.threads => Clock::Wall(Duration::from_micros(500)),
        Over::Process(_) => Clock::Ticks(AtomicU64::new(1)),
    };
    let disturbed = matches!(plan.over, Over::Server { disturbed: true, .. });
    let sources = (Sources::in_memory(LEAVES.len()), Recorder::default());
    let world = Arc::new(World::new(clock, sources, nodes, seed, tiny, disturbed));
    let events: Vec<_> = world.nodes.iter().map(|node| assemble(&world, node)).collect();
    if matches!(plan.over, Over::Server { .. }) {
        tasks::vouch(&world).await;
    }
    if plan.events {
        tasks::say_next(&world, &events[0]).await;
    }
    if !plan.is_real() {
        let world = world.clone();
        set_hook(Some(Box::new(move |gap| tasks::work_in_gap(&world, gap))));
    }
    let all = async {
        let (mut working, watching) = tasks_of(plan, &world, &events, size);
        for task in working.drain(..) {
            task.await.expect("no task panics");
        }
        watching
    };
    let watching = tokio::select! {
        watching = all => watching,
        () = meanwhile.then(|()| std::future::pending()) => unreachable!("nothing follows"),
    };
    for mut task in watching {
        // What has not been seen by now was seen by somebody else, or dropped on its way.
        if tokio::time::timeout(Duration::from_millis(200), &mut task).await.is_err() {
            task.abort();
        }
    }
    set_hook(None);
    for node in events {
        node.close().await;
    }
    world.take_history()
}

/// Puts the engine of a node together, over the sources that all nodes share.
fn assemble(world: &Arc<World>, Node { store, cache }: &Node) -> EventStream {
    cache.register("w", world.clone());
    cache.register_barrier(world.clone());
    cache.register("state", Arc::new(ProjectionLoader::new(store.clone())));
    let (rules, redactor) = (RuleSet::shipped(), Redactor::default());
    EventStream::assemble("check".to_owned(), store.clone(), cache.clone(), rules, redactor)
}

type Tasks = Vec<tokio::task::JoinHandle<()>>;

/// Begins all tasks: those that work, and those that watch.
fn tasks_of(plan: &Plan, world: &Arc<World>, events: &[EventStream], size: Size) -> (Tasks, Tasks) {
    let (mut all, mut watching) = (Vec::new(), Vec::new());
    let mut begin = |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| all.push(tokio::spawn(task));
    for leaf in (0..LEAVES.len() as Leaf).filter(|leaf| LEAVES[*leaf as usize] != Kind::State) {
        begin(Box::pin(tasks::write(world.clone(), leaf, size)));
    }
    begin(Box::pin(tasks::doubt(world.clone(), size)));
    if plan.events {
        for node in &world.nodes {
            watching.push(tokio::spawn(tasks::observe(world.clone(), node.store.observe(), size)));
        }
        begin(Box::pin(tasks::say(world.clone(), events.to_vec(), size)));
    }
    for _ in 0..size.readers {
        begin(Box::pin(tasks::read(world.clone(), plan.events, size)));
    }
    (all, watching)
}

/// One process of several that work on the same sources over one server.
#[derive(Clone, Debug)]
pub struct Process {
    /// What decides how it works, the same for all of them.
    pub seed: u64,
    /// Its place among them.
    pub node: usize,
    /// How many there are.
    pub nodes: usize,
    /// Where the server is, and what all keys there begin with.
    pub place: (String, String),
    /// The folder with what they share.
    pub dir: std::path::PathBuf,
    /// Whether the server and the ways to it are disturbed.
    pub disturbed: bool,
}

impl Process {
    /// Works until it is killed. Its dice begin elsewhere each time that it is started.
    ///
    /// # Panics
    ///
    /// Panics when the files that they share can not be opened.
    pub async fn work(self) {
        let Self { seed, node, nodes, place, dir, disturbed } = self;
        dice::take_time();
        let store = loop {
            match SharedStore::open(options(place.clone(), seed, disturbed)).await {
                Ok(store) => break Arc::new(store) as Arc<dyn Store>,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let tiny = seed.is_multiple_of(2);
        let weight = if tiny { 6 << 10 } else { CacheOptions::default().weight };
        // Some seeds drop loads that take long.
        let load_time = if seed % 5 == 1 { Duration::from_millis(40) } else { Duration::from_secs(10) };
        let doubt = if seed % 7 == 3 { Doubt::Refuse } else { Doubt::Load };
        let cache = Cache::new(store.clone(), CacheOptions { weight, load_time, doubt });
        let one = deliveries::Member::open(store.clone(), &dir, node).expect("the folder is there");
        let telling = [tokio::spawn(one.clone().say()), tokio::spawn(one.follow())];
        let sources = Sources::in_file(&dir.join("sources")).expect("the folder is there");
        let recorder = Recorder::in_file(&dir.join(format!("history-{node}"))).expect("the folder is there");
        let clock = Clock::Wall(Duration::from_millis(40));
        let one = vec![Node { store, cache }];
        let world = Arc::new(World::new(clock, (sources, recorder), one, seed, tiny, true));
        let _engine = assemble(&world, &world.nodes[0]);
        let size = Size { writes: u64::MAX, reads: u64::MAX, readers: 8 };
        let mut all = Vec::from(telling);
        for leaf in (0..LEAVES.len() as Leaf).filter(|leaf| *leaf as usize % nodes == node) {
            if LEAVES[leaf as usize] != Kind::State {
                all.push(tokio::spawn(tasks::take_over(world.clone(), leaf, size)));
            }
        }
        if node == 0 {
            tasks::vouch(&world).await;
            all.push(tokio::spawn(tasks::doubt(world.clone(), size)));
        }
        for _ in 0..size.readers {
            all.push(tokio::spawn(tasks::read(world.clone(), false, size)));
        }
        for task in all {
            task.await.expect("no task panics");
        }
    }
}
