//! Reading the history of a stream beside reading the files that it lies in, all of it in the page cache.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use undercurrent::stream::Delivery;
use undercurrent::{Config, Durability, EventStream};

use crate::{Turns, beside_the_program, message, row};

const BATCH: usize = 256;
/// How much of a file is read at once.
const CHUNK: usize = 128 << 10;

pub(crate) fn run(rounds: usize, events: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = beside_the_program();
    runtime.block_on(async {
        let config = Config { data: Some(dir.path().to_owned()), ..Config::default() };
        let engine = EventStream::open(config.clone()).await.expect("an engine");
        for _ in 0..events / BATCH {
            let batch = (0..BATCH).map(|_| message("sessions/long", 254, Durability::Page)).collect();
            engine.publish_with(batch, Vec::new(), "").await.expect("an acknowledgement");
        }
        engine.close().await;
        let engine = EventStream::open(config).await.expect("an engine");
        let bytes = engine.status().await.expect("the store is open").log_bytes as usize;
        let mut turns = Turns::default();
        for _ in 0..rounds {
            let peer = read_files(&dir.path().join("log"), bytes);
            let start = Instant::now();
            let mut subscription = engine.subscribe("sessions/long").await.expect("a subscription");
            let mut seen = 0;
            while let Ok(Delivery::Event(record)) = subscription.next().await {
                seen += black_box(record.json.len().min(1));
            }
            turns.add(start.elapsed().as_secs_f64(), peer);
            assert_eq!(seen, events / BATCH * BATCH);
        }
        let rate = |seconds: f64| format!("{:.0} MB/s", bytes as f64 / seconds / 1e6);
        let (our, peer, ratio) = turns.medians();
        let work =
            format!("catch-up read of {} events, {} MB of log", events / BATCH * BATCH, bytes / 1_000_000);
        row(&work, &rate(our), &format!("{}, the files", rate(peer)), 1.0 / ratio, "≥ 0.5");
        engine.close().await;
    });
}

/// Reads so many bytes of the segments in order, and returns the seconds.
fn read_files(log: &Path, mut left: usize) -> f64 {
    let names = std::fs::read_dir(log).expect("a log").map(|file| file.expect("a file").path());
    let mut segments: Vec<_> =
        names.filter(|path| path.extension().is_some_and(|ext| ext == "seg")).collect();
    segments.sort();
    let mut buf = vec![0; CHUNK];
    let start = Instant::now();
    for segment in segments {
        let (file, mut at) = (File::open(segment).expect("a segment"), 0);
        loop {
            let want = left.min(CHUNK);
            let read = file.read_at(&mut buf[..want], at).expect("bytes");
            black_box(&buf[..read]);
            at += read as u64;
            left -= read;
            if read == 0 {
                break;
            }
        }
    }
    start.elapsed().as_secs_f64()
}
