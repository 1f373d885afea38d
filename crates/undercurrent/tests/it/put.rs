//! What is put from outside is kept as safely as what a loader brings.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use undercurrent::cache::{LoadError, PutError, PutOptions, ReadError, Why};
use undercurrent::event_stream::{ContextError, ContextReason};
use undercurrent::store::{Batch, Invalidation, Mark};
use undercurrent::types::ErrorCode;
use undercurrent::{Key, Level, Name, Token, Version};

use crate::kit::{Engine, Script};

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn put(engine: &Engine, text: &str, value: &str, options: PutOptions) {
    engine.events.put(&key(text), bytes(value), options).await.unwrap();
}

async fn ticket(engine: &Engine, text: &str) -> Option<Token> {
    let error = engine.events.get_app_context(text).await.unwrap_err();
    Some(error.body().ticket.expect("a miss has a ticket").parse().unwrap())
}

async fn made_from(engine: &Engine, input: &str) -> PutOptions {
    let ticket = ticket(engine, "note:sum").await;
    let version = engine.events.get_app_context(input).await.unwrap().version();
    PutOptions { ticket, inputs: vec![(key(input), version)], ..PutOptions::default() }
}

fn reason(error: &ContextError) -> &PutError {
    let ContextReason::Put(reason) = error.reason() else { panic!("{error}") };
    reason
}

#[tokio::test]
async fn a_value_made_from_what_was_put_is_read_at_every_level() {
    let engine = Engine::open();
    let script = Arc::new(Script::with_validators());
    engine.events.cache().register("v", script.clone());
    script.join("v:sum", &["note:a", "v:b"]);
    script.set("v:b", "b");
    put(&engine, "note:a", "a", PutOptions::default()).await;
    for level in [Level::Fresh, Level::Synced, Level::Verified] {
        assert_eq!(engine.get_at("v:sum", level).await, "ab", "at {level}");
    }
    let again = engine.events.get_app_context("v:sum").level(Level::Verified).await.unwrap();
    assert_eq!(again.why(), Why::Unchanged);
    script.set("v:b", "c");
    assert_eq!(engine.get_at("v:sum", Level::Verified).await, "ac");
    put(&engine, "note:a", "A", PutOptions { tags: vec!["tag:t".parse().unwrap()], ..PutOptions::default() })
        .await;
    assert_eq!(engine.get_at("v:sum", Level::Verified).await, "Ac");
    engine.invalidate("tag:t").await;
    for level in [Level::Fresh, Level::Synced, Level::Verified] {
        let error = engine.events.get_app_context("v:sum").level(level).await.unwrap_err();
        let ContextReason::Read(ReadError::Load(LoadError::Missing { key, .. })) = error.reason() else {
            panic!("{error}")
        };
        assert_eq!(key.as_str(), "note:a", "the error names what is to be put");
    }
}

#[tokio::test]
async fn a_stale_ticket_changes_nothing() {
    let engine = Engine::open();
    let stale = ticket(&engine, "note:a").await;
    put(&engine, "note:a", "new", PutOptions::default()).await;
    let options = PutOptions { ticket: stale, ..PutOptions::default() };
    let error = engine.events.put(&key("note:a"), bytes("old"), options).await.unwrap_err();
    assert!(matches!(reason(&error), PutError::Stale { .. }), "{error}");
    assert_eq!(engine.get("note:a").await, "new", "what was put after the miss stands");
}

#[tokio::test]
async fn a_value_that_is_put_is_stale_with_its_inputs() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "1");
    script.join("x:below", &["x:a"]);
    let options = made_from(&engine, "x:below").await;
    put(&engine, "note:sum", "one", options).await;
    assert_eq!(engine.get("note:sum").await, "one");
    let loads = script.loads();
    engine.invalidate("x:a").await;
    assert_eq!(engine.get("note:sum").await, "one", "its input came back the same");
    assert_eq!(script.loads(), loads + 1);
    script.set("x:a", "2");
    engine.invalidate("x:a").await;
    assert!(ticket(&engine, "note:sum").await.is_some());
}

#[tokio::test]
async fn an_input_at_another_version_refuses_the_put_and_is_named() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "1");
    let options = made_from(&engine, "x:a").await;
    script.set("x:a", "2");
    engine.invalidate("x:a").await;
    for options in [options.clone(), PutOptions { ticket: None, ..options }] {
        let error = engine.events.put(&key("note:sum"), bytes("one"), options).await.unwrap_err();
        let PutError::InputMoved { input, .. } = reason(&error) else { panic!("{error}") };
        assert_eq!((input.as_str(), error.body().code), ("x:a", ErrorCode::Conflict));
    }
    assert_eq!(engine.events.explain(&key("note:sum")).await.unwrap().invalidations.len(), 0);
}

#[tokio::test]
async fn an_input_that_moved_before_anybody_told_of_it_refuses_the_put() {
    let engine = Engine::open();
    let script = Arc::new(Script::asked_by_default());
    engine.events.cache().register("v", script.clone());
    script.set("v:a", "1");
    let options = made_from(&engine, "v:a").await;
    script.set("v:a", "2");
    for options in [options.clone(), PutOptions { ticket: None, ..options }] {
        assert_eq!(engine.get_at("v:a", Level::Fresh).await, "1", "memory does not know of it");
        let error = engine.events.put(&key("note:sum"), bytes("one"), options).await.unwrap_err();
        assert!(matches!(reason(&error), PutError::InputMoved { .. }), "{error}");
        // As it was before the look.
        script.set("v:a", "1");
        assert_eq!(engine.get_at("v:a", Level::Verified).await, "1");
        script.set("v:a", "2");
    }
}

#[tokio::test]
async fn an_input_that_moved_and_came_back_refuses_the_ticket() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "1");
    let options = made_from(&engine, "x:a").await;
    engine.invalidate("x:a").await;
    let error = engine.events.put(&key("note:sum"), bytes("one"), options.clone()).await.unwrap_err();
    assert!(matches!(reason(&error), PutError::Stale { .. }), "{error}");
    put(&engine, "note:sum", "one", PutOptions { ticket: None, ..options }).await;
    assert_eq!(engine.get("note:sum").await, "one");
}

#[tokio::test]
async fn an_input_in_doubt_is_asked_at_each_read() {
    let engine = Engine::open();
    let script = Arc::new(Script::with_validators());
    engine.events.cache().register("v", script.clone());
    script.set("v:a", "1");
    script.depend_on(&["scope:s"]);
    let doubt = vec![Invalidation { name: Name::scope("s"), mark: Mark::InDoubt, event: None }];
    engine.store.publish(Batch::moving(doubt, "a test")).await.unwrap();
    let options = made_from(&engine, "v:a").await;
    put(&engine, "note:sum", "one", options).await;
    let checks = || script.checks.load(std::sync::atomic::Ordering::SeqCst);
    for _ in 0..2 {
        let before = checks();
        assert_eq!(engine.get("note:sum").await, "one");
        assert!(checks() > before);
    }
    script.set("v:a", "2");
    assert!(ticket(&engine, "note:sum").await.is_some());
}

#[tokio::test]
async fn a_value_is_served_for_its_time_to_live() {
    let engine = Engine::open();
    let options = |max_age| PutOptions { max_age: Some(max_age), ..PutOptions::default() };
    put(&engine, "note:a", "1", options(Duration::from_secs(3600))).await;
    assert_eq!(engine.get("note:a").await, "1");
    put(&engine, "note:a", "2", options(Duration::ZERO)).await;
    assert!(ticket(&engine, "note:a").await.is_some());
}

#[tokio::test]
async fn what_can_not_be_put_is_refused_with_the_reason() {
    let engine = Engine::open();
    engine.script("x").join("x:back", &["note:a"]);
    put(&engine, "note:a", "1", PutOptions::default()).await;
    let back = engine.events.get_app_context("x:back").await.unwrap().version();
    let inputs = |key: Key| PutOptions { inputs: vec![(key, back)], ..PutOptions::default() };
    let version = Version::of(None);
    let many = PutOptions { inputs: vec![(key("x:a"), version); 257], ..PutOptions::default() };
    let tagged = PutOptions { tags: vec![Name::scope("s")], ..PutOptions::default() };
    let cases = [
        ("note:a", inputs(key("x:back")), ErrorCode::Cycle),
        ("note:a", inputs(key("note:a")), ErrorCode::Cycle),
        ("note:a", many, ErrorCode::TooLarge),
        ("note:a", tagged.clone(), ErrorCode::InvalidRequest),
        ("state:a", tagged, ErrorCode::InvalidRequest),
    ];
    for (to, options, code) in cases {
        let error = engine.events.put(&key(to), bytes("1"), options).await.unwrap_err();
        assert_eq!(error.body().code, code, "{error}");
    }
    assert_eq!(engine.get("note:a").await, "1", "nothing changed");
}
