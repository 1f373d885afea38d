//! Giving events to the members of a group and taking their acknowledgements, both on disk.

use std::path::Path;
use std::time::{Duration, Instant};

use undercurrent::event_stream::Group;
use undercurrent::types::Lease;
use undercurrent::types::wire::GroupOptions;
use undercurrent::{Config, Durability, EventStream};

use crate::{median, message};

/// How many members there are, and how many events each fetches and acknowledges at once.
const SHAPES: [(usize, usize); 2] = [(4, 250), (8, 500)];
const BATCH: usize = 250;

pub(crate) fn run(rounds: usize, batches: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let beside = std::env::current_exe().expect("a path");
    let dir = tempfile::tempdir_in(beside.parent().expect("a directory")).expect("a directory");
    for (members, at_once) in SHAPES {
        let data = dir.path().join(format!("data-{members}"));
        let mut rates = runtime.block_on(measure(&data, members, at_once, rounds, batches));
        println!(
            "| group: deliver + ack, durable, {members} members with {at_once} events each at once | {:.0} events/s | | | ≥ 100 000/s |",
            median(&mut rates)
        );
    }
}

async fn measure(data: &Path, members: usize, at_once: usize, rounds: usize, batches: usize) -> Vec<f64> {
    let config = Config { data: Some(data.to_owned()), ..Config::default() };
    let events = EventStream::open(config).await.expect("an engine");
    let name = "bench".parse().expect("a name");
    let stream = Some("tasks".parse().expect("a name"));
    let options = GroupOptions { stream, max_open: Some(4096), ..GroupOptions::default() };
    events.create_group(&name, &options).await.expect("a group");
    let mut rates = Vec::new();
    for _ in 0..rounds {
        for _ in 0..batches {
            let batch = (0..BATCH).map(|_| message("tasks", 254, Durability::Durable)).collect();
            events.publish_with(batch, Vec::new(), "").await.expect("an acknowledgement");
        }
        let start = Instant::now();
        let members: Vec<_> =
            (0..members).map(|_| tokio::spawn(work(events.group(name.clone()), at_once))).collect();
        let mut done = 0;
        for member in members {
            done += member.await.expect("it does not panic");
        }
        assert_eq!(done, batches * BATCH, "every event is given once");
        rates.push(done as f64 / start.elapsed().as_secs_f64());
    }
    events.close().await;
    rates
}

/// Takes events and acknowledges them until there are none; returns how many they were.
async fn work(group: Group, at_once: usize) -> usize {
    let mut done = 0;
    loop {
        let fetched = group.fetch(at_once, Duration::ZERO).await.expect("events");
        if fetched.deliveries.is_empty() && !fetched.full {
            return done;
        }
        let leases: Vec<Lease> = fetched.deliveries.iter().map(|one| one.lease).collect();
        if !leases.is_empty() {
            group.ack(&leases).await.expect("an acknowledgement");
        }
        done += leases.len();
    }
}
