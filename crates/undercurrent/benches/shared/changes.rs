//! A change: how long until every node knows, and how long who publishes it waits.

use std::time::Instant;

use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc;
use undercurrent::store::Invalidation;
use undercurrent::{Key, Level, Name};
use undercurrent_servers::Server;

use crate::node::{Node, key, message, raw};
use crate::turns::{Turns, percentile};

const NODES: usize = 8;
const CHANGES: usize = 100;

pub(crate) async fn run(server: &Server, rounds: usize) {
    let publisher = Node::open(server, "changes").await;
    let mut following = Vec::new();
    for _ in 0..NODES {
        following.push(Node::open(server, "changes").await);
    }
    // As long as somebody holds these, the nodes follow.
    let _listening: Vec<_> = following.iter().map(|node| node.store.watch_visible()).collect();
    let mut raws = Raw::open(server).await;
    let changed = key("some/longer/path/of/a/key");
    let mut reached = [Turns::default(), Turns::default()];
    let mut called = [Turns::default(), Turns::default()];
    for round in 0..rounds + 1 {
        let (mut ours, mut peers) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for _ in 0..CHANGES {
            let [reached, called] = change(&publisher, &following, &changed, &mut raws).await;
            ours[0].push(reached);
            ours[1].push(called);
            let [reached, called] = raws.wake().await;
            peers[0].push(reached);
            peers[1].push(called);
        }
        // The first round is the one in which the nodes begin to follow.
        if round > 0 {
            for (turns, i) in [(&mut reached, 0), (&mut called, 1)] {
                for (turns, of) in turns.iter_mut().zip([50, 99]) {
                    turns.add(percentile(&mut ours[i], of), percentile(&mut peers[i], of));
                }
            }
        }
    }
    let waking = "XADD that wakes 8 clients in XREAD";
    for (turns, of) in reached.into_iter().zip(["p50", "p99"]) {
        let work = format!("publish → stale in the memory of 8 following nodes, {of}");
        turns.print(&work, "µs", waking, "≤ 2");
    }
    for (turns, of) in called.into_iter().zip(["p50", "p99"]) {
        turns.print(&format!("the publishing call itself, {of}"), "µs", "that XADD", "≤ 2");
    }
    for node in following.iter().chain([&publisher]) {
        node.store.close().await;
    }
}

/// Publishes an event with an invalidation; returns the microseconds until the last node knows, and those of the call.
///
/// What memory holds is served at `local` at any age. So what counts is when the node would no longer serve it at any
/// level that promises something.
async fn change(publisher: &Node, following: &[Node], key: &Key, raws: &mut Raw) -> [f64; 2] {
    let (seen_tx, mut seen_rx) = mpsc::channel(NODES);
    for node in following {
        node.read(key, Level::Fresh).await;
        let (cache, entry) =
            (node.events.cache().clone(), node.events.cache().peek(key).expect("it was read"));
        let (mut visible_rx, seen_tx) = (node.store.watch_visible(), seen_tx.clone());
        assert!(cache.is_valid(&entry), "it was read at `fresh`");
        visible_rx.mark_unchanged();
        tokio::spawn(async move {
            while cache.is_valid(&entry) {
                visible_rx.changed().await.expect("the store is open");
            }
            seen_tx.send(Instant::now()).await.expect("somebody waits");
        });
    }
    raws.until_blocked(NODES).await;
    let (event, names) = (message("changes"), vec![Invalidation::of(Name::from(key))]);
    let start = Instant::now();
    publisher.events.publish_with(vec![event], names, "").await.expect("an acknowledgement");
    let called = start.elapsed();
    let mut last = start;
    for _ in following {
        last = last.max(seen_rx.recv().await.expect("it is told"));
    }
    [(last - start).as_secs_f64() * 1e6, called.as_secs_f64() * 1e6]
}

/// Raw clients of one stream.
struct Raw {
    writer: MultiplexedConnection,
    readers: Vec<MultiplexedConnection>,
    last: String,
    /// Where it is asked how many clients wait.
    asking: MultiplexedConnection,
}

impl Raw {
    async fn open(server: &Server) -> Self {
        let mut readers = Vec::new();
        for _ in 0..NODES {
            readers.push(raw(server).await);
        }
        Self { writer: raw(server).await, readers, last: "0-0".to_owned(), asking: raw(server).await }
    }

    /// Returns the microseconds until the last client has the entry, and those of the XADD.
    async fn wake(&mut self) -> [f64; 2] {
        let (seen_tx, mut seen_rx) = mpsc::channel(NODES);
        for reader in &self.readers {
            let (mut reader, last, seen_tx) = (reader.clone(), self.last.clone(), seen_tx.clone());
            tokio::spawn(async move {
                let mut command = redis::cmd("XREAD");
                command.arg("COUNT").arg(128).arg("BLOCK").arg(0).arg("STREAMS").arg("raw:stream").arg(last);
                let read: Value = command.query_async(&mut reader).await.expect("entries");
                assert!(matches!(read, Value::Array(_)), "entries");
                seen_tx.send(Instant::now()).await.expect("somebody waits");
            });
        }
        self.until_blocked(2 * NODES).await;
        let data = "x".repeat(256);
        let start = Instant::now();
        let mut command = redis::cmd("XADD");
        command.arg("raw:stream").arg("*").arg("event").arg(data);
        self.last = command.query_async(&mut self.writer).await.expect("it is added");
        let called = start.elapsed();
        let mut last = start;
        for _ in 0..NODES {
            last = last.max(seen_rx.recv().await.expect("it is told"));
        }
        [(last - start).as_secs_f64() * 1e6, called.as_secs_f64() * 1e6]
    }

    /// Waits until so many clients wait in XREAD, the nodes that follow among them.
    async fn until_blocked(&mut self, clients: usize) {
        while self.blocked().await < clients {
            tokio::task::yield_now().await;
        }
    }

    async fn blocked(&mut self) -> usize {
        let told: String =
            redis::cmd("INFO").arg("clients").query_async(&mut self.asking).await.expect("statistics");
        let line = told.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
        line.and_then(|count| count.trim().parse().ok()).expect("it tells")
    }
}
