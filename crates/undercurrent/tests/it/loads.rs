//! How much is asked of the sources at once, and how soon again after a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::sync::Semaphore;
use undercurrent::Key;
use undercurrent::cache::{Inputs, LoadError, Loaded, Loader};
use undercurrent::types::ErrorCode;

use crate::kit::Engine;

/// Two loads at once. `n:…/fails` fails, `n:…/<depth>` reads the one below, and all others wait at the gate.
struct Narrow {
    running: AtomicUsize,
    most: AtomicUsize,
    loads: AtomicUsize,
    fails: std::sync::atomic::AtomicBool,
    gate: Semaphore,
}

impl Narrow {
    fn register(engine: &Engine) -> Arc<Self> {
        let narrow = Arc::new(Self {
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            loads: AtomicUsize::new(0),
            fails: true.into(),
            gate: Semaphore::new(0),
        });
        engine.events.cache().register("n", narrow.clone());
        narrow
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

impl Loader for Narrow {
    fn name(&self) -> &'static str {
        "narrow"
    }

    fn at_once(&self) -> usize {
        2
    }

    fn load<'a>(&'a self, key: &'a Key, inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        Box::pin(async move {
            self.loads.fetch_add(1, Ordering::SeqCst);
            if key.rest().ends_with("fails") && self.fails.load(Ordering::SeqCst) {
                return Err(LoadError::Unavailable { key: key.clone(), reason: "it is away".to_owned() });
            }
            if let Some(depth) = key.rest().strip_prefix("deep/") {
                let depth: usize = depth.parse().unwrap();
                if depth > 0 {
                    let both = [format!("n:deep/{}", depth - 1), format!("n:deep/{}", depth / 2)];
                    let both: Vec<Key> = both.iter().map(|text| text.parse().unwrap()).collect();
                    for read in join_all(both.iter().map(|key| inputs.get(key))).await {
                        read?;
                    }
                }
            }
            if key.rest().starts_with("held/") {
                let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(running, Ordering::SeqCst);
                self.gate.acquire().await.unwrap().forget();
                self.running.fetch_sub(1, Ordering::SeqCst);
            }
            Ok(Loaded { value: Some("x".into()), ..Loaded::default() })
        })
    }
}

async fn fails(engine: &Engine, key: &str) -> LoadError {
    use undercurrent::event_stream::ContextError;
    let error: ContextError = engine.events.get_app_context(key).await.unwrap_err();
    assert_eq!(error.body().code, ErrorCode::Unavailable);
    match error.reason() {
        undercurrent::event_stream::ContextReason::Read(undercurrent::cache::ReadError::Load(error)) => {
            error.clone()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_more_loads_of_a_kind_run_at_once_than_it_says() {
    let engine = Engine::open();
    let narrow = Narrow::register(&engine);
    let keys: Vec<Key> = (0..10).map(|n| format!("n:held/{n}").parse().unwrap()).collect();
    let reads = join_all(keys.iter().map(async |key| engine.events.get_app_context(key).await.unwrap()));
    let opening = async {
        while narrow.running.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        narrow.gate.add_permits(keys.len());
    };
    tokio::join!(reads, opening);
    assert_eq!((narrow.most.load(Ordering::SeqCst), narrow.loads()), (2, 10));
}

#[tokio::test]
async fn loads_that_read_each_other_need_no_more_places_than_there_are() {
    let engine = Engine::open();
    Narrow::register(&engine);
    let keys: Vec<Key> = (0..40).rev().map(|n| format!("n:deep/{n}").parse().unwrap()).collect();
    for answer in join_all(keys.iter().map(async |key| engine.events.get_app_context(key).await)).await {
        assert_eq!(answer.unwrap().text(), Some("x"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_is_asked_more_and_more_seldom_and_keeps_no_other_from_being_read() {
    let engine = Engine::open();
    let narrow = Narrow::register(&engine);
    fails(&engine, "n:fails").await;
    fails(&engine, "n:fails").await;
    assert_eq!(narrow.loads(), 2);
    for _ in 0..1000 {
        assert!(matches!(fails(&engine, "n:fails").await, LoadError::BackingOff { .. }));
    }
    assert_eq!(narrow.loads(), 2, "a hot key that fails is answered without its source");
    assert_eq!(engine.get("n:other").await, "x");
    tokio::time::advance(Duration::from_millis(101)).await;
    assert!(matches!(fails(&engine, "n:fails").await, LoadError::Unavailable { .. }));
    tokio::time::advance(Duration::from_millis(101)).await;
    assert!(matches!(fails(&engine, "n:fails").await, LoadError::BackingOff { .. }));
    narrow.fails.store(false, Ordering::SeqCst);
    tokio::time::advance(Duration::from_millis(101)).await;
    assert_eq!(engine.get("n:fails").await, "x");
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_or_a_reload_asks_a_failing_key_at_once() {
    let engine = Engine::open();
    let narrow = Narrow::register(&engine);
    for _ in 0..3 {
        fails(&engine, "n:fails").await;
    }
    assert_eq!(narrow.loads(), 2);
    assert!(engine.events.get_app_context("n:fails").reload().await.is_err());
    assert_eq!(narrow.loads(), 3);
    narrow.fails.store(false, Ordering::SeqCst);
    engine.invalidate("n:fails").await;
    assert_eq!(engine.get("n:fails").await, "x");
}
