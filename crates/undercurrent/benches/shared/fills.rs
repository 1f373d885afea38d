//! Misses: how often the server is asked beyond the load.

use std::time::Instant;

use redis::aio::MultiplexedConnection;
use undercurrent::Level;
use undercurrent_servers::Server;

use crate::node::{Node, VALUE, commands, key, raw};
use crate::row;
use crate::turns::{Turns, percentile};

const MISSES: usize = 100;

pub(crate) async fn run(server: &Server, rounds: usize) {
    let node = Node::open(server, "fills").await;
    let mut connection = raw(server).await;
    node.read(&key("first"), Level::Fresh).await;
    let (mut times, mut trips) = (Turns::default(), Vec::new());
    for round in 0..rounds {
        let (mut ours, mut peers) = (Vec::new(), Vec::new());
        let before = asked(&mut connection).await;
        for i in 0..MISSES {
            let key = key(&format!("some/longer/path/{round}/{i}"));
            let start = Instant::now();
            node.read(&key, Level::Fresh).await;
            ours.push(start.elapsed().as_secs_f64() * 1e6);
        }
        // Without the question itself.
        trips.push((asked(&mut connection).await - before - 1) as f64 / MISSES as f64);
        for i in 0..MISSES {
            let start = Instant::now();
            let name = format!("raw:{round}:{i}");
            let _: Option<Vec<u8>> =
                redis::cmd("GET").arg(&name).query_async(&mut connection).await.expect("an answer");
            let mut set = redis::cmd("SET");
            set.arg(&name).arg(&VALUE[..]).exec_async(&mut connection).await.expect("it is set");
            peers.push(start.elapsed().as_secs_f64() * 1e6);
        }
        times.add(percentile(&mut ours, 50), percentile(&mut peers, 50));
    }
    let middle = percentile(&mut trips, 50);
    row("round trips of a miss beyond the load, commit included", &format!("{middle:.2}"), "", "", "≤ 2");
    times.print("a miss whose load takes no time, p50", "µs", "GET and SET of 1 KiB", "");
    node.store.close().await;
}

/// Returns how many round trips the nodes have made: each ends with the question which server this is.
async fn asked(connection: &mut MultiplexedConnection) -> u64 {
    let (_, all) = commands(connection).await;
    all.iter().find(|(one, _)| one == "info").map_or(0, |(_, calls)| *calls)
}
