//! Those who use the streams of a world.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::door::{Follow, Next};
use super::history::{Operation, Place, Stream, Time};
use super::world::{STREAMS, World};
use crate::dice::{one_in, pause, roll};

/// How long one who follows is waited for at the end: only what broke a promise takes that long.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than a live ring holds.
const BURST: usize = 1100;

fn any_stream() -> Stream {
    roll(u64::from(STREAMS)) as Stream
}

/// Appends events: new ones, repeats, and ones that expect something of the stream; some callers do not wait.
pub(crate) async fn write(world: Arc<World>, appends: u64) {
    for _ in 0..appends {
        pause().await;
        let stream = any_stream();
        let (way, mut expected) = (world.way(), None);
        let mut ids = vec![];
        match roll(10) {
            0..2 => ids.extend(world.recent_id(stream, roll(6))),
            2..5 => expected = Some(world.told(stream).seq + if one_in(4) { roll(3) } else { 0 }),
            5 => ids.extend([world.new_id(stream), world.new_id(stream)]),
            _ => {}
        }
        if ids.is_empty() {
            ids.push(world.new_id(stream));
        }
        let begin = world.now();
        let mut append = pin!(way.door.append(world.name(stream), &ids, expected));
        let answers = if one_in(12) {
            tokio::select! { biased; answers = &mut append => answers, () = pause() => Vec::new() }
        } else {
            append.await
        };
        world.record_append(&way, stream, (&ids, expected), (begin, &answers));
    }
    world.writing.fetch_sub(1, Ordering::SeqCst);
}

/// Appends at once more than a live ring holds.
pub(crate) async fn burst(world: Arc<World>) {
    for _ in 0..20 {
        pause().await;
    }
    let (stream, way) = (any_stream(), world.way());
    let ids: Vec<_> = (0..BURST).map(|_| world.new_id(stream)).collect();
    let begin = world.now();
    let answers = way.door.append(world.name(stream), &ids, None).await;
    world.record_append(&way, stream, (&ids, None), (begin, &answers));
}

/// Reads pages, and asks for the last events.
pub(crate) async fn read(world: Arc<World>, reads: u64) {
    for _ in 0..reads {
        pause().await;
        let stream = any_stream();
        let told = world.told(stream);
        let way = world.way();
        let begin = world.now();
        if one_in(3) {
            if let Some(tail) = way.door.tail(world.name(stream)).await {
                world.record(&way, stream, |end| (Operation::Tail { stream, tail, begin, end }, Some(tail)));
            }
            continue;
        }
        let after =
            (told.seq > 0 && !one_in(6)).then(|| Place { seq: told.seq.saturating_sub(roll(9)), ..told });
        read_page(&world, stream, after, if one_in(2) { 3 } else { 500 }).await;
    }
}

async fn read_page(
    world: &World,
    stream: Stream,
    after: Option<Place>,
    limit: usize,
) -> Option<(Option<Place>, bool)> {
    let way = world.way();
    let begin = world.now();
    let (saw, at_tail) = way.door.page(world.name(stream), after, limit).await?;
    let last = saw.last().map(|(place, _)| *place);
    let recorded =
        world.record(&way, stream, |end| (Operation::Page { stream, after, saw, at_tail, begin, end }, last));
    recorded.then_some((last.or(after), at_tail))
}

/// Reads all that there is.
pub(crate) async fn read_all(world: &World) {
    for stream in 0..STREAMS {
        let mut after = None;
        while let Some((last, false)) = read_page(world, stream, after, 500).await {
            after = last;
        }
    }
}

/// Follows a stream until all is done, across all ends; slow ones fall behind what the live ring holds.
pub(crate) async fn follow(world: Arc<World>, reader: u32) {
    let stream = any_stream();
    let mut follower = Follower { reader, stream, is_slow: one_in(2), after: None, since: 0 };
    let opened = Operation::Opened { reader, stream, after: Place::default() };
    world.record(&world.way(), stream, |_| (opened, None));
    while !follower.follow_one(&world).await {
        tokio::task::yield_now().await;
    }
    let reached = Operation::Reached { reader, since: follower.since };
    world.record(&world.way(), stream, |_| (reached, None));
}

struct Follower {
    reader: u32,
    stream: Stream,
    is_slow: bool,
    after: Option<Place>,
    /// When it was last looked whether all is done and given.
    since: Time,
}

impl Follower {
    /// Follows through one door until that ends; says whether all is over.
    async fn follow_one(&mut self, world: &World) -> bool {
        let (way, reader, since) = (world.way(), self.reader, world.now());
        let Some(mut followed) = way.door.follow(world.name(self.stream), self.after).await else {
            return self.is_over(world);
        };
        loop {
            match self.next(world, &mut *followed).await {
                Some(Next::Event(place, id)) => {
                    let delivered = |at| (Operation::Delivered { reader, place, id, at }, Some(place));
                    if !world.record(&way, self.stream, delivered) {
                        return false;
                    }
                    self.after = Some(place);
                }
                Some(Next::CaughtUp) => {
                    world.record(&way, self.stream, |_| (Operation::Reached { reader, since }, None));
                }
                Some(Next::Gap) => {
                    return world.record(&way, self.stream, |_| (Operation::Missed { reader }, None));
                }
                Some(Next::Ended) => return false,
                None => return true,
            }
            for _ in 0..if self.is_slow { roll(40) } else { 0 } {
                pause().await;
            }
        }
    }

    /// Waits for what comes next; for nothing once all is done and given. Who is not given all in time has missed
    /// something.
    async fn next(&mut self, world: &World, followed: &mut dyn Follow) -> Option<Next> {
        let mut done = world.done.subscribe();
        loop {
            if self.is_over(world) {
                return None;
            }
            if *done.borrow_and_update() {
                return tokio::time::timeout(PATIENCE, followed.next()).await.ok();
            }
            tokio::select! { biased;
                next = followed.next() => return Some(next),
                _ = done.changed() => {}
            }
        }
    }

    fn is_over(&mut self, world: &World) -> bool {
        self.since = world.now();
        *world.done.borrow() && self.after.unwrap_or_default() >= world.told(self.stream)
    }
}
