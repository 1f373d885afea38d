//! A node that does nothing.

use std::time::Duration;

use undercurrent::Level;
use undercurrent_servers::Server;

use crate::node::{Node, commands, key, raw};
use crate::row;

pub(crate) async fn run(server: &Server, time: Duration) {
    let node = Node::open(server, "idle").await;
    node.read(&key("some/longer/path"), Level::Fresh).await;
    let mut connection = raw(server).await;
    for (work, follows) in [("idle node", false), ("idle node that follows the log", true)] {
        let listening = follows.then(|| node.store.watch_visible());
        let (before, _) = commands(&mut connection).await;
        tokio::time::sleep(time).await;
        let (after, _) = commands(&mut connection).await;
        let rate = (after - before - 1) as f64 / time.as_secs_f64();
        row(work, &format!("{rate:.2} commands/s"), "", "", "< 2");
        drop(listening);
    }
    node.store.close().await;
}
