//! What freshness costs: names in the closure, asking the file system, and invalidations of other keys.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use undercurrent::cache::{CacheOptions, Inputs, LoadError, Loaded, Loader, ReadOptions};
use undercurrent::types::SessionName;
use undercurrent::{Config, EventStream, Key, Level, Name};

use crate::{median, row};

/// Loads a value that depends on as many tags as the key says, and on one that all keys of `many` share.
struct Tagged;

impl Loader for Tagged {
    fn name(&self) -> &'static str {
        "tagged"
    }

    fn default_level(&self) -> Level {
        Level::Fresh
    }

    fn offers(&self, _key: &Key, _level: Level) -> Result<(), String> {
        Ok(())
    }

    fn load<'a>(&'a self, key: &'a Key, _inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        let path = key.as_str().split_once(':').map_or("", |(_, path)| path);
        let tags = path.split_once('/').map_or("0", |(tags, _)| tags);
        let names = match tags.parse::<usize>() {
            Ok(count) => (0..count).map(|i| tag(&format!("t{i}"))).collect(),
            Err(_) => vec![tag("all")],
        };
        let value = Some(Bytes::from_static(b"x"));
        Box::pin(async move { Ok(Loaded { value, names, ..Loaded::default() }) })
    }
}

fn tag(text: &str) -> Name {
    Name::tag(text).expect("it is a tag")
}

fn key(text: &str) -> Key {
    text.parse().expect("it is a key")
}

/// Subject and peer in turns: times of one call in nanoseconds, and their ratios.
struct Turns {
    ours: Vec<f64>,
    peers: Vec<f64>,
    ratios: Vec<f64>,
}

impl Turns {
    fn take(rounds: usize, mut our: impl FnMut() -> f64, mut peer: impl FnMut() -> f64) -> Self {
        let mut turns = Self { ours: Vec::new(), peers: Vec::new(), ratios: Vec::new() };
        for _ in 0..rounds {
            let (our, peer) = (our(), peer());
            turns.ours.push(our);
            turns.peers.push(peer);
            turns.ratios.push(our / peer);
        }
        turns
    }

    fn print(mut self, work: &str, peer: &str, goal: &str) {
        let our = format!("{:.1} ns", median(&mut self.ours));
        let peer = format!("{:.1} ns, {peer}", median(&mut self.peers));
        row(work, &our, &peer, median(&mut self.ratios), goal);
    }
}

/// Returns the nanoseconds of one of so many calls.
fn each(calls: usize, mut call: impl FnMut(usize)) -> f64 {
    let start = Instant::now();
    (0..calls).for_each(&mut call);
    start.elapsed().as_secs_f64() * 1e9 / calls as f64
}

const KEYS: usize = 1000;

pub(crate) fn run(rounds: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let (root, data) = (dir.path().join("root"), dir.path().join("data"));
    std::fs::create_dir(&root).expect("a directory");
    let file = root.canonicalize().expect("a directory").join("file");
    std::fs::write(&file, [b'x'; 10 << 10]).expect("a file");
    // Room for the 10⁶ entries of a tag.
    let cache = CacheOptions { weight: 2 << 30, ..CacheOptions::default() };
    let config = Config { data: Some(data), roots: vec![root], cache, ..Config::default() };
    let events = runtime.block_on(EventStream::open(config)).expect("an engine");
    events.cache().register("x", Arc::new(Tagged));

    closure(&runtime, &events, rounds);
    storm(&runtime, &events, rounds);
    verified(&runtime, &events, &file, rounds);
    tag_of_many(&runtime, &events, rounds);
    explain(&runtime, &events, rounds);
    changes(&runtime, &events, rounds);
    runtime.block_on(events.close());
}

fn loaded(runtime: &tokio::runtime::Runtime, events: &EventStream, texts: &[String]) -> Vec<Key> {
    let keys: Vec<Key> = texts.iter().map(|text| key(text)).collect();
    for key in &keys {
        runtime.block_on(async { events.get_app_context(key).await.expect("a value") });
    }
    keys
}

fn hits<'a>(events: &'a EventStream, keys: &'a [Key]) -> impl FnMut() -> f64 + 'a {
    let options = ReadOptions { level: Some(Level::Fresh), ..ReadOptions::default() };
    move || {
        each(200_000, |i| {
            black_box(events.cache().hit(black_box(&keys[i % keys.len()]), options).expect("a hit"));
        })
    }
}

/// Hits with 0, 1 and 20 names beside the key's own, while nothing moves.
fn closure(runtime: &tokio::runtime::Runtime, events: &EventStream, rounds: usize) {
    let of = |tags: usize| -> Vec<Key> {
        let texts: Vec<_> = (0..KEYS).map(|i| format!("x:{tags}/{i:04}")).collect();
        loaded(runtime, events, &texts)
    };
    let none = of(0);
    for tags in [1, 20] {
        let keys = of(tags);
        // The first hit after the others were loaded looks at the floors.
        let _ = (hits(events, &keys)(), hits(events, &none)());
        let work = format!("hit at `fresh`, {tags} names in the closure, nothing moved");
        Turns::take(rounds, hits(events, &keys), hits(events, &none)).print(&work, "with none", "equal");
    }
}

/// Hits while another thread makes 1000 other keys stale in each second, beside hits while it does not.
#[expect(clippy::disallowed_methods, reason = "a rate is kept by a clock")]
fn storm(runtime: &tokio::runtime::Runtime, events: &EventStream, rounds: usize) {
    let texts: Vec<_> = (0..KEYS).map(|i| format!("x:20/storm/{i:04}")).collect();
    let keys = loaded(runtime, events, &texts);
    let (blowing, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = 0_u64;
            while !ended.load(Ordering::Relaxed) {
                if blowing.load(Ordering::Relaxed) {
                    other += 1;
                    let name = Name::from(&key(&format!("x:0/other/{other}")));
                    runtime.block_on(events.invalidate(vec![name])).expect("it is in force");
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let mut with = hits(events, &keys);
        let mut without = hits(events, &keys);
        let turns = Turns::take(
            rounds,
            || {
                blowing.store(true, Ordering::Relaxed);
                let time = with();
                blowing.store(false, Ordering::Relaxed);
                time
            },
            &mut without,
        );
        ended.store(true, Ordering::Relaxed);
        let work = "hit at `fresh`, 20 names, 1000 invalidations of other keys a second";
        turns.print(work, "without them", "≤ 1.2");
    });
}

/// A hit that asks the file system, beside a bare `statx` of the same file.
#[expect(clippy::disallowed_methods, reason = "what has settled is a matter of the clock")]
fn verified(runtime: &tokio::runtime::Runtime, events: &EventStream, file: &std::path::Path, rounds: usize) {
    let key = key(&format!("file:{}", file.display()));
    let options = ReadOptions { level: Some(Level::Verified), ..ReadOptions::default() };
    // A file that changed a moment ago is read at each ask; wait until its stamp vouches for it.
    let settled = Instant::now() + Duration::from_secs(10);
    while events.cache().hit(&key, options).is_none() && Instant::now() < settled {
        runtime.block_on(async { events.get_app_context(&key).with(options).await.expect("a value") });
        std::thread::sleep(Duration::from_millis(100));
    }
    let our = || {
        each(20_000, |_| {
            black_box(events.cache().hit(black_box(&key), options).expect("a hit"));
        })
    };
    let (flags, mask) = (rustix::fs::AtFlags::empty(), rustix::fs::StatxFlags::BASIC_STATS);
    let peer = || {
        each(20_000, |_| {
            black_box(rustix::fs::statx(rustix::fs::CWD, black_box(file), flags, mask).expect("a stat"));
        })
    };
    Turns::take(rounds, our, peer).print("hit at `verified`, file of 10 KiB", "bare `statx`", "≤ 1.5");
}

/// Making a tag stale that 10⁶ entries hang on, beside one with a single entry.
fn tag_of_many(runtime: &tokio::runtime::Runtime, events: &EventStream, rounds: usize) {
    const MANY: usize = 1_000_000;
    for i in 0..MANY {
        let key = key(&format!("x:all/{i}"));
        runtime.block_on(async { events.get_app_context(key).await.expect("a value") });
    }
    let (kept, _) = events.cache().size();
    loaded(runtime, events, &["x:1/single".to_owned()]);
    let invalidate = |name: &'static str| {
        move || {
            each(1000, |_| {
                runtime.block_on(events.invalidate(vec![tag(name)])).expect("it is in force");
            })
        }
    };
    let work = format!("invalidation of a tag with 10⁶ entries behind it ({kept} in memory)");
    Turns::take(rounds, invalidate("all"), invalidate("t0")).print(&work, "with one", "equal");
}

/// Explaining a key, beside the limit.
fn explain(runtime: &tokio::runtime::Runtime, events: &EventStream, rounds: usize) {
    let keys = loaded(runtime, events, &["x:20/explained".to_owned()]);
    let our = || {
        each(100, |_| {
            black_box(runtime.block_on(events.explain(&keys[0])).expect("an explanation"));
        })
    };
    let limit = || 10e6;
    Turns::take(rounds, our, limit).print("`explain`, 21 names", "the limit", "< 1");
}

/// Asking for the changes of a session that was given 10⁴ keys, none of which has changed, beside the limit.
fn changes(runtime: &tokio::runtime::Runtime, events: &EventStream, rounds: usize) {
    let session: SessionName = "session".parse().expect("a session");
    for i in 0..10_000 {
        let key = key(&format!("x:1/given/{i}"));
        let read = async { events.get_app_context(key).session(session.clone()).await.expect("a value") };
        runtime.block_on(read);
    }
    let our = || {
        each(1, |_| {
            let notice = runtime.block_on(events.changes(&session, false));
            assert!(notice.changes.is_empty(), "nothing has changed");
        })
    };
    let limit = || 10e6;
    Turns::take(rounds, our, limit).print("`changes` of 10⁴ keys, nothing changed", "the limit", "< 1");
}
