//! Writers, invalidators and readers on one engine, with a hostile scheduler.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use undercurrent::EventStream;
use undercurrent::ablation::{set_hook, set_time};
use undercurrent::cache::{Cache, CacheOptions};
use undercurrent::event_stream::Redactor;
use undercurrent::loaders::ProjectionLoader;
use undercurrent::rules::RuleSet;

use crate::dice;
use crate::history::{Leaf, Operation};
use crate::plans::Plan;
use crate::tasks;
use crate::world::{Clock, Kind, LEAVES, World};

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

/// Gives the thread its own time and nothing to do in gaps, however the run ends.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        set_time(None);
        set_hook(None);
    }
}

async fn all(plan: &Plan, dir: &std::path::Path, seed: u64, size: Size) -> Vec<Operation> {
    // Every third seed forgets names soon, and on threads every other drops entries.
    let store = (plan.open)(dir, if seed.is_multiple_of(3) { 6 } else { 1 << 20 });
    let tiny = plan.threads && seed.is_multiple_of(2);
    let weight = if tiny { 6 << 10 } else { CacheOptions::default().weight };
    let cache = Cache::new(store.clone(), CacheOptions { weight, ..CacheOptions::default() });
    let clock = if plan.threads { Clock::Wall(Instant::now()) } else { Clock::Ticks(AtomicU64::new(1)) };
    let world = Arc::new(World::new(clock, store.clone(), cache.clone(), seed, tiny));
    cache.register("w", world.clone());
    cache.register_barrier(world.clone());
    cache.register("state", Arc::new(ProjectionLoader::new(store.clone())));
    let (rules, redactor) = (RuleSet::shipped(), Redactor::default());
    let events = EventStream::assemble("check".to_owned(), store.clone(), cache, rules, redactor);
    if plan.events {
        tasks::say_next(&world, &events).await;
    }
    if !plan.threads {
        let world = world.clone();
        set_hook(Some(Box::new(move |gap| tasks::work_in_gap(&world, gap))));
    }
    let mut tasks = tasks_of(plan, &world, &events, size);
    for task in tasks.drain(..) {
        task.await.expect("no task panics");
    }
    set_hook(None);
    events.close().await;
    world.take_history()
}

fn tasks_of(
    plan: &Plan,
    world: &Arc<World>,
    events: &EventStream,
    size: Size,
) -> Vec<tokio::task::JoinHandle<()>> {
    let mut all = Vec::new();
    let mut begin = |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| all.push(tokio::spawn(task));
    for leaf in (0..LEAVES.len() as Leaf).filter(|leaf| LEAVES[*leaf as usize] != Kind::State) {
        begin(Box::pin(tasks::write(world.clone(), leaf, size)));
    }
    begin(Box::pin(tasks::doubt(world.clone(), size)));
    if plan.events {
        begin(Box::pin(tasks::observe(world.clone(), world.store.observe(), size)));
        begin(Box::pin(tasks::say(world.clone(), events.clone(), size)));
    }
    for _ in 0..size.readers {
        begin(Box::pin(tasks::read(world.clone(), plan.events, size)));
    }
    all
}
