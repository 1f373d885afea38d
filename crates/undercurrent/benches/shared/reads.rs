//! Hits: one reader, many of them, and those at `bounded`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use undercurrent::cache::ReadOptions;
use undercurrent::store::embedded::{EmbeddedStore, StoreOptions};
use undercurrent::{Key, Level};
use undercurrent_servers::Server;

use crate::node::{Node, VALUE, commands, key, raw};
use crate::row;
use crate::turns::{Turns, percentile};

const READERS: usize = 256;
/// How often each of many readers reads in a round.
const EACH: usize = 40;
/// How often one reader reads in a round.
const ALONE: usize = 300;
const KEYS: usize = 1000;
const GETS: usize = 100_000;

pub(crate) async fn run(server: &Server, rounds: usize) {
    let node = Arc::new(Node::open(server, "reads").await);
    let read = Arc::new(key("some/longer/path/of/a/key"));
    node.read(&read, Level::Fresh).await;
    let mut connection = raw(server).await;
    let mut set = redis::cmd("SET");
    set.arg("raw").arg(&VALUE[..]).exec_async(&mut connection).await.expect("it is set");
    one(&node, &read, &connection, rounds).await;
    many(&node, &read, &connection, rounds).await;
    bounded(&node, rounds).await;
    node.store.close().await;
}

async fn get(connection: &mut MultiplexedConnection) {
    let value: Vec<u8> = redis::cmd("GET").arg("raw").query_async(connection).await.expect("a value");
    black_box(value);
}

/// One reader, each read after the other.
async fn one(node: &Node, key: &Key, connection: &MultiplexedConnection, rounds: usize) {
    let mut connection = connection.clone();
    let (mut halves, mut tails) = (Turns::default(), Turns::default());
    for _ in 0..rounds {
        let (mut ours, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..ALONE {
            let start = Instant::now();
            node.read(key, Level::Fresh).await;
            ours.push(start.elapsed().as_secs_f64() * 1e6);
            let start = Instant::now();
            get(&mut connection).await;
            peers.push(start.elapsed().as_secs_f64() * 1e6);
        }
        halves.add(percentile(&mut ours, 50), percentile(&mut peers, 50));
        tails.add(percentile(&mut ours, 99), percentile(&mut peers, 99));
    }
    halves.print("hit at `fresh`, one reader, p50", "µs", "GET of 1 KiB", "≤ 1.3");
    tails.print("the same, p99", "µs", "the same", "");
}

/// Many readers at once; ours and the peer's share one connection each.
async fn many(node: &Arc<Node>, key: &Arc<Key>, connection: &MultiplexedConnection, rounds: usize) {
    let (mut rates, mut per_hit) = (Turns::default(), Vec::new());
    let reads = (READERS * EACH) as f64;
    for _ in 0..rounds {
        let mut asking = connection.clone();
        let (before, _) = commands(&mut asking).await;
        let start = Instant::now();
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let (node, key) = (node.clone(), key.clone());
                tokio::spawn(async move {
                    for _ in 0..EACH {
                        node.read(&key, Level::Fresh).await;
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.await.expect("it reads");
        }
        let our = reads / start.elapsed().as_secs_f64();
        let (after, _) = commands(&mut asking).await;
        // Without the question itself.
        per_hit.push((after - before - 1) as f64 / reads);
        let start = Instant::now();
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let mut connection = connection.clone();
                tokio::spawn(async move {
                    for _ in 0..EACH {
                        get(&mut connection).await;
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.await.expect("it reads");
        }
        rates.add(our / 1000.0, reads / start.elapsed().as_secs_f64() / 1000.0);
    }
    rates.print(
        "hits at `fresh`, 256 readers on one node",
        "thousand/s",
        "GETs over one multiplexed connection",
        "≥ 4",
    );
    let [low, middle, high] = [25, 50, 75].map(|of| percentile(&mut per_hit, of));
    let work = "commands per `fresh` hit, 256 readers, those inside of transactions counted";
    row(work, &format!("{middle:.3} ({low:.3} to {high:.3})"), "", "", "< 0.1");
}

/// Hits that need no round trip, beside those of a store in this process.
async fn bounded(node: &Node, rounds: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let embedded = EmbeddedStore::open(dir.path(), StoreOptions::default()).expect("a store");
    let embedded = Node::over(Arc::new(embedded));
    let keys: Vec<Key> = (0..KEYS).map(|i| key(&format!("some/longer/path/{i}"))).collect();
    for key in &keys {
        node.read(key, Level::Fresh).await;
        embedded.read(key, Level::Fresh).await;
    }
    let mut turns = Turns::default();
    let bound = Level::Bounded(Duration::from_secs(1));
    for _ in 0..rounds {
        node.read(&keys[0], bound).await;
        // So that a processor that others have for a moment does not end the round.
        node.store.barrier().await.expect("the store is open");
        let our = hits(node, &keys, bound);
        turns.add(our, hits(&embedded, &keys, Level::Fresh));
    }
    turns.print("hit at `bounded(1 s)`, 1000 keys of 1 KiB", "ns", "embedded, at `fresh`", "≤ 1.5");
    embedded.store.close().await;
}

/// Returns the nanoseconds of a hit.
fn hits(node: &Node, keys: &[Key], level: Level) -> f64 {
    let options = ReadOptions { level: Some(level), ..ReadOptions::default() };
    let start = Instant::now();
    for i in 0..GETS {
        black_box(node.events.cache().hit(black_box(&keys[i % KEYS]), options).expect("a hit"));
    }
    start.elapsed().as_secs_f64() * 1e9 / GETS as f64
}
