//! Subscribers that do not read hold what the live ring holds, and no more. In a program of its own, since it counts what the whole process holds.

use std::sync::Arc;

use peak_alloc::PeakAlloc;
use tokio::sync::watch;
use undercurrent::event_stream::Outgoing;
use undercurrent::stream::{Delivery, Subscription};
use undercurrent::types::Data;
use undercurrent::{Config, Durability, Event, EventStream};

#[global_allocator]
static HELD: PeakAlloc = PeakAlloc;

const READERS: usize = 1000;
const STALLED: usize = 10;
/// Four times what a live ring holds, of 8 KiB each: 32 MiB.
const EVENTS: u64 = 4096;
const SIZE: usize = 8 << 10;
const BATCH: u64 = 64;
/// What is held of events at most, however many there are and whoever does not read: the ring of 1024, which a reader that
/// stalls keeps full, and 4 MiB of the newest.
const NEWEST: usize = 1024 * (SIZE + 1024) + (4 << 20);
/// What else comes with events: blocks of queues, rows of ids.
const SLACK: usize = 4 << 20;

fn batch() -> Vec<Outgoing> {
    let event = |_| {
        let event = Event::new("message".parse().unwrap(), "agent/7".parse().unwrap());
        let data = format!("\"{}\"", "x".repeat(SIZE));
        Outgoing {
            stream: "s".parse().unwrap(),
            event: event.with_data(Data::from_json(data.as_bytes()).unwrap()),
            durability: Some(Durability::Page),
            expected_seq: None,
        }
    };
    (0..BATCH).map(event).collect()
}

async fn caught_up(events: &EventStream) -> Subscription {
    let mut reader = events.subscribe("s").await.unwrap();
    assert!(matches!(reader.next().await.unwrap(), Delivery::CaughtUp(_)));
    reader
}

/// Reads up to a seq; each event has to be the one after the one before.
async fn read_to(reader: &mut Subscription, last: u64) {
    while reader.cursor().seq.0 < last {
        let before = reader.cursor().seq.0;
        match reader.next().await.unwrap() {
            Delivery::Event(record) => assert_eq!(record.cursor.seq.0, before + 1),
            other => panic!("{other:?}"),
        }
    }
}

/// Publishes to readers of which some do not read; returns what more is held at the end than before the first event.
async fn held_with(stalled: usize) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data: Some(dir.path().to_owned()), ..Config::default() };
    let events = EventStream::open(config).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..stalled {
        silent.push(caught_up(&events).await);
    }
    let (wanted_tx, wanted_rx) = watch::channel(0);
    let read_tx = Arc::new(watch::Sender::new(0_usize));
    let mut reading = Vec::new();
    for _ in stalled..READERS {
        let mut reader = caught_up(&events).await;
        let (mut wanted_rx, read_tx) = (wanted_rx.clone(), read_tx.clone());
        reading.push(tokio::spawn(async move {
            while wanted_rx.changed().await.is_ok() {
                let wanted = *wanted_rx.borrow_and_update();
                read_to(&mut reader, wanted).await;
                read_tx.send_modify(|read| *read += 1);
            }
        }));
    }
    let (before, mut read_rx) = (HELD.current_usage(), read_tx.subscribe());
    for round in 1..=EVENTS / BATCH {
        events.publish_with(batch(), Vec::new(), "").await.unwrap();
        wanted_tx.send_replace(round * BATCH);
        // All that read have it, though the others have not taken a single event.
        read_rx.wait_for(|read| *read == round as usize * (READERS - stalled)).await.unwrap();
    }
    let held = HELD.current_usage().saturating_sub(before);
    drop(wanted_tx);
    for reader in reading {
        reader.await.unwrap();
    }
    for mut reader in silent {
        assert_eq!(reader.cursor().seq.0, 0);
        read_to(&mut reader, EVENTS).await;
    }
    events.close().await;
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_of_a_thousand_subscribers_that_stall_hold_the_ring_at_most_and_miss_nothing() {
    let without = held_with(0).await;
    let with = held_with(STALLED).await;
    println!("{without} bytes are held without, {with} with {STALLED} that stall");
    assert!(without <= NEWEST + SLACK, "{without} bytes are held of {EVENTS} events");
    assert!(
        with <= without + SLACK,
        "{with} bytes are held while {STALLED} stall, {without} while none does"
    );
}
