//! Batches of events beside a pipeline of XADDs.

use std::time::Instant;

use undercurrent_servers::Server;

use crate::node::{Node, message, raw};
use crate::turns::Turns;

const BATCH: usize = 100;
const BATCHES: usize = 20;

pub(crate) async fn run(server: &Server, rounds: usize) {
    let node = Node::open(server, "batches").await;
    let mut connection = raw(server).await;
    let data = message("batch").event.to_json();
    let mut turns = Turns::default();
    for _ in 0..rounds {
        let made: Vec<Vec<_>> =
            (0..BATCHES).map(|_| (0..BATCH).map(|_| message("batch")).collect()).collect();
        let start = Instant::now();
        for batch in made {
            node.events.publish_with(batch, Vec::new(), "").await.expect("an acknowledgement");
        }
        let our = start.elapsed().as_secs_f64();
        let start = Instant::now();
        for _ in 0..BATCHES {
            let mut pipeline = redis::pipe();
            for _ in 0..BATCH {
                pipeline.cmd("XADD").arg("raw:batch").arg("*").arg("event").arg(&data).ignore();
            }
            pipeline.exec_async(&mut connection).await.expect("they are added");
        }
        let peer = start.elapsed().as_secs_f64();
        let events = (BATCH * BATCHES) as f64 / 1000.0;
        turns.add(events / our, events / peer);
    }
    let work = "publish, batches of 100 events of 256 B, no ids given";
    turns.print(work, "thousand/s", "pipelined XADD of the same bytes", "≥ 0.5");
    node.store.close().await;
}
