//! What became of an event.

use serde_json::{Value, json};

use crate::kit::{Daemon, json_of, message};

async fn outcome(daemon: &Daemon, stream: &str, source: &str, id: &str) -> Value {
    let asked = [("stream", stream), ("source", source), ("id", id)];
    json_of(daemon.get("/v1/outcome").query(&asked)).await
}

#[tokio::test]
async fn what_became_of_an_event_is_answered_as_its_publisher_was_and_after_a_restart() {
    let daemon = Daemon::start().await;
    let ack = json_of(daemon.post_event("s", &message("a b"))).await;
    let published = outcome(&daemon, "s", "agent/7", "a b").await;
    let window = json!({"ids": 1 << 20, "seconds": 600});
    assert_eq!(published, json!({"state": "published", "ack": ack, "window": window}));
    for (stream, source, id) in [("s", "agent/7", "b"), ("s", "agent/8", "a b"), ("t", "agent/7", "a b")] {
        let other = outcome(&daemon, stream, source, id).await;
        assert_eq!(other, json!({"state": "not_known", "window": window}));
    }
    let daemon = Daemon::start_with(daemon.end().await, |_| {}).await;
    assert_eq!(outcome(&daemon, "s", "agent/7", "a b").await, published);
}
