//! A hit in memory beside a bare `quick_cache` get of the same key.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use undercurrent::cache::{Check, Inputs, LoadError, Loaded, Loader, Validator};
use undercurrent::{Config, EventStream, Key, Level};

use crate::{median, row};

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
            let (mut ratios, mut ours, mut peers) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rounds {
                let start = Instant::now();
                for i in 0..GETS {
                    black_box(raw.get(black_box(&keys[i % KEYS])));
                }
                let peer = start.elapsed().as_secs_f64();
                let start = Instant::now();
                for i in 0..GETS {
                    let answer = events.get_app_context(black_box(&keys[i % KEYS])).level(level).await;
                    black_box(answer.expect("a hit"));
                }
                let our = start.elapsed().as_secs_f64();
                ratios.push(our / peer);
                ours.push(our / GETS as f64 * 1e9);
                peers.push(peer / GETS as f64 * 1e9);
            }
            row(
                &format!("hit at {name}, 1000 keys of 1 KiB"),
                &format!("{:.1} ns", median(&mut ours)),
                &format!("{:.1} ns, `quick_cache` get", median(&mut peers)),
                median(&mut ratios),
                "≤ 1.5",
            );
        }
        events.close().await;
    });
}
