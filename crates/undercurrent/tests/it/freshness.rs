//! A read after a change never returns the old value.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use undercurrent::cache::{
    Cache, CacheOptions, Doubt, LoadError, Loaded, PutOptions, ReadError, ReadOptions, Why,
};
use undercurrent::event_stream::{ContextError, ContextReason};
use undercurrent::store::{Batch, Invalidation, Mark};
use undercurrent::{Key, Level, Name, Token};

use crate::kit::{Engine, Script, a_change_is_found_and_not_kept};

#[tokio::test]
async fn a_value_is_loaded_once_and_then_served_from_memory() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "1");
    assert_eq!(engine.get("x:a").await, "1");
    script.set("x:a", "2");
    assert_eq!(engine.get("x:a").await, "1", "nobody said that it changed");
    assert_eq!(script.loads(), 1);
    engine.invalidate("x:a").await;
    assert_eq!(engine.get("x:a").await, "2");
}

#[tokio::test]
async fn an_invalidation_of_another_key_leaves_a_hit_a_hit() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "1");
    engine.get("x:a").await;
    for i in 0..2000 {
        engine.invalidate(&format!("x:other-{i}")).await;
    }
    let answer = engine.events.get_app_context("x:a").await.unwrap();
    assert_eq!(answer.why(), Why::Unmoved);
    assert_eq!(script.loads(), 1);
    let again = engine.events.get_app_context("x:a").await.unwrap();
    assert_eq!(again.why(), Why::Current);
}

#[tokio::test]
async fn an_invalidation_that_lands_during_a_load_is_not_lost() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "old");
    script.hold();
    let events = engine.events.clone();
    let early = tokio::spawn(async move { events.get_app_context("x:a").await.unwrap() });
    script.wait_held(1).await;
    // The load has read the old value and not returned it yet.
    script.set("x:a", "new");
    engine.invalidate("x:a").await;
    let events = engine.events.clone();
    let late = tokio::spawn(async move { events.get_app_context("x:a").await.unwrap() });
    script.release_all();
    assert_eq!(early.await.unwrap().text(), Some("old"), "it began before the invalidation");
    assert_eq!(late.await.unwrap().text(), Some("new"), "it began after the invalidation");
    assert_eq!(engine.get("x:a").await, "new");
}

#[tokio::test]
async fn an_invalidation_that_lands_before_the_load_reads_its_source_costs_nothing() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "new");
    engine.invalidate("x:a").await;
    assert_eq!(engine.get("x:a").await, "new");
    assert_eq!(engine.get("x:a").await, "new");
    assert_eq!(script.loads(), 1);
}

#[tokio::test]
async fn concurrent_reads_are_one_load() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "1");
    script.hold();
    let reads: Vec<_> = (0..64)
        .map(|_| {
            let events = engine.events.clone();
            tokio::spawn(async move { events.get_app_context("x:a").await.unwrap() })
        })
        .collect();
    script.wait_held(1).await;
    script.release_all();
    for read in join_all(reads).await {
        assert_eq!(read.unwrap().text(), Some("1"));
    }
    assert_eq!(script.loads(), 1);
}

#[tokio::test]
async fn a_reader_that_goes_away_does_not_end_the_load_of_the_others() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "1");
    script.hold();
    let first = {
        let events = engine.events.clone();
        tokio::spawn(async move { events.get_app_context("x:a").await })
    };
    script.wait_held(1).await;
    let second = {
        let events = engine.events.clone();
        tokio::spawn(async move { events.get_app_context("x:a").await })
    };
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    script.release_all();
    assert_eq!(second.await.unwrap().unwrap().text(), Some("1"));
    assert_eq!(script.loads(), 1);
}

#[tokio::test]
async fn a_failing_load_frees_its_waiters_and_poisons_nothing() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.recipe("x:a", |_| {
        let key: Key = "x:a".parse().unwrap();
        Box::pin(async move { Err(LoadError::Failed { key, reason: "the source said no".into() }) })
    });
    let reads = (0..8).map(|_| async { engine.events.get_app_context("x:a").await });
    for read in join_all(reads).await {
        assert!(read.unwrap_err().to_string().contains("the source said no"));
    }
    script.recipe("x:a", |_| {
        Box::pin(async { Ok(Loaded { value: Some(Bytes::from_static(b"1")), ..Loaded::default() }) })
    });
    assert_eq!(engine.get("x:a").await, "1");
}

#[tokio::test]
async fn a_panicking_load_frees_its_waiters_and_poisons_nothing() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.recipe("x:a", |_| Box::pin(async { panic!("as told") }));
    let error = engine.events.get_app_context("x:a").await.unwrap_err();
    assert!(
        matches!(error.reason(), ContextReason::Read(ReadError::Load(LoadError::Broken { .. }))),
        "{error}"
    );
    script.recipe("x:a", |_| {
        Box::pin(async { Ok(Loaded { value: Some(Bytes::from_static(b"1")), ..Loaded::default() }) })
    });
    assert_eq!(engine.get("x:a").await, "1");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_does_not_end_is_an_error_in_time() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.recipe("x:a", |_| Box::pin(std::future::pending()));
    let error = engine.events.get_app_context("x:a").await.unwrap_err();
    assert!(
        matches!(error.reason(), ContextReason::Read(ReadError::Load(LoadError::TimedOut { .. }))),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_not_there_is_remembered_and_invalidated_like_a_value() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.remove("x:a");
    assert_eq!(engine.get("x:a").await, "<absent>");
    assert_eq!(engine.get("x:a").await, "<absent>");
    assert_eq!(script.loads(), 1);
    script.set("x:a", "now");
    engine.invalidate("x:a").await;
    assert_eq!(engine.get("x:a").await, "now");
}

#[tokio::test]
async fn a_change_cascades_through_three_levels_and_a_diamond() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:leaf", "1");
    script.join("x:left", &["x:leaf"]);
    script.join("x:right", &["x:leaf"]);
    script.join("x:top", &["x:left", "x:right"]);
    script.join("x:roof", &["x:top"]);
    assert_eq!(engine.get("x:roof").await, "11");
    let loads = script.loads();
    assert_eq!(engine.get("x:roof").await, "11");
    assert_eq!(script.loads(), loads, "nothing moved");
    script.set("x:leaf", "2");
    engine.invalidate("x:leaf").await;
    assert_eq!(engine.get("x:roof").await, "22");
}

#[tokio::test]
async fn an_input_that_reloads_to_the_same_version_reloads_no_dependents() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:leaf", "1");
    script.join("x:top", &["x:leaf"]);
    assert_eq!(engine.get("x:top").await, "1");
    assert_eq!(script.loads(), 2);
    engine.invalidate("x:leaf").await;
    let answer = engine.events.get_app_context("x:top").await.unwrap();
    assert_eq!((answer.text(), answer.why()), (Some("1"), Why::SameInputs));
    assert_eq!(script.loads(), 3, "the leaf alone was loaded again");
    // And the new closure counts from here on.
    script.set("x:leaf", "2");
    engine.invalidate("x:leaf").await;
    assert_eq!(engine.get("x:top").await, "2");
}

#[tokio::test]
async fn an_own_name_that_moved_is_no_case_for_the_cutoff() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:leaf", "1");
    script.join("x:top", &["x:leaf"]);
    assert_eq!(engine.get("x:top").await, "1");
    engine.invalidate("x:top").await;
    let loads = script.loads();
    assert_eq!(engine.get("x:top").await, "1");
    assert_eq!(script.loads(), loads + 1, "its inputs are the same, but it was told to be stale itself");
}

#[tokio::test]
async fn a_tag_makes_everything_stale_that_depends_on_it() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.depend_on(&["tag:all"]);
    script.set("x:a", "1");
    script.set("x:b", "1");
    engine.get("x:a").await;
    engine.get("x:b").await;
    script.set("x:a", "2");
    script.set("x:b", "2");
    engine.invalidate("tag:all").await;
    assert_eq!((engine.get("x:a").await, engine.get("x:b").await), ("2".into(), "2".into()));
}

#[tokio::test]
async fn a_name_in_doubt_makes_every_read_ask_until_its_owner_vouches() {
    let engine = Engine::open();
    let script = Arc::new(Script::with_validators());
    engine.events.cache().register("x", script.clone());
    let scope = Name::scope("s");
    let mark = |mark| {
        let names = vec![Invalidation { name: scope.clone(), mark, event: None }];
        engine.store.publish(Batch { names, ..Batch::default() })
    };
    mark(Mark::InDoubt).await.unwrap();
    script.depend_on(&["scope:s"]);
    script.set("x:a", "1");
    assert_eq!(engine.get("x:a").await, "1");
    script.set("x:a", "2");
    assert_eq!(engine.get("x:a").await, "2", "nobody vouches for it, so the source is asked");
    let loads = script.loads();
    assert_eq!(engine.get("x:a").await, "2");
    assert_eq!(script.loads(), loads, "the validator is enough");
    // An invalidation moves the position and keeps the mark.
    let names = vec![Invalidation::of(scope.clone())];
    engine.store.publish(Batch { names, ..Batch::default() }).await.unwrap();
    script.set("x:a", "3");
    assert_eq!(engine.get("x:a").await, "3");
    mark(Mark::Vouched).await.unwrap();
    assert_eq!(engine.get("x:a").await, "3");
    let checks = script.checks.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(engine.get("x:a").await, "3");
    assert_eq!(script.checks.load(std::sync::atomic::Ordering::SeqCst), checks, "vouched for: a hit");
}

#[tokio::test]
async fn a_verified_read_meets_a_change_that_nobody_told_and_announces_it() {
    let engine = Engine::open();
    let script = Arc::new(Script::with_validators());
    engine.events.cache().register("x", script.clone());
    script.set("x:leaf", "1");
    script.join("x:top", &["x:leaf"]);
    assert_eq!(engine.get("x:top").await, "1");
    script.set("x:leaf", "2");
    assert_eq!(engine.get("x:top").await, "1");
    assert_eq!(engine.get_at("x:leaf", Level::Verified).await, "2");
    assert_eq!(engine.get("x:top").await, "2", "what was found is known to all that depend on it");
    script.set("x:leaf", "3");
    assert_eq!(
        engine.get_at("x:top", Level::Verified).await,
        "3",
        "the leaves of a derived value are asked too"
    );
}

#[tokio::test]
async fn a_reload_that_finds_another_value_announces_it() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:leaf", "1");
    script.join("x:top", &["x:leaf"]);
    assert_eq!(engine.get("x:top").await, "1");
    script.set("x:leaf", "2");
    let answer = engine.events.get_app_context("x:leaf").reload().await.unwrap();
    assert_eq!((answer.text(), answer.why()), (Some("2"), Why::Loaded));
    assert_eq!(engine.get("x:top").await, "2");
}

#[tokio::test]
async fn a_change_found_by_a_load_that_is_not_kept_is_announced_too() {
    let engine = Engine::open();
    let script = engine.script("x");
    a_change_is_found_and_not_kept(&engine, &engine, &script).await;
}

#[tokio::test]
async fn two_versions_of_one_input_never_meet_in_a_value() {
    let engine = Engine::open();
    let script = engine.script("x");
    let other = engine.script("y");
    other.set("y:leaf", "1");
    script.join("x:left", &["y:leaf"]);
    script.join("x:top", &["x:left", "y:leaf"]);
    // `left` is loaded with version 1; before `top` reads the leaf itself, the leaf moves.
    other.hold();
    let events = engine.events.clone();
    let read = tokio::spawn(async move { events.get_app_context("x:top").await.unwrap() });
    other.wait_held(1).await;
    engine.invalidate("y:leaf").await;
    other.set("y:leaf", "2");
    other.release_all();
    let text = read.await.unwrap().text().unwrap().to_owned();
    assert!(text == "11" || text == "22", "mixed: {text}");
    assert_eq!(engine.get("x:top").await, "22");
}

#[tokio::test]
async fn a_cycle_is_an_error_that_names_it() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.join("x:a", &["x:b"]);
    script.join("x:b", &["x:c"]);
    script.join("x:c", &["x:a"]);
    let error = engine.events.get_app_context("x:a").await.unwrap_err().to_string();
    for key in ["x:a", "x:b", "x:c"] {
        assert!(error.contains(key), "{error}");
    }
    assert!(error.contains("cycle"), "{error}");
}

#[tokio::test]
async fn two_loads_that_wait_for_each_other_are_a_cycle() {
    let engine = Engine::open();
    let script = engine.script("x");
    let gate = Arc::new(tokio::sync::Barrier::new(2));
    for (key, other) in [("x:a", "x:b"), ("x:b", "x:a")] {
        let gate = gate.clone();
        let other: Key = other.parse().unwrap();
        script.recipe(key, move |reader| {
            let (gate, other) = (gate.clone(), other.clone());
            Box::pin(async move {
                // Both loads run before either reads the other; a load that begins again does not wait.
                let _ = tokio::time::timeout(Duration::from_millis(200), gate.wait()).await;
                let value = reader.get(&other).await?;
                Ok(Loaded { value, ..Loaded::default() })
            })
        });
    }
    let (a, b) = tokio::join!(engine.events.get_app_context("x:a"), engine.events.get_app_context("x:b"));
    let errors = [a.unwrap_err().to_string(), b.unwrap_err().to_string()];
    assert!(errors.iter().all(|error| error.contains("cycle")), "{errors:?}");
}

#[tokio::test]
async fn a_level_that_the_source_can_not_give_is_refused() {
    let engine = Engine::open();
    engine.script("x").set("x:a", "1");
    for key in ["x:a", "y:a"] {
        let error = engine.events.get_app_context(key).level(Level::Verified).await.unwrap_err();
        assert!(matches!(error.reason(), ContextReason::Read(ReadError::LevelNotOffered { .. })), "{error}");
    }
}

#[tokio::test]
async fn a_value_is_put_and_invalidated() {
    let engine = Engine::open();
    let key: Key = "answer:x".parse().unwrap();
    let error = engine.events.get_app_context(&key).await.unwrap_err();
    assert_eq!(error.body().code, undercurrent::types::ErrorCode::NotFound);
    let written = engine.events.put(&key, Bytes::from_static(b"42"), PutOptions::default()).await.unwrap();
    let answer = engine.events.get_app_context(&key).after(written.token).await.unwrap();
    assert_eq!((answer.text(), answer.why()), (Some("42"), Why::Put));
    engine.invalidate("answer:x").await;
    assert!(engine.events.get_app_context(&key).await.is_err());
}

#[tokio::test]
async fn bounded_is_never_older_than_what_the_bound_allows_and_costs_a_hit() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "1");
    let hour = Level::Bounded(Duration::from_secs(3600));
    for (text, why) in [("1", Why::Loaded), ("1", Why::Current)] {
        let answer = engine.events.get_app_context("x:a").level(hour).await.unwrap();
        assert_eq!((answer.text(), answer.level(), answer.why()), (Some(text), hour, why));
    }
    engine.invalidate("x:other").await;
    assert_eq!(engine.events.get_app_context("x:a").level(hour).await.unwrap().why(), Why::Unmoved);
    assert_eq!(script.loads(), 1);
    script.set("x:a", "2");
    engine.invalidate("x:a").await;
    assert_eq!(engine.get_at("x:a", Level::Bounded(Duration::ZERO)).await, "2");
}

fn with_ticket(ticket: Token) -> PutOptions {
    PutOptions { ticket: Some(ticket), ..PutOptions::default() }
}

#[tokio::test]
async fn a_stale_ticket_is_refused() {
    let engine = Engine::open();
    let key: Key = "answer:x".parse().unwrap();
    let ticket = |error: ContextError| error.body().ticket.unwrap().parse().unwrap();
    let stale = ticket(engine.events.get_app_context(&key).await.unwrap_err());
    engine.invalidate("answer:x").await;
    let error = engine.events.put(&key, Bytes::from_static(b"old"), with_ticket(stale)).await.unwrap_err();
    assert_eq!(error.body().code, undercurrent::types::ErrorCode::Conflict);
    let good = ticket(engine.events.get_app_context(&key).await.unwrap_err());
    engine.invalidate("answer:other").await;
    engine.events.put(&key, Bytes::from_static(b"new"), with_ticket(good)).await.unwrap();
    assert_eq!(engine.get("answer:x").await, "new");
}

#[tokio::test]
async fn a_key_that_has_a_loader_can_not_be_put() {
    let engine = Engine::open();
    engine.script("x");
    let key: Key = "x:a".parse().unwrap();
    assert!(engine.events.put(&key, Bytes::from_static(b"1"), PutOptions::default()).await.is_err());
}

#[tokio::test]
async fn a_stale_answer_is_given_only_to_those_who_ask_and_says_so() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "1");
    assert_eq!(engine.get("x:a").await, "1");
    script.recipe("x:a", |_| {
        let key: Key = "x:a".parse().unwrap();
        Box::pin(async move { Err(LoadError::Failed { key, reason: "the source is away".into() }) })
    });
    engine.invalidate("x:a").await;
    assert!(engine.events.get_app_context("x:a").await.is_err());
    let answer = engine.events.get_app_context("x:a").stale_on_error().await.unwrap();
    assert_eq!((answer.text(), answer.why(), answer.level()), (Some("1"), Why::StaleOnError, Level::Local));
}

#[tokio::test]
async fn what_was_read_before_comes_back_as_a_difference() {
    use undercurrent::cache::ReadOptions;
    use undercurrent::event_stream::{Checked, IfChanged};
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:a", "one\ntwo\nthree\n");
    let key: Key = "x:a".parse().unwrap();
    let first = engine.events.get_app_context(&key).await.unwrap().version();
    let ask = || engine.events.get_if_changed(&key, first, ReadOptions::default());
    assert!(matches!(ask().await.unwrap(), IfChanged::Unchanged(_)));
    assert!(matches!(engine.events.check(&key, first).await.unwrap(), Checked::Current(_)));
    script.set("x:a", "one\n2\nthree\n");
    engine.invalidate("x:a").await;
    let IfChanged::Changed { diff: Some(diff), .. } = ask().await.unwrap() else { panic!("it changed") };
    assert!(diff.contains("-two\n+2\n"), "{diff}");
    assert!(matches!(engine.events.check(&key, first).await.unwrap(), Checked::MovedOn(_)));
    script.remove("x:a");
    engine.invalidate("x:a").await;
    assert!(matches!(ask().await.unwrap(), IfChanged::Gone(_)));
}

#[tokio::test]
async fn what_nobody_vouches_for_is_loaded_or_refused_as_configured() {
    for (doubt, served) in [(Doubt::Load, true), (Doubt::Refuse, false)] {
        let engine = Engine::open();
        let cache = Cache::new(engine.store.clone(), CacheOptions { doubt, ..CacheOptions::default() });
        let script = Arc::new(Script::with_validators());
        script.depend_on(&["scope:test"]);
        script.set("x:a", "a");
        cache.register("x", script.clone());
        let key: Key = "x:a".parse().unwrap();
        let read = async |level| {
            let options = ReadOptions { level: Some(level), ..ReadOptions::default() };
            cache.get(&key, options).await
        };
        assert!(read(Level::Fresh).await.is_ok());
        let name: Name = "scope:test".parse().unwrap();
        let doubted = vec![Invalidation { name, mark: Mark::InDoubt, event: None }];
        engine.store.publish(Batch::moving(doubted, "a test")).await.unwrap();
        assert_eq!(read(Level::Fresh).await.is_ok(), served, "{doubt:?}");
        assert!(read(Level::Verified).await.is_ok(), "who asks the source is answered");
    }
}

#[tokio::test]
async fn a_synced_value_made_from_what_can_not_be_waited_for_asks_it() {
    let engine = Engine::open();
    let web = Arc::new(Script::to_be_asked());
    engine.events.cache().register("web", web.clone());
    let made = engine.script("made");
    made.join("made:a", &["web:a"]);
    web.set("web:a", "1");
    assert_eq!(engine.get_at("made:a", Level::Synced).await, "1");
    // Nobody tells of it.
    web.set("web:a", "2");
    assert_eq!(engine.get("made:a").await, "1");
    assert_eq!(engine.get_at("made:a", Level::Synced).await, "2");
}
