//! A hit in memory beside a bare `quick_cache` get of the same key.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use undercurrent::cache::{Check, Inputs, LoadError, Loaded, Loader, ReadOptions, Validator};
use undercurrent::{Config, EventStream, Key, Level};

use crate::{Turns, row};

/// Loads the same value for every key.
struct Constant;

impl Loader for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn default_level(&self) -> Level {
        Level::Fresh
    }

    fn offers(&self, _key: &Key, _level: Level) -> Result<(), String> {
        Ok(())
    }

    fn load<'a>(&'a self, _key: &'a Key, _inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        let value = Some(Bytes::from_static(&[b'x'; 1024]));
        Box::pin(async move { Ok(Loaded { value, ..Loaded::default() }) })
    }

    fn check<'a>(&'a self, _: &'a Key, _: &'a Validator) -> BoxFuture<'a, Result<Check, LoadError>> {
        Box::pin(async { Ok(Check::Unchanged) })
    }
}

const KEYS: usize = 1000;
const GETS: usize = 200_000;

/// Prints the row of times for the same number of reads.
fn print(turns: Turns, work: &str) {
    let (our, peer, ratio) = turns.medians();
    let each = |seconds: f64| seconds / GETS as f64 * 1e9;
    row(
        work,
        &format!("{:.1} ns", each(our)),
        &format!("{:.1} ns, `quick_cache` get", each(peer)),
        ratio,
        "≤ 1.5",
    );
}

async fn time(work: impl AsyncFnOnce()) -> f64 {
    let start = Instant::now();
    work().await;
    start.elapsed().as_secs_f64()
}

pub(crate) fn run(rounds: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    runtime.block_on(async {
        let config = Config { data: Some(dir.path().to_owned()), ..Config::default() };
        let events = EventStream::open(config).await.expect("an engine");
        events.cache().register("x", Arc::new(Constant));
        let keys: Vec<Key> =
            (0..KEYS).map(|i| format!("x:some/longer/path/{i}").parse().expect("a key")).collect();
        let raw: quick_cache::sync::Cache<Key, Arc<Bytes>> = quick_cache::sync::Cache::new(16_384);
        for key in &keys {
            events.get_app_context(key).await.expect("a value");
            raw.insert(key.clone(), Arc::new(Bytes::from_static(&[b'x'; 1024])));
        }
        for (name, level) in [("`fresh`", Level::Fresh), ("`local`", Level::Local)] {
            let options = ReadOptions { level: Some(level), ..ReadOptions::default() };
            let (mut bare, mut awaited) = (Turns::default(), Turns::default());
            for _ in 0..rounds {
                let peer = time(async || {
                    for i in 0..GETS {
                        black_box(raw.get(black_box(&keys[i % KEYS])));
                    }
                });
                let peer = peer.await;
                let our = time(async || {
                    for i in 0..GETS {
                        black_box(events.cache().hit(black_box(&keys[i % KEYS]), options).expect("a hit"));
                    }
                });
                bare.add(our.await, peer);
                let our = time(async || {
                    for i in 0..GETS {
                        let answer = events.get_app_context(black_box(&keys[i % KEYS])).with(options).await;
                        black_box(answer.expect("a hit"));
                    }
                });
                awaited.add(our.await, peer);
            }
            print(bare, &format!("hit at {name}, 1000 keys of 1 KiB, `Cache::hit`"));
            print(awaited, &format!("hit at {name}, 1000 keys of 1 KiB, `get_app_context(…).await`"));
        }
        events.close().await;
    });
}
