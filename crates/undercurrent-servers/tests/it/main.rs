//! The kit against real servers: what it starts runs, and what it does to them is seen by an ordinary client.

mod groups;
mod proxy;
mod servers;
mod space;
mod watch;

use std::path::Path;
use std::time::Duration;

/// After this a condition has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a process is gone, or is only a name that its parent has not yet taken note of.
async fn gone(pid: u32) {
    eventually(&format!("process {pid} is gone"), async || {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
    })
    .await;
}

/// Waits for a condition.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(3));
        while !holds().await {
            ticks.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, looking).await.is_ok(), "not in time: {what}");
}
