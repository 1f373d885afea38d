//! Many nodes on one real server: to those who read they are one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use undercurrent::cache::{Cache, CacheOptions, Doubt, PutOptions, ReadError, Why};
use undercurrent::event_stream::{ContextReason, Redactor};
use undercurrent::rules::RuleSet;
use undercurrent::store::dragonfly::{SharedStore, SharedStoreOptions};
use undercurrent::store::{Batch, Invalidation, Mark, PublishError, Store};
use undercurrent::{Config, EventStream, Key, Level, Name};
use undercurrent_servers::{Server, Setup};

use crate::kit::{Engine, Script, a_change_is_found_and_not_kept};

fn options(server: &Server) -> SharedStoreOptions {
    SharedStoreOptions::new(server.url().parse().unwrap())
}

/// A node with a store of its own on the server.
async fn node_with(options: SharedStoreOptions, cache: CacheOptions) -> Engine {
    let store: Arc<dyn Store> = Arc::new(SharedStore::open(options).await.unwrap());
    let cache = Cache::new(store.clone(), cache);
    let (rules, redactor) = (RuleSet::shipped(), Redactor::default());
    let events = EventStream::assemble("default".to_owned(), store.clone(), cache, rules, redactor);
    Engine { events, store, dir: tempfile::tempdir().unwrap() }
}

pub(crate) async fn node(server: &Server) -> Engine {
    node_with(options(server), CacheOptions::default()).await
}

/// Nodes that load from one source.
async fn nodes<const N: usize>(server: &Server) -> ([Engine; N], Arc<Script>) {
    let mut all = Vec::new();
    let first = node(server).await;
    let script = first.script("x");
    all.push(first);
    for _ in 1..N {
        let one = node(server).await;
        one.events.cache().register("x", script.clone());
        all.push(one);
    }
    (all.try_into().ok().expect("there are so many"), script)
}

pub(crate) async fn start() -> Server {
    Server::start(Setup::standalone()).await.unwrap()
}

async fn why(engine: &Engine, key: &str) -> Why {
    engine.events.get_app_context(key).level(Level::Fresh).await.unwrap().why()
}

#[tokio::test]
async fn what_one_node_invalidates_no_other_serves() {
    let server = start().await;
    let ([a, b], script) = nodes(&server).await;
    for n in 0..20 {
        let value = format!("v{n}");
        script.set("x:k", &value);
        a.invalidate("x:k").await;
        assert_eq!(b.get("x:k").await, value);
        assert_eq!(a.get("x:k").await, value);
    }
    assert_eq!(script.loads(), 20, "the other node took each from the store");
}

#[tokio::test]
async fn a_value_that_one_node_loaded_is_taken_by_another_with_all_that_it_depends_on() {
    let server = start().await;
    let ([a, b, c], script) = nodes(&server).await;
    script.set("x:a", "1");
    script.set("x:b", "2");
    script.join("x:ab", &["x:a", "x:b"]);
    assert_eq!(a.get("x:ab").await, "12");
    assert_eq!(why(&b, "x:ab").await, Why::Shared);
    script.set("x:b", "3");
    c.invalidate("x:b").await;
    assert_eq!(b.get("x:ab").await, "13");
    assert_eq!(a.get("x:ab").await, "13");
    let entry = b.events.get_app_context("x:ab").await.unwrap();
    assert_eq!(entry.entry().inputs.len(), 2);
}

#[tokio::test]
async fn a_change_that_one_node_found_by_a_load_that_is_not_kept_is_known_to_all() {
    let server = start().await;
    let ([a, b], script) = nodes(&server).await;
    // The one that finds it never saw the old value.
    a_change_is_found_and_not_kept(&a, &b, &script).await;
}

#[tokio::test]
async fn an_input_that_comes_back_the_same_reloads_nothing_elsewhere() {
    let server = start().await;
    let ([a, b], script) = nodes(&server).await;
    script.set("x:a", "1");
    script.join("x:aa", &["x:a", "x:a"]);
    assert_eq!(a.get("x:aa").await, "11");
    a.invalidate("x:a").await;
    // Only what was moved itself is loaded again.
    assert_eq!(b.get("x:aa").await, "11");
    assert_eq!(script.loads(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_of_readers_on_many_nodes_is_one_load() {
    let server = start().await;
    let (nodes, script) = nodes::<8>(&server).await;
    script.set("x:k", "v");
    script.hold();
    let mut readers = Vec::new();
    for node in &nodes {
        for _ in 0..64 {
            let events = node.events.clone();
            readers.push(tokio::spawn(async move {
                events.get_app_context("x:k").level(Level::Fresh).await.unwrap().text().unwrap().to_owned()
            }));
        }
    }
    script.wait_held(1).await;
    script.release_all();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), "v");
    }
    assert_eq!(script.loads(), 1);
}

#[tokio::test]
async fn who_fills_a_key_and_dies_is_not_waited_for_longer_than_its_lease() {
    let server = start().await;
    let ([a, b], script) = nodes(&server).await;
    script.set("x:k", "v");
    script.hold();
    let filling = tokio::spawn({
        let events = a.events.clone();
        async move { events.get_app_context("x:k").await }
    });
    script.wait_held(1).await;
    let reading = tokio::spawn({
        let events = b.events.clone();
        async move { events.get_app_context("x:k").await.unwrap().text().unwrap().to_owned() }
    });
    // The second load begins although the first one never ends.
    script.wait_held(2).await;
    script.release_all();
    assert_eq!(reading.await.unwrap(), "v");
    filling.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_put_on_one_node_is_read_on_another() {
    let server = start().await;
    let ([a, b], _) = nodes(&server).await;
    let key: Key = "p:k".parse().unwrap();
    let put =
        |value: &'static str| a.events.put(&key, Bytes::from_static(value.as_bytes()), PutOptions::default());
    put("1").await.unwrap();
    assert_eq!(b.get("p:k").await, "1");
    put("2").await.unwrap();
    assert_eq!(b.get("p:k").await, "2");
    b.invalidate("p:k").await;
    assert!(a.events.get_app_context("p:k").await.is_err());
}

#[tokio::test]
async fn a_stale_ticket_of_one_node_changes_nothing_that_another_put() {
    let server = start().await;
    let ([a, b], _) = nodes(&server).await;
    let key: Key = "note:a".parse().unwrap();
    let ticket = b.events.get_app_context(&key).await.unwrap_err().body().ticket.unwrap().parse().unwrap();
    a.events.put(&key, Bytes::from_static(b"new"), PutOptions::default()).await.unwrap();
    let options = PutOptions { ticket: Some(ticket), ..PutOptions::default() };
    let refused = b.events.put(&key, Bytes::from_static(b"old"), options).await;
    assert!(refused.is_err());
    for node in [&a, &b] {
        assert_eq!(node.get("note:a").await, "new", "what was put after the miss stands");
    }
}

#[tokio::test]
async fn a_ticket_is_stale_once_another_node_has_moved_the_key() {
    let server = start().await;
    let ([a, b], _) = nodes(&server).await;
    let key: Key = "p:k".parse().unwrap();
    let ticket = async || match a.events.get_app_context(&key).await.unwrap_err().body().ticket {
        Some(ticket) => PutOptions { ticket: Some(ticket.parse().unwrap()), ..PutOptions::default() },
        None => panic!("a miss gives a ticket"),
    };
    let (first, second) = (ticket().await, ticket().await);
    a.events.put(&key, "1".into(), first).await.unwrap();
    assert_eq!(b.get("p:k").await, "1");
    b.invalidate("p:k").await;
    assert!(a.events.put(&key, "2".into(), second).await.is_err());
    assert!(b.events.get_app_context(&key).await.is_err());
}

#[tokio::test]
async fn a_deadline_is_the_same_on_every_node() {
    let server = start().await;
    let ([a, b], _) = nodes(&server).await;
    let key: Key = "p:k".parse().unwrap();
    let options = PutOptions { max_age: Some(Duration::from_secs(2)), ..PutOptions::default() };
    a.events.put(&key, "1".into(), options).await.unwrap();
    let left = b.events.get_app_context(&key).await.unwrap().entry().deadline.unwrap().remaining();
    assert!(left <= Duration::from_secs(2), "{left:?}");
    while b.events.get_app_context(&key).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(a.events.get_app_context(&key).await.is_err());
}

#[tokio::test]
async fn reads_within_a_bound_ask_nothing_once_they_are_warm() {
    let server = start().await;
    let ([a, b], script) = nodes(&server).await;
    script.set("x:k", "1");
    let bound = Level::Bounded(Duration::from_secs(60));
    b.get_at("x:k", bound).await;
    let calls = async || server.info("commandstats", "cmdstat_evalsha").await.unwrap().unwrap_or_default();
    b.get("x:k").await;
    let before = calls().await;
    for _ in 0..100 {
        assert_eq!(b.get_at("x:k", bound).await, "1");
    }
    let asked = |stat: &str| stat.split(['=', ',']).nth(1).unwrap_or("0").parse::<u64>().unwrap();
    assert!(asked(&calls().await) - asked(&before) < 10);
    script.set("x:k", "2");
    a.invalidate("x:k").await;
    assert_eq!(b.get_at("x:k", Level::Bounded(Duration::ZERO)).await, "2");
}

#[tokio::test]
async fn two_machines_with_one_path_never_see_each_others_file() {
    let server = start().await;
    let root = tempfile::tempdir().unwrap();
    let path = root.path().canonicalize().unwrap().join("file");
    std::fs::write(&path, "here").unwrap();
    let open = async |workspace: &str, roots: Vec<std::path::PathBuf>| {
        let data = tempfile::tempdir().unwrap();
        let config = Config {
            data: Some(data.path().to_owned()),
            roots,
            shared: Some(options(&server)),
            workspace: Some(workspace.to_owned()),
            ..Config::default()
        };
        (EventStream::open(config).await.unwrap(), data)
    };
    let (a, _data) = open("a", vec![root.path().to_owned()]).await;
    let (b, _data) = open("b", Vec::new()).await;
    let own = format!("file:{}", path.display());
    let named = format!("file://a{}", path.display());
    assert_eq!(a.get_app_context(&*own).await.unwrap().text(), Some("here"));
    assert_eq!(a.get_app_context(&*named).await.unwrap().text(), Some("here"), "its own by its full name");
    let denied = b.get_app_context(&*own).await.unwrap_err();
    assert!(denied.to_string().contains("no root is configured"), "{denied}");
    // What the owner vouches for is served to all; what nobody does is not guessed.
    let served = async || match b.get_app_context(&*named).await {
        Ok(answer) => answer.text().map(str::to_owned),
        Err(error) => {
            assert!(error.to_string().contains("owner is workspace `a`"), "{error}");
            None
        }
    };
    while served().await.is_none() {
        a.get_app_context(&*own).level(Level::Synced).await.unwrap();
    }
    std::fs::write(&path, "changed").unwrap();
    assert_eq!(a.get_app_context(&*own).level(Level::Synced).await.unwrap().text(), Some("changed"));
    assert!(served().await.is_none_or(|text| text == "changed"));
    let refused = b.get_app_context(&*named).level(Level::Verified).await.unwrap_err();
    assert!(refused.to_string().contains("workspace `a`"), "{refused}");
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn what_a_node_vouched_for_is_in_doubt_soon_after_it_died() {
    let server = start().await;
    let short = SharedStoreOptions { vouch: Duration::from_millis(300), ..options(&server) };
    let a = node_with(short.clone(), CacheOptions::default()).await;
    let b = node(&server).await;
    let scope = Name::scope("s");
    let vouch = |mark| Batch {
        names: vec![Invalidation { name: scope.clone(), mark, event: None }],
        ..Batch::default()
    };
    a.store.publish(vouch(Mark::Vouched)).await.unwrap();
    let in_doubt = async || b.store.last(std::slice::from_ref(&scope)).await.unwrap()[0].in_doubt;
    assert!(!in_doubt().await);
    let taken = b.store.publish(vouch(Mark::Vouched)).await;
    assert!(matches!(taken, Err(PublishError::Owned { .. })), "{taken:?}");
    // Nothing of it runs any more, and nothing says so.
    drop(a);
    while !in_doubt().await {
        tokio::task::yield_now().await;
    }
    b.store.publish(vouch(Mark::Vouched)).await.unwrap();
    assert!(!in_doubt().await);
}

#[tokio::test]
async fn without_its_store_a_node_asks_the_source_or_refuses_as_configured() {
    let server = start().await;
    let a = node(&server).await;
    let refusing = CacheOptions { doubt: Doubt::Refuse, ..CacheOptions::default() };
    let b = node_with(options(&server), refusing).await;
    let script = a.script("x");
    b.events.cache().register("x", script.clone());
    script.set("x:k", "1");
    assert_eq!((a.get("x:k").await, b.get("x:k").await), ("1".to_owned(), "1".to_owned()));
    server.kill();
    script.set("x:k", "2");
    assert_eq!((a.get("x:k").await, why(&a, "x:k").await), ("2".to_owned(), Why::Uncached));
    let refused = b.events.get_app_context("x:k").level(Level::Fresh).await.unwrap_err();
    let ContextReason::Read(ReadError::Load(error)) = refused.reason() else { panic!("{refused}") };
    assert!(error.code().is_retryable(), "{error}");
    for engine in [&a, &b] {
        let local = engine.events.get_app_context("x:k").level(Level::Local).await.unwrap();
        assert_eq!((local.text(), local.why()), (Some("1"), Why::AnyAge));
        let event = undercurrent::Event::new("message".parse().unwrap(), "agent/a".parse().unwrap());
        let body = engine.events.publish("s", event).await.unwrap_err().body();
        assert!(body.retryable, "{body}");
    }
    server.restart_empty().await.unwrap();
    while a.store.barrier().await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!((a.get("x:k").await, b.get("x:k").await), ("2".to_owned(), "2".to_owned()));
    assert_eq!(why(&a, "x:k").await, Why::Current);
}

#[tokio::test]
async fn a_server_that_forgot_is_never_believed_to_remember() {
    let server = start().await;
    let ([a, b], script) = nodes(&server).await;
    script.set("x:k", "1");
    assert_eq!((a.get("x:k").await, b.get("x:k").await), ("1".to_owned(), "1".to_owned()));
    let snapshot = server.snapshot().await.unwrap();
    for step in 0..3 {
        let value = format!("v{step}");
        script.set("x:k", &value);
        a.invalidate("x:k").await;
        match step {
            0 => server.flush_all().await.unwrap(),
            1 => server.restart_from(&snapshot).await.unwrap(),
            _ => drop(server.command::<i64>(&["DEL", "{uc:default}:last"]).await.unwrap()),
        }
        assert_eq!(b.get("x:k").await, value, "step {step}");
        assert_eq!(a.get("x:k").await, value, "step {step}");
    }
}

#[tokio::test]
async fn waiting_on_one_node_is_woken_by_another() {
    let server = start().await;
    let ([a, b], script) = nodes(&server).await;
    script.set("x:k", "1");
    b.get("x:k").await;
    let key: Key = "x:k".parse().unwrap();
    let waiting = tokio::spawn({
        let (events, key) = (b.events.clone(), key.clone());
        async move { events.wait(&key, None, Duration::from_secs(30)).await.unwrap().text().unwrap().to_owned() }
    });
    script.set("x:k", "2");
    while !waiting.is_finished() {
        a.invalidate("x:k").await;
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting.await.unwrap(), "2");
}

async fn read_in_session(node: &Engine, key: &str) {
    let session = "s".parse().unwrap();
    node.events.get_app_context(key).session(session).await.unwrap();
}

/// Returns what a session is told at a node: which keys are others now, and whether it may be more.
async fn told(node: &Engine) -> (Vec<String>, bool) {
    let notice = node.events.changes(&"s".parse().unwrap(), false).await;
    let keys = notice.changes.iter().map(|change| change.key.as_str().to_owned());
    (keys.collect(), notice.incomplete.is_some())
}

#[tokio::test]
async fn a_session_belongs_to_the_node_it_was_read_through_also_after_a_restart_of_another() {
    let server = start().await;
    let ([a, b, c], script) = nodes(&server).await;
    for key in ["x:1", "x:2"] {
        script.set(key, "old");
    }
    a.events.keep_read_sets(Some("a")).await;
    b.events.keep_read_sets(Some("b")).await;
    read_in_session(&a, "x:1").await;
    read_in_session(&b, "x:2").await;
    assert_eq!(told(&c).await, (vec![], true), "nothing is remembered there, and that is said");
    b.events.close().await;

    let [b] = nodes(&server).await.0;
    b.events.cache().register("x", script.clone());
    b.events.keep_read_sets(Some("b")).await;
    for key in ["x:1", "x:2"] {
        script.set(key, "new");
        c.invalidate(key).await;
    }
    assert_eq!(told(&a).await, (vec!["x:1".to_owned()], false));
    assert_eq!(told(&b).await, (vec!["x:2".to_owned()], false), "`a` still runs, which is no crash of `b`");
}
