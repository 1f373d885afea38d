//! Appending durable batches beside a program that writes as many bytes to a preallocated file with the same syncs, and
//! the same over many streams beside one.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use tokio::sync::oneshot;
use undercurrent::event_stream::Outgoing;
use undercurrent::{Config, Durability, EventStream};

use crate::{Turns, beside_the_program, message, row};

const STREAMS: usize = 10_000;

/// What is appended in one round.
#[derive(Clone, Copy)]
struct Load {
    producers: usize,
    /// How many events a batch has.
    batch: usize,
    /// How many batches each producer publishes, one after the other.
    batches: usize,
}

impl Load {
    const ALL: [Self; 6] = [
        Self { producers: 1, batch: 1, batches: 20 },
        Self { producers: 1, batch: 16, batches: 20 },
        Self { producers: 1, batch: 256, batches: 20 },
        Self { producers: 16, batch: 1, batches: 20 },
        Self { producers: 16, batch: 16, batches: 20 },
        Self { producers: 16, batch: 256, batches: 4 },
    ];

    fn events(self) -> usize {
        self.producers * self.batch * self.batches
    }

    fn name(self) -> String {
        let Self { producers, batch, .. } = self;
        let producers =
            if producers == 1 { "one producer".to_owned() } else { format!("{producers} producers") };
        format!("append `durable`, 256 B, batch {batch}, {producers}")
    }
}

pub(crate) fn run(rounds: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = beside_the_program();
    runtime.block_on(async {
        let config = Config { data: Some(dir.path().join("data")), ..Config::default() };
        let events = EventStream::open(config).await.expect("an engine");
        let all = Load { producers: 1, batch: 256, batches: STREAMS.div_ceil(256) };
        publish(&events, make(all, STREAMS)).await;
        for load in Load::ALL {
            let before = events.status().await.expect("the store is open").log_bytes;
            publish(&events, make(load, 1)).await;
            let bytes = (events.status().await.expect("the store is open").log_bytes - before) as usize
                / (load.producers * load.batches);
            let (mut beside_raw, mut over_many) = (Turns::default(), Turns::default());
            for _ in 0..rounds {
                let peer = raw(&dir.path().join("raw"), bytes, load);
                let one = publish(&events, make(load, 1)).await;
                let many = publish(&events, make(load, STREAMS)).await;
                beside_raw.add(one, peer);
                over_many.add(many, one);
            }
            let rate = |seconds: f64| format!("{:.0} events/s", load.events() as f64 / seconds);
            let (one, peer, ratio) = beside_raw.medians();
            let name = format!("{} ({bytes} B a batch on disk)", load.name());
            row(&name, &rate(one), &rate(peer), 1.0 / ratio, "≥ 0.8");
            let (many, one, ratio) = over_many.medians();
            let name = format!("the same over {STREAMS} streams");
            row(&name, &rate(many), &format!("{}, one stream", rate(one)), 1.0 / ratio, "≥ 0.7");
        }
        events.close().await;
    });
}

/// Makes the batches of each producer, their events spread over so many streams.
fn make(load: Load, streams: usize) -> Vec<Vec<Vec<Outgoing>>> {
    let mut n = 0;
    let mut event = |_| {
        // A step that has no divisor in common with the number of streams.
        n = (n + 7919) % streams;
        message(&format!("sessions/{n}"), 254, Durability::Durable)
    };
    let mut batch = |_| (0..load.batch).map(&mut event).collect();
    (0..load.producers).map(|_| (0..load.batches).map(&mut batch).collect()).collect()
}

/// Has all producers publish at once, and returns the seconds until the last acknowledgement.
async fn publish(events: &EventStream, made: Vec<Vec<Vec<Outgoing>>>) -> f64 {
    let start = Instant::now();
    let producers = made.into_iter().map(|batches| {
        let events = events.clone();
        tokio::spawn(async move {
            for batch in batches {
                events.publish_with(batch, Vec::new(), "").await.expect("an acknowledgement");
            }
        })
    });
    let producers: Vec<_> = producers.collect();
    for producer in producers {
        producer.await.expect("it ends");
    }
    start.elapsed().as_secs_f64()
}

/// Writes as many batches of as many bytes to a file that is zero-filled beforehand, and returns the seconds.
///
/// One producer writes and syncs itself. Several hand their bytes to one thread, which writes all that waits with one
/// sync: the plain form of a group commit.
fn raw(path: &Path, bytes: usize, load: Load) -> f64 {
    let (file, all) = (zeros(path, bytes * load.producers * load.batches), bytes * load.batches);
    let payload = vec![b'x'; bytes];
    if load.producers == 1 {
        let start = Instant::now();
        for at in (0..all).step_by(bytes) {
            file.write_all_at(&payload, at as u64).expect("a write");
            file.sync_data().expect("a sync");
        }
        return start.elapsed().as_secs_f64();
    }
    // One place for each producer, which sends again only when it has been answered: nobody waits for room.
    let (bytes_tx, bytes_rx) = mpsc::sync_channel::<(Vec<u8>, oneshot::Sender<()>)>(load.producers);
    let writer = std::thread::spawn(move || {
        let (mut at, mut waiting) = (0, Vec::new());
        while let Ok(first) = bytes_rx.recv() {
            let mut together = Vec::new();
            for (bytes, done) in std::iter::once(first).chain(bytes_rx.try_iter()) {
                together.extend_from_slice(&bytes);
                waiting.push(done);
            }
            file.write_all_at(&together, at).expect("a write");
            file.sync_data().expect("a sync");
            at += together.len() as u64;
            waiting.drain(..).for_each(|done| done.send(()).expect("somebody waits"));
        }
    });
    let start = Instant::now();
    let producers: Vec<_> = (0..load.producers)
        .map(|_| {
            let (bytes_tx, payload) = (bytes_tx.clone(), payload.clone());
            tokio::spawn(async move {
                for _ in 0..load.batches {
                    let (done_tx, done_rx) = oneshot::channel();
                    bytes_tx.send((payload.clone(), done_tx)).expect("the writer lives");
                    done_rx.await.expect("it is written");
                }
            })
        })
        .collect();
    drop(bytes_tx);
    writer.join().expect("it ends when the producers have");
    drop(producers);
    start.elapsed().as_secs_f64()
}

/// Opens a file that has at least so many bytes on disk.
fn zeros(path: &Path, len: usize) -> File {
    let file = File::options().create(true).truncate(false).write(true).open(path).expect("a file");
    if file.metadata().expect("its size").len() < len as u64 {
        file.write_all_at(&vec![0; len], 0).expect("zeros");
        file.sync_all().expect("a sync");
    }
    file
}
