//! The steps of a store that several nodes share: with each of them a promise is kept, without it it is broken.
//!
//! Each scenario is a place in which only that step stands between a reader and the old value. A random search over real
//! servers takes minutes to get there.

#![expect(clippy::unwrap_used, reason = "what can not go on fails the test, in its helpers too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use undercurrent::ablation::{Step, switch_off};
use undercurrent::cache::{Cache, CacheOptions, Inputs, LoadError, Loaded, Loader, ReadOptions};
use undercurrent::store::dragonfly::{SharedStore, SharedStoreOptions};
use undercurrent::store::{Batch, Invalidation, Mark, NewEvent, RowCheck, RowWrite, Store};
use undercurrent::types::{Durability, Event};
use undercurrent::{Key, Name, StreamName};
use undercurrent_check::judge::judge;
use undercurrent_check::plans::{Over, SHARED};
use undercurrent_check::site::Finding;
use undercurrent_check::workload::{Size, run};
use undercurrent_servers::{Direction, Flavour, Point, Proxy, Replicated, Server, Setup, applicable};

/// How long a node is believed that says nothing.
const VOUCH: Duration = Duration::from_millis(300);

/// One key and its source.
#[derive(Default)]
struct Source {
    version: AtomicU64,
    loads: AtomicU64,
    /// Whether somebody has to vouch for what is loaded.
    watched: bool,
}

impl Loader for Source {
    fn name(&self) -> &'static str {
        "source"
    }

    fn load<'a>(&'a self, _key: &'a Key, _inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        Box::pin(async {
            let names = if self.watched { vec![scope()] } else { Vec::new() };
            self.loads.fetch_add(1, Ordering::SeqCst);
            let value = Bytes::from(self.version.load(Ordering::SeqCst).to_string());
            Ok(Loaded { value: Some(value), names, ..Loaded::default() })
        })
    }
}

fn scope() -> Name {
    Name::scope("world")
}

fn key() -> Key {
    "w:a".parse().unwrap()
}

fn other() -> Name {
    Name::from("w:other".parse::<Key>().unwrap())
}

/// A node over a server, by way of a port.
struct Node {
    store: Arc<SharedStore>,
    cache: Cache,
    source: Arc<Source>,
}

impl Node {
    async fn open(server: &Server, port: u16, source: &Arc<Source>) -> Self {
        let mut options = SharedStoreOptions::new(server.url_at(port).parse().unwrap());
        options.vouch = VOUCH;
        let store = Arc::new(SharedStore::open(options).await.unwrap());
        let cache = Cache::new(store.clone(), CacheOptions::default());
        cache.register("w", source.clone());
        Self { store, cache, source: source.clone() }
    }

    async fn read(&self) -> u64 {
        let answer = self.cache.get(&key(), ReadOptions::default()).await.unwrap();
        answer.text().unwrap().parse().unwrap()
    }

    /// Says whether a read returns what the source is at.
    async fn is_right(&self) -> bool {
        self.read().await == self.source.version.load(Ordering::SeqCst)
    }

    async fn move_name(&self, name: Name) {
        self.store.publish(Batch::moving(vec![Invalidation::of(name)], "a change")).await.unwrap();
    }

    /// Changes the source, and tells.
    async fn change(&self) {
        self.source.version.fetch_add(1, Ordering::SeqCst);
        self.move_name(Name::from(key())).await;
    }

    /// Says whether a value is kept soon: a read that follows another loads nothing.
    async fn keeps(&self) -> bool {
        for _ in 0..20 {
            self.read().await;
            let before = self.source.loads.load(Ordering::SeqCst);
            self.read().await;
            if self.source.loads.load(Ordering::SeqCst) == before {
                return true;
            }
        }
        false
    }
}

/// The steps that have a scenario here.
const HERE: [Step; 11] = [
    Step::WriteProof,
    Step::IncarnationCompared,
    Step::LastRepeatsIncarnation,
    Step::LapseTakesPosition,
    Step::ClaimBeginsAnew,
    Step::NoncesCompared,
    Step::IdBehindEvent,
    Step::AppliedInOrder,
    Step::ConnectionClaimed,
    Step::RulesHeld,
    Step::LateAnswerDropped,
];

#[test]
fn no_promise_is_broken_between_nodes_that_share_a_server() {
    for plan in &SHARED {
        // Promoting a replica by way of others takes seconds.
        let found = !matches!(plan.over, Over::Server { finding: Finding::Address, .. });
        for seed in 1..if found { 2 } else { 3 } {
            let violations = judge(&run(plan, seed, Size::default()));
            assert!(violations.is_empty(), "seed {seed} of `{}`: {:?}", plan.name, violations[0]);
        }
    }
}

#[test]
fn every_step_has_its_scenario() {
    assert_eq!(HERE, Step::SHARED);
}

async fn start() -> Option<Server> {
    applicable(Server::start(Setup::standalone()).await)
}

/// With the step the scenario keeps its promise, without it it does not.
async fn is_needed(step: Step, scenario: impl AsyncFn() -> Option<bool>) {
    let Some(kept) = scenario().await else { return };
    assert!(kept, "{step:?} is in place, and the promise is broken");
    switch_off(Some(step));
    let kept = scenario().await;
    switch_off(None);
    assert_eq!(kept, Some(false), "nothing was noticed without {step:?}");
}

/// Makes the replica the primary. The old one follows nobody, and still answers.
async fn promote(group: &Replicated) {
    group.primary.replicate(1).await.unwrap();
    group.replicas[0].promote().await.unwrap();
}

#[tokio::test]
async fn an_old_primary_that_still_answers_is_noticed_by_a_write() {
    is_needed(Step::WriteProof, async || {
        let group = applicable(Replicated::start(Setup::standalone(), 1).await)?;
        let way = Proxy::start(group.primary.port()).await.unwrap();
        let source = Arc::new(Source::default());
        let here = Node::open(&group.primary, group.primary.port(), &source).await;
        let there = Node::open(&group.primary, way.port(), &source).await;
        here.read().await;
        promote(&group).await;
        way.direct(group.replicas[0].port());
        way.cut();
        there.change().await;
        Some(here.is_right().await)
    })
    .await;
}

#[tokio::test]
async fn another_incarnation_is_joined() {
    // Its positions and their nonces tell it as well; without the comparison nothing is kept any more.
    is_needed(Step::IncarnationCompared, async || {
        let server = start().await?;
        let source = Arc::new(Source::default());
        let here = Node::open(&server, server.port(), &source).await;
        let there = Node::open(&server, server.port(), &source).await;
        here.read().await;
        // It has seen more than the other, so what follows the loss begins above that.
        for _ in 0..3 {
            there.change().await;
        }
        server.flush_all().await.unwrap();
        there.change().await;
        Some(here.is_right().await && here.keeps().await)
    })
    .await;
}

#[tokio::test]
async fn the_eviction_of_what_remembers_the_names_is_noticed() {
    is_needed(Step::LastRepeatsIncarnation, async || {
        let server = start().await?;
        let source = Arc::new(Source::default());
        let here = Node::open(&server, server.port(), &source).await;
        here.read().await;
        here.change().await;
        server.command::<()>(&["DEL", "{uc:default}:last"]).await.unwrap();
        Some(here.is_right().await)
    })
    .await;
}

#[tokio::test]
async fn what_nobody_vouches_for_any_more_takes_a_position() {
    is_needed(Step::LapseTakesPosition, async || {
        let server = start().await?;
        let way = Proxy::start(server.port()).await.unwrap();
        let source = Arc::new(Source { watched: true, ..Source::default() });
        let watcher = Node::open(&server, way.port(), &source).await;
        let vouched = Invalidation { name: scope(), mark: Mark::Vouched, event: None };
        watcher.store.publish(Batch::moving(vec![vouched], "watched")).await.unwrap();
        let here = Node::open(&server, server.port(), &source).await;
        assert!(here.keeps().await);
        way.refuse().await.unwrap();
        way.cut();
        // By the server's clock: nobody has renewed it for longer than it lasts.
        let row: String = server.command(&["HGET", "{uc:default}:sources", scope().as_str()]).await.unwrap();
        let deadline: u64 = row.split(' ').nth(1).unwrap().parse().unwrap();
        while now_ms(&server).await <= deadline {}
        // Nobody tells of it.
        source.version.fetch_add(1, Ordering::SeqCst);
        Some(here.is_right().await)
    })
    .await;
}

async fn now_ms(server: &Server) -> u64 {
    let (seconds, micros): (u64, u64) = server.command(&["TIME"]).await.unwrap();
    seconds * 1000 + micros / 1000
}

#[tokio::test]
async fn a_promoted_replica_that_lagged_is_a_new_beginning() {
    is_needed(Step::ClaimBeginsAnew, async || {
        let group = applicable(Replicated::start(Setup::standalone(), 1).await)?;
        let way = Proxy::start(group.primary.port()).await.unwrap();
        let source = Arc::new(Source::default());
        let here = Node::open(&group.primary, way.port(), &source).await;
        here.read().await;
        group.in_step().await.unwrap();
        group.links[0].hold(Direction::ToClient);
        here.change().await;
        promote(&group).await;
        way.direct(group.replicas[0].port());
        way.cut();
        Some(here.is_right().await)
    })
    .await;
}

#[tokio::test]
async fn positions_that_are_given_twice_are_told_by_their_nonces() {
    is_needed(Step::NoncesCompared, async || {
        let server = start().await?;
        let source = Arc::new(Source::default());
        let here = Node::open(&server, server.port(), &source).await;
        here.read().await;
        let mut before = Vec::new();
        for part in ["control", "last", "log"] {
            let part = format!("{{uc:default}}:{part}");
            let mut dump = redis::cmd("DUMP");
            let mut connection = server.connect().await.unwrap();
            let bytes: Vec<u8> = dump.arg(&part).query_async(&mut connection).await.unwrap();
            before.push((part, bytes));
        }
        here.move_name(other()).await;
        here.read().await;
        // The server goes back, under the same identity.
        for (part, bytes) in before {
            let mut restore = redis::cmd("RESTORE");
            let mut connection = server.connect().await.unwrap();
            let restore = restore.arg(&part).arg(0).arg(&bytes[..]).arg("REPLACE");
            let () = restore.query_async(&mut connection).await.unwrap();
        }
        let there = Node::open(&server, server.port(), &source).await;
        there.change().await;
        Some(here.is_right().await)
    })
    .await;
}

#[tokio::test]
async fn an_event_is_not_known_by_its_id_before_it_is_there() {
    is_needed(Step::IdBehindEvent, async || {
        let server = start().await?;
        let here = Node::open(&server, server.port(), &Arc::default()).await;
        let stream: StreamName = "said".parse().unwrap();
        let publish = async |id: &str| {
            let event = Event::new("message".parse().unwrap(), "agent/test".parse().unwrap()).with_id(id);
            let (stream, durability) = (stream.clone(), Durability::Memory);
            let event = NewEvent { stream, event, durability, expected_seq: None, latest: None };
            here.store.publish(Batch { events: vec![event], ..Batch::default() }).await
        };
        publish("first").await.unwrap();
        // The write of the next event fails in the middle of the step.
        let events = "{uc:default}:stream:said";
        server.command::<()>(&["RENAME", events, "aside"]).await.unwrap();
        server.command::<()>(&["SET", events, "not a stream"]).await.unwrap();
        let _ = publish("second").await;
        server.command::<()>(&["RENAME", "aside", events]).await.unwrap();
        publish("second").await.unwrap();
        let page = here.store.read_stream(&stream, None, 10).await.unwrap();
        Some(page.records.iter().any(|record| record.id_text() == "second"))
    })
    .await;
}

#[tokio::test]
async fn what_a_node_publishes_does_not_hide_what_others_did_before() {
    is_needed(Step::AppliedInOrder, async || {
        let server = start().await?;
        let source = Arc::new(Source::default());
        let here = Node::open(&server, server.port(), &source).await;
        let there = Node::open(&server, server.port(), &source).await;
        assert!(here.keeps().await);
        there.change().await;
        here.move_name(other()).await;
        Some(here.is_right().await)
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_was_lost_is_claimed_again() {
    // Each script proves where it runs, so nothing old is served without it; but nothing can be asked any more.
    is_needed(Step::ConnectionClaimed, async || {
        let server = start().await?;
        let source = Arc::new(Source::default());
        let here = Node::open(&server, server.port(), &source).await;
        here.read().await;
        server.restart_empty().await.unwrap();
        source.version.fetch_add(1, Ordering::SeqCst);
        Some(here.is_right().await && here.keeps().await)
    })
    .await;
}

#[tokio::test]
async fn nothing_is_published_by_rules_that_are_not_in_force() {
    is_needed(Step::RulesHeld, async || {
        let server = start().await?;
        let here = Node::open(&server, server.port(), &Arc::default()).await;
        let write = |value: &'static str| {
            let (table, id, value) = ("rules", "now".to_owned(), Some(Bytes::from(value)));
            Batch::writing(vec![RowWrite { table, id, expected: None, value }])
        };
        let old = here.store.publish(write("old")).await.unwrap().token.position;
        here.store.publish(write("new")).await.unwrap();
        let mut batch = Batch::moving(vec![Invalidation::of(other())], "by old rules");
        batch.holds = vec![RowCheck { table: "rules", id: "now", revision: old }];
        Some(here.store.publish(batch).await.is_err())
    })
    .await;
}

#[tokio::test]
async fn the_answer_of_a_barrier_that_comes_after_another_incarnation_began_is_dropped() {
    // Positions and nonces tell that it is not of this one; without the step that looks like another loss, and all nodes
    // begin once more.
    is_needed(Step::LateAnswerDropped, async || {
        let server = start().await?;
        let way = Proxy::start(server.port()).await.unwrap();
        let source = Arc::new(Source::default());
        let here = Arc::new(Node::open(&server, way.port(), &source).await);
        let there = Node::open(&server, server.port(), &source).await;
        for _ in 0..3 {
            here.change().await;
        }
        here.read().await;
        // A script finds that something is gone. A barrier, which does not look there, is answered behind it.
        server.command::<()>(&["DEL", "{uc:default}:last"]).await.unwrap();
        let link = way.links().remove(0);
        link.hold(Direction::ToClient);
        let looking = tokio::spawn({
            let here = here.clone();
            async move { here.store.read(&key(), None, false).await }
        });
        link.waits(Direction::ToClient).await.unwrap();
        // How a barrier ends and how its answer begins: where the server's id says less, it is a transaction.
        let (ends, begins): (&[u8], &[u8]) = match server.flavour() {
            Flavour::Dragonfly => (b"EXEC\r\n", b"+QUEUED"),
            Flavour::Redis | Flavour::Valkey => (b"TIME\r\n", b":0\r\n*4\r\n"),
        };
        let asked = link.snare(Direction::ToServer, Point::After(ends.to_vec()));
        let late = tokio::spawn({
            let here = here.clone();
            async move { here.store.barrier().await }
        });
        asked.caught().await.unwrap();
        drop(asked);
        link.release(Direction::ToServer);
        // The next incarnation begins below what this node has seen, and goes beyond it.
        server.flush_all().await.unwrap();
        for _ in 0..10 {
            there.change().await;
        }
        let before = there.store.barrier().await.unwrap().inc;
        let answer = link.snare(Direction::ToClient, Point::Before(begins.to_vec()));
        link.release(Direction::ToClient);
        answer.caught().await.unwrap();
        looking.await.unwrap().unwrap();
        drop(answer);
        link.release(Direction::ToClient);
        // Dropped, it is asked for once more.
        late.await.unwrap().unwrap();
        let right = here.is_right().await && here.keeps().await;
        Some(right && there.store.barrier().await.unwrap().inc == before)
    })
    .await;
}
