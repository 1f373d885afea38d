//! What a session is told of what it was given.

use undercurrent::store::{Batch, RowWrite};
use undercurrent::types::SessionName;
use undercurrent::types::wire::{ChangeState, Notice};

use crate::kit::{Engine, Script};

fn session(name: &str) -> SessionName {
    name.parse().unwrap()
}

async fn given(engine: &Engine, name: &str, key: &str) {
    engine.events.get_app_context(key).session(session(name)).await.unwrap();
}

async fn changes(engine: &Engine, name: &str) -> Notice {
    engine.events.changes(&session(name), false).await
}

async fn acknowledged(engine: &Engine, name: &str) -> Notice {
    engine.events.changes(&session(name), true).await
}

fn told(notice: &Notice) -> Vec<(&str, ChangeState)> {
    notice.changes.iter().map(|change| (change.key.as_str(), change.state)).collect()
}

fn scripted(engine: &Engine) -> std::sync::Arc<Script> {
    let script = engine.script("x");
    for key in ["x:a", "x:b", "x:c"] {
        script.set(key, key);
    }
    script
}

async fn change(engine: &Engine, script: &Script, key: &str, value: &str) {
    script.set(key, value);
    engine.invalidate(key).await;
}

#[tokio::test]
async fn a_session_is_told_what_has_changed_until_it_says_that_it_has_seen_it() {
    let engine = Engine::open();
    let script = scripted(&engine);
    for key in ["x:c", "x:a", "x:b"] {
        given(&engine, "s", key).await;
    }
    assert_eq!(changes(&engine, "s").await, changes(&engine, "s").await);
    assert!(changes(&engine, "s").await.changes.is_empty());
    change(&engine, &script, "x:b", "new").await;
    script.remove("x:a");
    engine.invalidate("x:a").await;
    // Invalidated, and the same all the same.
    engine.invalidate("x:c").await;
    let notice = changes(&engine, "s").await;
    assert_eq!(told(&notice), [("x:a", ChangeState::Gone), ("x:b", ChangeState::Changed)]);
    assert_eq!(notice.changes[1].old.len(), 12);
    let bytes = serde_json::to_vec(&notice).unwrap();
    assert_eq!(serde_json::to_vec(&acknowledged(&engine, "s").await).unwrap(), bytes);
    assert!(changes(&engine, "s").await.changes.is_empty());
    change(&engine, &script, "x:a", "back").await;
    assert_eq!(told(&changes(&engine, "s").await), [("x:a", ChangeState::Changed)]);
    // Read again, it has been given.
    given(&engine, "s", "x:a").await;
    assert!(changes(&engine, "s").await.changes.is_empty());
}

#[tokio::test]
async fn sessions_are_told_apart_and_one_that_is_not_known_is_not_called_unchanged() {
    let engine = Engine::open();
    let script = scripted(&engine);
    given(&engine, "one", "x:a").await;
    given(&engine, "two", "x:b").await;
    change(&engine, &script, "x:a", "new").await;
    assert_eq!(told(&changes(&engine, "one").await), [("x:a", ChangeState::Changed)]);
    let other = changes(&engine, "two").await;
    assert!(other.changes.is_empty() && other.incomplete.is_none());
    assert!(changes(&engine, "nobody").await.incomplete.is_some());
}

#[tokio::test]
async fn what_can_not_be_read_is_unknown_and_stays_so_when_it_is_seen() {
    let engine = Engine::open();
    let script = scripted(&engine);
    given(&engine, "s", "x:a").await;
    script.recipe("x:a", |inputs| {
        Box::pin(async { inputs.get(&"x:a".parse().unwrap()).await.map(|_| unreachable!()) })
    });
    engine.invalidate("x:a").await;
    for _ in 0..2 {
        assert_eq!(told(&acknowledged(&engine, "s").await), [("x:a", ChangeState::Unknown)]);
    }
}

#[tokio::test]
async fn read_sets_survive_a_restart() {
    let engine = Engine::open();
    engine.events.keep_read_sets(None).await;
    scripted(&engine);
    given(&engine, "s", "x:a").await;
    given(&engine, "s", "x:b").await;
    engine.events.close().await;
    let Engine { events, store, dir } = engine;
    drop((events, store));

    let engine = Engine::open_in(dir);
    engine.events.keep_read_sets(None).await;
    let script = scripted(&engine);
    script.set("x:b", "new");
    let notice = changes(&engine, "s").await;
    assert_eq!((told(&notice), &notice.incomplete), (vec![("x:b", ChangeState::Changed)], &None));
}

#[tokio::test]
async fn after_an_end_without_a_flush_a_session_is_told_that_more_may_be_missing() {
    let engine = Engine::open();
    engine.events.keep_read_sets(None).await;
    scripted(&engine);
    given(&engine, "s", "x:a").await;
    engine.events.close().await;
    // What a process leaves that ends between two flushes.
    let Engine { events, store, dir } = engine;
    drop((events, store));
    let engine = Engine::open_in(dir);
    let open = RowWrite { table: "read_set", id: "#open".to_owned(), expected: None, value: Some("".into()) };
    engine.store.publish(Batch::writing(vec![open])).await.unwrap();
    engine.events.keep_read_sets(None).await;
    scripted(&engine);
    let notice = changes(&engine, "s").await;
    assert!(notice.incomplete.as_deref().unwrap().contains("unexpectedly"), "{notice}");
    assert_eq!(acknowledged(&engine, "s").await, notice);
    assert_eq!(changes(&engine, "s").await.incomplete, None);
}

#[tokio::test(start_paused = true)]
async fn read_sets_are_flushed_while_the_process_lives() {
    let engine = Engine::open();
    engine.events.keep_read_sets(None).await;
    scripted(&engine);
    given(&engine, "s", "x:a").await;
    while engine.store.row("read_set", "s").await.unwrap().is_none() {
        tokio::time::advance(std::time::Duration::from_millis(500)).await;
        tokio::task::yield_now().await;
    }
    assert!(engine.store.rows("read_set").await.unwrap().len() == 3, "the marker, the head and one shard");
}

#[tokio::test]
async fn ten_thousand_keys_that_have_not_changed_are_told_without_a_load() {
    let engine = Engine::open();
    let script = engine.script("x");
    for n in 0..10_000 {
        script.set(&format!("x:{n}"), "v");
        given(&engine, "s", &format!("x:{n}")).await;
    }
    let loads = script.loads();
    engine.invalidate("x:elsewhere").await;
    assert!(changes(&engine, "s").await.changes.is_empty());
    assert_eq!(script.loads(), loads);
}
