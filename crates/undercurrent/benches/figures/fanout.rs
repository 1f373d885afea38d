//! One event to a thousand subscribers: beside a bare `broadcast`, and with ten of them that do not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast};
use undercurrent::stream::{Delivery, Subscription};
use undercurrent::{Config, Durability, EventStream};

use crate::{median, message, row};

const READERS: usize = 1000;
const STALLED: usize = 10;
/// What is sent in one round; after a few rounds it is more than a live ring holds.
const SENT: usize = 64;

/// What the readers of one group took, round by round.
#[derive(Default)]
struct Group {
    sent: Mutex<Option<Instant>>,
    took: Mutex<Vec<f64>>,
    left: AtomicUsize,
    done: Notify,
}

impl Group {
    /// Notes how long an event was on its way to one reader.
    fn received(&self) {
        let sent = self.sent.lock().expect("it was sent");
        self.took.lock().push(sent.elapsed().as_secs_f64());
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    /// Sends one event after the other, each when all readers have the one before, and returns p50 and p99.
    async fn round(&self, readers: usize, mut send: impl AsyncFnMut()) -> [f64; 2] {
        self.took.lock().clear();
        for _ in 0..SENT {
            self.left.store(readers, Ordering::Release);
            *self.sent.lock() = Some(Instant::now());
            send().await;
            self.done.notified().await;
        }
        let mut took = self.took.lock();
        took.sort_by(f64::total_cmp);
        [took[took.len() / 2], took[took.len() * 99 / 100]]
    }
}

/// Prints p50 and p99 of the fan-out with their peers.
pub(crate) fn run(rounds: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    runtime.block_on(async {
        let config = Config { data: Some(dir.path().join("data")), ..Config::default() };
        let events = EventStream::open(config).await.expect("an engine");
        let publish = async |stream: &str| {
            let event = vec![message(stream, 254, Durability::Memory)];
            events.publish_with(event, Vec::new(), "").await.expect("an acknowledgement");
        };
        let (raw, all, some) = (Arc::<Group>::default(), Arc::<Group>::default(), Arc::<Group>::default());
        let (raw_tx, _) = broadcast::channel(1024);
        for _ in 0..READERS {
            tokio::spawn(hear(raw_tx.subscribe(), raw.clone()));
            tokio::spawn(follow(caught_up(&events, "all").await, all.clone()));
        }
        let mut stalled = Vec::new();
        for i in 0..READERS {
            let reader = caught_up(&events, "some").await;
            match i {
                ..STALLED => stalled.push(reader),
                _ => drop(tokio::spawn(follow(reader, some.clone()))),
            }
        }
        let payload = bytes::Bytes::from(vec![b'x'; 600]);
        let mut figures: Vec<[[f64; 2]; 3]> = Vec::new();
        for _ in 0..rounds {
            figures.push([
                raw.round(READERS, async || drop(raw_tx.send(payload.clone()))).await,
                all.round(READERS, async || publish("all").await).await,
                some.round(READERS - STALLED, async || publish("some").await).await,
            ]);
        }
        for (q, name) in ["p50", "p99"].into_iter().enumerate() {
            let of =
                |group: usize| median(&mut figures.iter().map(|round| round[group][q]).collect::<Vec<_>>());
            let ratio = |ours: usize, peer: usize| {
                median(&mut figures.iter().map(|round| round[ours][q] / round[peer][q]).collect::<Vec<_>>())
            };
            let time = |group: usize| {
                format!("{:.0} µs", Duration::from_secs_f64(of(group)).as_nanos() as f64 / 1e3)
            };
            let peer = format!("{}, bare `broadcast`", time(0));
            row(&format!("fan-out 1 → 1000, `memory`, {name}"), &time(1), &peer, ratio(1, 0), "reported");
            let peer = format!("{}, none stalled", time(1));
            let work = format!("the same while 10 of them do not read, {name}");
            row(&work, &time(2), &peer, ratio(2, 1), "1");
        }
        drop(stalled);
        events.close().await;
    });
}

async fn caught_up(events: &EventStream, stream: &str) -> Subscription {
    let mut reader = events.subscribe(stream).await.expect("a subscription");
    while !matches!(reader.next().await, Ok(Delivery::CaughtUp(_))) {}
    reader
}

async fn follow(mut reader: Subscription, group: Arc<Group>) {
    while let Ok(Delivery::Event(_)) = reader.next().await {
        group.received();
    }
}

async fn hear(mut ring: broadcast::Receiver<bytes::Bytes>, group: Arc<Group>) {
    while ring.recv().await.is_ok() {
        group.received();
    }
}
