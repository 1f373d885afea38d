//! From publishing to a subscriber in the same process, beside one hop of a bare `tokio::sync::broadcast`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, broadcast};
use undercurrent::event_stream::Outgoing;
use undercurrent::stream::Delivery;
use undercurrent::{Config, Durability, EventStream};

use crate::{Turns, message, row};

const HOPS: usize = 1000;

pub(crate) fn run(rounds: usize) {
    let several = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    measure(&several, rounds, "to a task on another thread");
    let one = Builder::new_current_thread().enable_all().build().expect("a runtime");
    measure(&one, rounds, "to a task on the same thread");
}

/// What the two sides of a hop share.
#[derive(Clone)]
struct Clock {
    began: Instant,
    /// When the last hop began, in nanoseconds.
    sent: Arc<AtomicU64>,
    /// The time of the last hop.
    took: Arc<AtomicU64>,
    /// Given by the receiver at the end of each hop.
    arrived: Arc<Semaphore>,
}

impl Clock {
    fn new() -> Self {
        let arrived = Arc::new(Semaphore::new(0));
        Self { began: Instant::now(), sent: Arc::default(), took: Arc::default(), arrived }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn send(&self) {
        self.sent.store(self.now(), Ordering::Release);
    }

    fn arrive(&self) {
        self.took.store(self.now() - self.sent.load(Ordering::Acquire), Ordering::Release);
        self.arrived.add_permits(1);
    }

    /// Waits until the hop has ended, and returns its time.
    async fn ended(&self) -> f64 {
        self.arrived.acquire().await.expect("it is never closed").forget();
        self.took.load(Ordering::Acquire) as f64
    }
}

fn measure(runtime: &Runtime, rounds: usize, name: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    runtime.block_on(async {
        let config = Config { data: Some(dir.path().to_owned()), ..Config::default() };
        let events = EventStream::open(config).await.expect("an engine");
        events.publish_with(vec![event()], Vec::new(), "").await.expect("an acknowledgement");
        let ours = Clock::new();
        let mut subscription = events.subscribe("sessions/hop").from_now().await.expect("a subscription");
        assert!(matches!(subscription.next().await, Ok(Delivery::CaughtUp(_))));
        let at_its_end = ours.clone();
        tokio::spawn(async move {
            while let Ok(Delivery::Event(_)) = subscription.next().await {
                at_its_end.arrive();
            }
        });
        let bare = Clock::new();
        let (payload_tx, mut payload_rx) = broadcast::channel::<Bytes>(1024);
        let at_its_end = bare.clone();
        tokio::spawn(async move {
            while payload_rx.recv().await.is_ok() {
                at_its_end.arrive();
            }
        });
        let payload = Bytes::from(event().event.to_json());
        let (mut halves, mut most) = (Turns::default(), Turns::default());
        for _ in 0..rounds {
            let (mut peers, mut our) = (Vec::with_capacity(HOPS), Vec::with_capacity(HOPS));
            for _ in 0..HOPS {
                bare.send();
                payload_tx.send(payload.clone()).expect("somebody receives");
                peers.push(bare.ended().await);
            }
            for _ in 0..HOPS {
                let event = vec![event()];
                ours.send();
                events.publish_with(event, Vec::new(), "").await.expect("an acknowledgement");
                our.push(ours.ended().await);
            }
            halves.add(at(&mut our, 0.5), at(&mut peers, 0.5));
            most.add(at(&mut our, 0.99), at(&mut peers, 0.99));
        }
        for (turns, part) in [(halves, "p50"), (most, "p99")] {
            let (our, peer, ratio) = turns.medians();
            let time = |nanoseconds: f64| format!("{:.2} µs", nanoseconds / 1000.0);
            let work = format!("publish → subscriber, stream `memory`, {name}, {part}");
            row(&work, &time(our), &format!("{}, `broadcast`", time(peer)), ratio, "≤ 2");
        }
        events.close().await;
    });
}

fn event() -> Outgoing {
    message("sessions/hop", 254, Durability::Memory)
}

fn at(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part) as usize]
}
