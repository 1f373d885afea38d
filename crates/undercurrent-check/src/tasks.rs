//! Who works on a world: writers, who vouches for it, those who read, and what happens in gaps.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::broadcast::error::RecvError;
use undercurrent::ablation::Gap;
use undercurrent::cache::{Answer, LoadError, PutOptions, ReadError, ReadOptions, Why};
use undercurrent::store::{Invalidation, Mark, Record};
use undercurrent::{EventStream, Key, Level, Name, Token};

use crate::dice::{one_in, pause, roll};
use crate::history::{Leaf, Operation, Promise, Seen, is_absent};
use crate::workload::Size;
use crate::world::{
    Clock, Focus, Kind, LEAVES, Node, WITHOUT_EVENTS, World, derived_key, leaf_key, leaf_of, seen, text_of,
};

/// How old a `bounded` read may be.
const AGE: Duration = Duration::from_millis(20);

/// The leaf that is put, and the one that events speak of.
const PUT: Leaf = 9;
const STATE: Leaf = 10;

/// The one writer of a leaf.
pub(crate) async fn write(world: Arc<World>, leaf: Leaf, size: Size) {
    for _ in 0..size.writes {
        let kind = LEAVES[leaf as usize];
        let most = if kind == Kind::Put { 12 } else { world.pauses };
        for _ in 0..roll(most * world.slowness(kind)) {
            pause().await;
        }
        if matches!(kind, Kind::Plain | Kind::Parameter) && one_in(4) {
            let left = world.leave_place(leaf);
            // Until it has been told, what has only that name is not reached by any other.
            while world.invalidate(Invalidation::of(left.clone())).await.is_none() {
                pause().await;
            }
            continue;
        }
        if kind == Kind::Put && one_in(4) {
            put_anew(&world).await;
            continue;
        }
        if write_in_doubt(&world, leaf) || kind == Kind::Timed {
            continue;
        }
        pause().await;
        if one_in(world.silent) {
            continue;
        }
        let before = world.now();
        let version = world.version(leaf);
        let name = if kind == Kind::Put { Name::from(leaf_key(leaf)) } else { world.any_name(leaf) };
        let Some(token) = world.invalidate(Invalidation::of(name)).await else { continue };
        let end = world.announced(leaf, version);
        *world.token.lock() =
            Some((token, if matches!(world.clock, Clock::Ticks(_)) { end + 1 } else { before }));
    }
}

/// Goes on as the one writer of a leaf, after another process that may have ended between any two steps.
pub(crate) async fn take_over(world: Arc<World>, leaf: Leaf, size: Size) {
    // What that one had not told yet: a place that was left is not known to anybody any more.
    let name = world.steady_name(leaf);
    while world.invalidate(Invalidation::of(name.clone())).await.is_none() {
        pause().await;
    }
    write(world, leaf, size).await;
}

/// Writes, and says whether nobody need be told, since nobody may rely on being told.
fn write_in_doubt(world: &World, leaf: Leaf) -> bool {
    let in_doubt = world.in_doubt.read();
    let version = world.write(leaf);
    let told_by_nobody = *in_doubt && matches!(LEAVES[leaf as usize], Kind::Plain | Kind::Parameter);
    if told_by_nobody {
        world.announced(leaf, version);
    }
    told_by_nobody
}

/// Writes the leaf that is put, and puts it.
async fn put_anew(world: &World) {
    let version = world.write(PUT);
    let value = Bytes::from(text_of(PUT, version));
    if world.node().cache.put(&leaf_key(PUT), value, PutOptions::default()).await.is_ok() {
        world.announced(PUT, version);
    }
}

/// Whoever vouches for the world, and at times does not.
pub(crate) async fn doubt(world: Arc<World>, size: Size) {
    let scope = || Name::scope("world");
    let in_doubt = || Invalidation { name: scope(), mark: Mark::InDoubt, event: None };
    for _ in 0..size.writes / 8 {
        for _ in 0..world.calm * world.slowness(Kind::Plain) {
            pause().await;
        }
        if world.invalidate_at(&world.nodes[0], in_doubt()).await.is_some() {
            *world.in_doubt.write() = true;
        }
        for _ in 0..20 {
            pause().await;
            if one_in(10) {
                // Says that all of it has changed, not that somebody watches it again.
                world.invalidate(Invalidation::of(scope())).await;
            }
        }
        *world.in_doubt.write() = false;
        while !vouch(&world).await {
            pause().await;
        }
    }
}

/// Says that the world is watched, always by the same node: a scope has one owner. Returns whether that was taken.
pub(crate) async fn vouch(world: &World) -> bool {
    let vouched = Invalidation { name: Name::scope("world"), mark: Mark::Vouched, event: None };
    world.invalidate_at(&world.nodes[0], vouched).await.is_some()
}

/// The one writer of the leaf whose source is the log.
pub(crate) async fn say(world: Arc<World>, events: Vec<EventStream>, size: Size) {
    for _ in 0..size.writes {
        for _ in 0..roll(world.pauses) {
            pause().await;
        }
        let node = if events.len() > 1 { roll(events.len() as u64) as usize } else { 0 };
        say_next(&world, &events[node]).await;
    }
}

/// Says the next version. The first is said before anybody reads: until then the key is not there.
pub(crate) async fn say_next(world: &World, events: &EventStream) {
    let begin = world.now();
    let version = world.begin_write(STATE);
    let json =
        if is_absent(version) { "null".to_owned() } else { format!("\"{}\"", text_of(STATE, version)) };
    events.put(&leaf_key(STATE), json.into(), PutOptions::default()).await.expect("the log accepts events");
    world.record(Operation::Write { leaf: STATE, version, begin, end: world.now() });
    world.announced(STATE, version);
}

/// Sees events as they become visible, until the last one has been seen.
pub(crate) async fn observe(
    world: Arc<World>,
    mut events: tokio::sync::broadcast::Receiver<Record>,
    size: Size,
) {
    loop {
        let record = match events.recv().await {
            Ok(record) => record,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let at = world.now();
        // One that takes the leaf away does not say which version that is.
        let Some(version) = version_of(&record) else { continue };
        world.record(Operation::Visible { leaf: STATE, version, at });
        if version > size.writes {
            return;
        }
    }
}

/// Reads from an event which version it speaks of.
fn version_of(record: &Record) -> Option<u64> {
    let event: serde_json::Value = serde_json::from_slice(&record.json).ok()?;
    let text = event.get("data")?.as_str()?;
    match seen(&leaf_key(STATE), Some(text))[..] {
        [(_, Seen::Version(version))] => Some(version),
        _ => None,
    }
}

/// Picks a key to read: mostly of those that the seed cares for, so that what takes several of them happens.
fn pick(focus: Focus, with_events: bool) -> Key {
    if one_in(4) {
        return pick_any(with_events);
    }
    match focus {
        Focus::Any => pick_any(with_events),
        Focus::Leaves => leaf_key(roll(3) as Leaf),
        Focus::Middle if one_in(2) => leaf_key(roll(2) as Leaf),
        Focus::Middle => derived_key(0),
        Focus::Put => leaf_key(PUT),
        Focus::Timed if one_in(3) => leaf_key(7 + roll(2) as Leaf),
        Focus::Timed => derived_key(4 + roll(2) as usize),
        Focus::Top if one_in(2) => derived_key(roll(4) as usize),
        Focus::Top => leaf_key(roll(4) as Leaf),
    }
}

fn pick_any(with_events: bool) -> Key {
    let leaves = if with_events { LEAVES.len() } else { LEAVES.len() - 1 };
    let derived = if with_events { WITHOUT_EVENTS + 1 } else { WITHOUT_EVENTS };
    match roll(10) {
        0..3 => leaf_key(roll(4) as Leaf),
        3 => leaf_key(7 + roll(leaves as u64 - 7) as Leaf),
        4..6 => derived_key(roll(3) as usize),
        6 => derived_key(3 + roll(derived as u64 - 3) as usize),
        7 if with_events => leaf_key(STATE),
        _ => derived_key(3),
    }
}

/// Picks how to read a key.
fn pick_options(world: &World, key: &Key) -> (ReadOptions, Option<u64>) {
    let from_source = key.kind() == "w" && *key != derived_key(6) && *key != derived_key(7);
    let mut options = ReadOptions { level: Some(Level::Fresh), ..ReadOptions::default() };
    let mut since = None;
    match roll(24) {
        8..14 if from_source && world.focus == Focus::Leaves => options.level = Some(Level::Verified),
        0 => options.level = Some(Level::Local),
        1 | 2 if from_source => options.level = Some(Level::Verified),
        3 if from_source => options.level = Some(Level::Synced),
        4 if from_source => options.reload = true,
        5 => options.level = Some(Level::Bounded(AGE)),
        6 => options.stale_on_error = true,
        7 => {
            if let Some((token, time)) = *world.token.lock() {
                let token: Token = token;
                options = ReadOptions { level: Some(Level::Local), after: Some(token), ..options };
                since = Some(time);
            }
        }
        _ => {}
    }
    (options, since)
}

/// What an answer promises.
fn promise(world: &World, answer: &Answer, options: ReadOptions, since: Option<u64>, begin: u64) -> Promise {
    if answer.why() == Why::StaleOnError {
        return Promise::OnError { asked: options.stale_on_error };
    }
    match (since, options.level) {
        (Some(time), _) => Promise::AnnouncedBefore(time),
        (None, Some(Level::Local)) => Promise::Nothing,
        (None, Some(Level::Bounded(age))) => Promise::AnnouncedBefore(begin.saturating_sub(world.span(age))),
        (None, Some(Level::Synced)) => Promise::Written,
        (None, Some(Level::Verified)) => Promise::Instant,
        (None, Some(Level::Fresh) | None) => Promise::Announced,
    }
}

/// Reads one key after another.
pub(crate) async fn read(world: Arc<World>, with_events: bool, size: Size) {
    for _ in 0..size.reads {
        pause().await;
        let key = pick(world.focus, with_events);
        let (options, since) = pick_options(&world, &key);
        let floor = if key.kind() == "p" { world.version(leaf_of(&key)) } else { 0 };
        let node = world.node();
        let begin = world.now();
        match node.cache.get(&key, options).await {
            Ok(answer) => {
                let end = world.now();
                let promise = promise(&world, &answer, options, since, begin);
                let saw = seen(&key, answer.text());
                found(&world, &key, options, promise, &saw);
                world.record(Operation::Read { promise, saw, begin, end });
            }
            Err(ReadError::Load(LoadError::Missing { key: missing, at })) if missing == key => {
                fill(&world, node, &key, at, floor).await;
            }
            // The sources moved during every try, or are away: said, not guessed.
            Err(_) => {}
        }
    }
}

/// Records what a read found out for itself: that is announced to all that depend on it. Where entries are dropped
/// there may have been nothing to compare with; on many threads as well, where the only load that holds the old value may be one
/// that is not kept: then no position is taken, and a `fresh` read may still join it.
fn found(world: &World, key: &Key, options: ReadOptions, promise: Promise, saw: &[(Leaf, Seen)]) {
    let is_leaf = key.rest().starts_with("leaf/");
    if world.tiny
        || matches!(world.clock, Clock::Wall(_))
        || promise != Promise::Instant && !(options.reload && is_leaf && promise == Promise::Announced)
    {
        return;
    }
    for &(leaf, seen) in saw {
        if let Seen::Version(version) = seen {
            world.announced(leaf, version);
        }
    }
}

/// Fills a key from outside, as of the miss. What was the newest before the miss is the oldest that can be read after it:
/// two who fill one key and do not agree leave nothing.
async fn fill(world: &World, node: &Node, key: &Key, at: Token, floor: u64) {
    pause().await;
    let leaf = leaf_of(key);
    let value = Bytes::from(text_of(leaf, world.version(leaf)));
    // Some take long, so that others overtake them.
    for _ in 0..if one_in(3) { roll(60) } else { 2 } {
        pause().await;
    }
    if node.cache.put(key, value, PutOptions { ticket: Some(at), ..PutOptions::default() }).await.is_ok()
        && !world.tiny
    {
        world.announced(leaf, floor);
    }
}

/// Works between two steps of the engine: reads what is in memory, or writes and invalidates.
pub(crate) fn work_in_gap(world: &World, gap: Gap) {
    match roll(12) {
        0 => read_in_gap(world),
        1 if gap == Gap::Open => write_in_gap(world),
        _ => {}
    }
}

fn read_in_gap(world: &World) {
    let key = pick(world.focus, false);
    let options = ReadOptions { level: Some(Level::Fresh), ..ReadOptions::default() };
    let begin = world.now();
    if let Some(answer) = world.node().cache.hit(&key, options) {
        let (promise, saw) = (Promise::Announced, seen(&key, answer.text()));
        world.record(Operation::Read { promise, saw, begin, end: world.now() });
    }
}

fn write_in_gap(world: &World) {
    let leaf = roll(7) as Leaf;
    if write_in_doubt(world, leaf) {
        return;
    }
    let version = world.version(leaf);
    let told = world.invalidate(Invalidation::of(world.steady_name(leaf))).now_or_never();
    if told.flatten().is_some() {
        world.announced(leaf, version);
    }
}
