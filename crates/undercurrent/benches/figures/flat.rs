//! What an append, opening at the tail and subscribing cost with little and with much in the log, in one and in many
//! streams; and what a stream takes of the memory.

use std::path::Path;
use std::time::Instant;

use undercurrent::store::embedded::StoreOptions;
use undercurrent::stream::Delivery;
use undercurrent::{Config, Durability, EventStream};

use crate::start::memory_when_opened;
use crate::{Turns, beside_the_program, message, row};

const STREAMS: u64 = 10_000;
const BATCH: u64 = 250;
/// How often each thing is done in a round.
const TIMES: u64 = 500;

/// A log of its own, open.
struct Filled {
    engine: EventStream,
    events: u64,
    streams: u64,
    /// In the order of what is done.
    turns: [Turns; 3],
}

const DONE: [&str; 3] = ["append, `memory`", "open at the tail", "subscribe and read the last event"];

pub(crate) fn run(rounds: usize, many: u64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = beside_the_program();
    runtime.block_on(async {
        let sizes = [(100, 1), (many, 1), (STREAMS, STREAMS), (many, STREAMS)];
        let mut filled = Vec::new();
        for (events, streams) in sizes {
            let engine = fill(&dir.path().join(format!("{events}-{streams}")), events, streams).await;
            filled.push(Filled { engine, events, streams, turns: Default::default() });
        }
        for round in 0..rounds as u64 {
            let least = measure(&filled[0], round).await;
            for one in &mut filled[1..] {
                let took = measure(one, round).await;
                for (turns, (our, least)) in one.turns.iter_mut().zip(took.into_iter().zip(least)) {
                    turns.add(our, least);
                }
            }
        }
        for one in filled {
            for (turns, done) in one.turns.into_iter().zip(DONE) {
                if one.events > 100 {
                    let (our, peer, ratio) = turns.medians();
                    let work = format!("{done}, {} events in {} streams", one.events, one.streams);
                    row(&work, &format!("{our:.0} ns"), &format!("{peer:.0} ns, 100 in one"), ratio, "equal");
                }
            }
            one.engine.close().await;
        }
        memory(dir.path()).await;
    });
}

async fn open(data: &Path) -> EventStream {
    // Nothing is to be let go meanwhile.
    let store = StoreOptions { clean_every: None, ..StoreOptions::default() };
    let config = Config { data: Some(data.to_owned()), store, ..Config::default() };
    EventStream::open(config).await.expect("an engine")
}

async fn fill(data: &Path, events: u64, streams: u64) -> EventStream {
    let engine = open(data).await;
    for first in (0..events).step_by(BATCH as usize) {
        let ids = first..events.min(first + BATCH);
        let batch = ids.map(|n| message(&stream(n, streams), 120, Durability::Memory)).collect();
        engine.publish_with(batch, Vec::new(), "").await.expect("an acknowledgement");
    }
    engine
}

fn stream(n: u64, streams: u64) -> String {
    format!("sessions/{}", n % streams)
}

/// Does each thing some times, and returns the nanoseconds that one took.
async fn measure(of: &Filled, round: u64) -> [f64; 3] {
    let names: Vec<_> = (0..TIMES).map(|n| stream((round * TIMES + n) * 7919, of.streams)).collect();
    let made: Vec<_> = names.iter().map(|name| vec![message(name, 120, Durability::Memory)]).collect();
    let each = |start: Instant| start.elapsed().as_nanos() as f64 / TIMES as f64;
    let start = Instant::now();
    for event in made {
        of.engine.publish_with(event, Vec::new(), "").await.expect("an acknowledgement");
    }
    let append = each(start);
    let start = Instant::now();
    for name in &names {
        let opened = of.engine.subscribe(name.as_str()).from_now().await.expect("a subscription");
        std::hint::black_box(opened.cursor());
    }
    let open = each(start);
    let start = Instant::now();
    for name in &names {
        let opened = of.engine.subscribe(name.as_str()).from_now().await.expect("a subscription");
        let tail = opened.cursor();
        let before = undercurrent::types::Seq(tail.seq.0 - 1);
        let from = undercurrent::types::Cursor { seq: before, ..tail };
        let mut again = of.engine.subscribe(name.as_str()).from(from).await.expect("a subscription");
        assert!(matches!(again.next().await, Ok(Delivery::Event(record)) if record.cursor == tail));
    }
    [append, open, each(start)]
}

/// Prints what a stream takes of the memory: what as many events take more in as many streams than in one.
async fn memory(dir: &Path) {
    const MANY: u64 = 100_000;
    let mut taken = [0; 2];
    for (taken, streams) in taken.iter_mut().zip([1, MANY]) {
        let data = dir.join(format!("memory-{streams}"));
        fill(&data, MANY, streams).await.close().await;
        *taken = memory_when_opened(&data);
    }
    let each = taken[1].saturating_sub(taken[0]) / MANY;
    println!("| memory of a stream, of {MANY} with one event each | {each} B | | | stated |");
}
