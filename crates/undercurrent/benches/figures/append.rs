//! Appending durable batches beside a loop that writes the same bytes to a preallocated file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use undercurrent::event_stream::Outgoing;
use undercurrent::{Config, Durability, EventStream};

use crate::{median, message, row};

const BATCH: usize = 256;
const BATCHES: usize = 20;

pub(crate) fn run(rounds: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // Beside the program, since the directory for temporary files may lie in memory.
    let beside = std::env::current_exe().expect("a path");
    let dir = tempfile::tempdir_in(beside.parent().expect("a directory")).expect("a directory");
    runtime.block_on(async {
        let config = Config { data: Some(dir.path().join("data")), ..Config::default() };
        let events = EventStream::open(config).await.expect("an engine");
        publish(&events, BATCHES).await;
        let before = events.status().await.expect("the store is open").log_bytes;
        publish(&events, BATCHES).await;
        let bytes = (events.status().await.expect("the store is open").log_bytes - before) as usize / BATCHES;
        let (mut ratios, mut ours, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let peer = raw(&dir.path().join("raw"), bytes);
            let made: Vec<_> = (0..BATCHES).map(|_| batch()).collect();
            let start = Instant::now();
            for batch in made {
                events.publish_with(batch, Vec::new(), "").await.expect("an acknowledgement");
            }
            let our = start.elapsed().as_secs_f64();
            ratios.push(peer / our);
            ours.push((BATCH * BATCHES) as f64 / our);
            peers.push((BATCH * BATCHES) as f64 / peer);
        }
        row(
            &format!("append `durable`, 256 B, batch 256 ({bytes} B a batch on disk)"),
            &format!("{:.0} events/s", median(&mut ours)),
            &format!("{:.0} events/s, same bytes and syncs", median(&mut peers)),
            median(&mut ratios),
            "≥ 0.8",
        );
        events.close().await;
    });
}

fn batch() -> Vec<Outgoing> {
    (0..BATCH).map(|_| message("sessions/bench", 254, Durability::Durable)).collect()
}

async fn publish(events: &EventStream, batches: usize) {
    for _ in 0..batches {
        events.publish_with(batch(), Vec::new(), "").await.expect("an acknowledgement");
    }
}

/// Writes as many batches of as many bytes, each with one `fdatasync`, to a file that is zero-filled beforehand.
fn raw(path: &Path, bytes: usize) -> f64 {
    let file = File::options().create(true).truncate(false).write(true).open(path).expect("a file");
    if file.metadata().expect("its size").len() < (bytes * BATCHES) as u64 {
        file.write_all_at(&vec![0; bytes * BATCHES], 0).expect("zeros");
        file.sync_all().expect("a sync");
    }
    let payload = vec![b'x'; bytes];
    let start = Instant::now();
    for i in 0..BATCHES {
        file.write_all_at(&payload, (i * bytes) as u64).expect("a write");
        file.sync_data().expect("a sync");
    }
    start.elapsed().as_secs_f64()
}
