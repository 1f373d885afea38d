//! From an event to the next read.

use std::time::Duration;

use bytes::Bytes;
use undercurrent::cache::PutOptions;
use undercurrent::rules::RuleSet;
use undercurrent::stream::Delivery;
use undercurrent::types::Data;
use undercurrent::{Config, Event, EventStream, Key, Level};

use crate::kit::Engine;

fn state(key: &str, data: &str) -> Event {
    Event::new("state_update.task".parse().unwrap(), "agent/7".parse().unwrap())
        .with_subject(key)
        .with_data(Data::from_json(data.as_bytes()).unwrap())
}

#[tokio::test]
async fn an_event_is_not_seen_before_its_invalidations_are_in_force() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "0");
    let mut reader = engine.events.subscribe("s").await.unwrap();
    assert!(matches!(reader.next().await.unwrap(), Delivery::CaughtUp(_)));
    for turn in 1..200 {
        engine.get("x:a").await;
        script.set("x:a", &turn.to_string());
        let events = engine.events.clone();
        let publish = tokio::spawn(async move { events.publish("s", state("x:a", "1")).await.unwrap() });
        assert!(matches!(reader.next().await.unwrap(), Delivery::Event(_)));
        assert_eq!(engine.get("x:a").await, turn.to_string(), "the event was there first");
        publish.await.unwrap();
    }
}

#[tokio::test]
async fn an_action_announces_and_makes_nothing_stale() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "1");
    engine.get("x:a").await;
    let action = Event::new("action.edit".parse().unwrap(), "agent/7".parse().unwrap()).with_subject("x:a");
    engine.events.publish("s", action).await.unwrap();
    engine.get("x:a").await;
    assert_eq!(script.loads(), 1);
}

#[tokio::test]
async fn the_whole_engine_follows_a_file() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let path = root.path().canonicalize().unwrap().join("a.txt");
    std::fs::write(&path, "one").unwrap();
    let config = Config {
        roots: vec![root.path().to_owned()],
        data: Some(data.path().to_owned()),
        ..Config::default()
    };
    let events = EventStream::open(config).await.unwrap();
    let key = Key::file(&path).unwrap();
    let dir = Key::dir(path.parent().unwrap()).unwrap();
    assert_eq!(events.get_app_context(&key).await.unwrap().text(), Some("one"));
    for turn in 0..50 {
        let text = turn.to_string();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(events.get_app_context(&key).await.unwrap().text(), Some(text.as_str()), "verified");
        std::fs::write(&path, format!("{text}!")).unwrap();
        let answer = events.get_app_context(&key).level(Level::Synced).await.unwrap();
        assert_eq!(answer.text().unwrap(), format!("{text}!"), "synced");
        let other = path.with_file_name(format!("new-{turn}"));
        std::fs::write(&other, "x").unwrap();
        let listing = events.get_app_context(&dir).await.unwrap();
        assert!(listing.text().unwrap().contains(&format!("new-{turn}")), "the listing is synced");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(events.get_app_context(&key).await.unwrap().value(), None);
    let denied = events.get_app_context("file:/etc/passwd").await.unwrap_err();
    assert_eq!(denied.body().code, undercurrent::types::ErrorCode::Denied);
    let explained = events.explain(&key).await.unwrap();
    assert!(explained.answer.is_some() && !explained.invalidations.is_empty(), "{explained:?}");
    tokio::time::timeout(Duration::from_secs(20), events.close()).await.unwrap();
}

#[tokio::test]
async fn a_state_is_answered_from_its_last_event() {
    let root = tempfile::tempdir().unwrap();
    let config = Config { data: Some(root.path().to_owned()), ..Config::default() };
    let events = EventStream::open(config.clone()).await.unwrap();
    let key: Key = "state:task-7".parse().unwrap();
    assert_eq!(events.get_app_context(&key).await.unwrap().value(), None);
    events.put(&key, Bytes::from_static(br#"{"done": 1}"#), PutOptions::default()).await.unwrap();
    assert_eq!(events.get_app_context(&key).await.unwrap().text(), Some(r#"{"done": 1}"#));
    let ack = events.publish("sessions/1", state("state:task-7", r#"{"done":  2}"#)).await.unwrap();
    let answer = events.get_app_context("context:state:task-7").after(ack.token).await.unwrap();
    assert_eq!(answer.text(), Some(r#"{"done":  2}"#), "byte for byte");
    events.close().await;
    drop(events);
    let events = EventStream::open(config).await.unwrap();
    assert_eq!(
        events.get_app_context(&key).await.unwrap().text(),
        Some(r#"{"done":  2}"#),
        "after a restart"
    );
    events.publish("sessions/1", state("state:task-7", "null")).await.unwrap();
    assert_eq!(events.get_app_context(&key).await.unwrap().value(), None);
}

#[tokio::test]
async fn the_rules_in_force_are_known_to_the_store_and_other_ones_take_their_place_at_a_start() {
    let data = tempfile::tempdir().unwrap();
    let open = async |rules: RuleSet| {
        let config = Config { data: Some(data.path().to_owned()), rules, ..Config::default() };
        let events = EventStream::open(config).await.unwrap();
        let known = events.installed_rules().await.unwrap();
        assert_eq!(known, Some(events.rules().version()));
        events.close().await;
        known
    };
    let text = "[[rule]]\nname = 'mine'\ntypes = ['observation.mine']\nstale = ['tag:mine']";
    let mine = RuleSet::from_toml(text, "mine.toml").unwrap();
    let shipped = open(RuleSet::shipped()).await;
    let added = open(mine.clone()).await;
    assert_ne!(shipped, added);
    assert_eq!(open(mine).await, added);
}
