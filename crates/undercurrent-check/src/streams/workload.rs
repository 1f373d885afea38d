//! Writers, readers and followers of three streams, and somebody who ends the store under them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;

use super::clients;
use super::history::Operation;
use super::plans::{Over, Plan};
use super::world::World;
use crate::dice;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How many append, and read, and follow.
    pub each: u32,
    /// Appends of each who does, and reads.
    pub steps: u64,
    /// How often the store ends.
    pub ends: u64,
}

impl Default for Size {
    fn default() -> Self {
        Self { each: 4, steps: 25, ends: 2 }
    }
}

/// Runs a workload and returns its history.
///
/// # Panics
///
/// Panics when the store can not be opened in a temporary directory, or a task panics.
pub fn run(plan: &Plan, seed: u64, size: Size) -> Vec<Operation> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    dice::seed(seed);
    let mut builder = if plan.threads {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let count = AtomicU64::new(0);
        threads.worker_threads(4).on_thread_start(move || {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            dice::seed(seed.wrapping_add(number << 32));
        });
        threads
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(all(*plan, dir.path(), seed, size))
}

async fn all(plan: Plan, dir: &Path, seed: u64, size: Size) -> Vec<Operation> {
    let world = Arc::new(World::open(plan, dir).await);
    let mut writing: Vec<JoinHandle<()>> = Vec::new();
    let mut reading: Vec<JoinHandle<()>> = Vec::new();
    world.writing.store(size.each, Ordering::SeqCst);
    for reader in 0..size.each {
        writing.push(tokio::spawn(clients::write(world.clone(), size.steps)));
        reading.push(tokio::spawn(clients::read(world.clone(), size.steps)));
        reading.push(tokio::spawn(clients::follow(world.clone(), reader)));
    }
    if seed.is_multiple_of(4) && plan.over == Over::Store {
        writing.push(tokio::spawn(clients::burst(world.clone())));
    }
    writing.push(tokio::spawn(end_and_open(world.clone(), size)));
    for task in writing {
        task.await.expect("no task panics");
    }
    world.done.send_replace(true);
    for task in reading {
        task.await.expect("no task panics");
    }
    clients::read_all(&world).await;
    world.way().door.close().await;
    world.take_history()
}

/// Ends the store a few times, when something has been done in between.
async fn end_and_open(world: Arc<World>, size: Size) {
    let between = (size.steps * u64::from(size.each)) as usize / size.ends.max(1) as usize;
    for times in 1..=size.ends {
        let until = world.records() + between / 2;
        while world.records() < until {
            // While it was away they were refused, which may have been all that they had to do.
            if world.writing.load(Ordering::SeqCst) == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
        world.end_and_open(times).await;
    }
}
