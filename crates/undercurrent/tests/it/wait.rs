//! Whoever waits for a change is woken by it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use undercurrent::cache::PutOptions;
use undercurrent::event_stream::{ContextError, ContextReason};
use undercurrent::store::{Batch, Invalidation, Mark};
use undercurrent::{Key, Name, Version};

use crate::kit::{Engine, Script};

const LONG: Duration = Duration::from_secs(60);

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

type Waiting = tokio::task::JoinHandle<Result<String, ContextError>>;

fn wait(engine: &Engine, text: &str, version: Option<Version>) -> Waiting {
    let (events, key) = (engine.events.clone(), key(text));
    tokio::spawn(async move {
        let answer = events.wait(&key, version, LONG).await?;
        Ok(answer.text().unwrap_or("<absent>").to_owned())
    })
}

#[tokio::test]
async fn a_value_that_is_another_already_is_returned_at_once() {
    let engine = Engine::open();
    engine.script("x").set("x:a", "2");
    let old = Version::of(Some(b"1"));
    assert_eq!(wait(&engine, "x:a", Some(old)).await.unwrap().unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_missed_however_it_falls() {
    let engine = Engine::open();
    let script = engine.script("x");
    for n in 0..300 {
        script.set("x:a", &n.to_string());
        engine.invalidate("x:a").await;
        let now = Version::of(Some(n.to_string().as_bytes()));
        let waiting = wait(&engine, "x:a", Some(now));
        if n % 3 == 0 {
            tokio::task::yield_now().await;
        }
        script.set("x:a", "other");
        engine.invalidate("x:a").await;
        assert_eq!(waiting.await.unwrap().unwrap(), "other");
    }
}

#[tokio::test]
async fn an_invalidation_that_brings_the_same_value_ends_no_wait() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "1");
    script.set("x:b", "b");
    let now = engine.events.get_app_context("x:a").await.unwrap().version();
    let waiting = wait(&engine, "x:a", Some(now));
    engine.invalidate("x:a").await;
    while script.loads() < 2 {
        tokio::task::yield_now().await;
    }
    engine.invalidate("x:b").await;
    assert!(!waiting.is_finished());
    script.set("x:a", "2");
    engine.invalidate("x:a").await;
    assert_eq!(waiting.await.unwrap().unwrap(), "2");
}

#[tokio::test]
async fn a_key_that_nothing_loads_is_waited_for_until_it_is_put() {
    let engine = Engine::open();
    for seen in [Version::of(None), Version::of(Some(b"0"))] {
        let waiting = wait(&engine, "note:a", Some(seen));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        engine.events.put(&key("note:a"), Bytes::from_static(b"1"), PutOptions::default()).await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), "1");
        engine.invalidate("note:a").await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_vouches_for_is_asked_for_while_it_is_waited_for() {
    let engine = Engine::open();
    let script = Arc::new(Script::with_validators());
    engine.events.cache().register("v", script.clone());
    script.set("v:a", "1");
    script.depend_on(&["scope:s"]);
    let doubt = vec![Invalidation { name: Name::scope("s"), mark: Mark::InDoubt, event: None }];
    engine.store.publish(Batch::moving(doubt, "a test")).await.unwrap();
    let now = engine.events.get_app_context("v:a").await.unwrap().version();
    let waiting = wait(&engine, "v:a", Some(now));
    tokio::task::yield_now().await;
    script.set("v:a", "2");
    assert_eq!(waiting.await.unwrap().unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_without_a_change_says_so() {
    let engine = Engine::open();
    engine.script("x").set("x:a", "1");
    let error = wait(&engine, "x:a", None).await.unwrap().unwrap_err();
    assert!(matches!(error.reason(), ContextReason::NotChanged { .. }), "{error}");
    assert_eq!(error.body().code.exit_code(), 5);
}
