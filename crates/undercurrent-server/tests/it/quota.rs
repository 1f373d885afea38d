//! A producer over its quota.

use std::num::NonZeroU64;
use std::time::Duration;

use undercurrent_types::ErrorCode;

use crate::kit::{Daemon, Dirs, header, json_of, message, refused, send};

#[tokio::test]
async fn a_producer_over_its_quota_is_told_when_to_come_again_and_others_go_on() {
    let daemon = Daemon::start_with(Dirs::new(), |config| {
        config.engine.quota.events = NonZeroU64::new(1);
        config.engine.quota.burst = Duration::from_secs(100);
    })
    .await;
    let batch: Vec<_> = (0..1000).map(|n| message(&n.to_string())).collect();
    let sent =
        daemon.request("POST", "/v1/events/s").header("content-type", "application/cloudevents-batch+json");
    json_of(sent.body(serde_json::to_vec(&batch).unwrap())).await;
    let (status, body) = refused(daemon.post_event("s", &message("more"))).await;
    assert_eq!((status, body.code, body.retryable), (429, ErrorCode::Busy, true));
    assert!(body.message.contains("`agent/7`") && body.message.contains("1 events a second"), "{body}");
    // 1000 events are made up for in 1000 s, of which 100 may come early.
    let wait = body.retry_after_ms.unwrap();
    assert!((800_000..=901_000).contains(&wait), "{wait}");
    let seconds: u64 =
        header(&send(daemon.post_event("s", &message("more"))).await, "retry-after").parse().unwrap();
    assert!((800..=901).contains(&seconds), "{seconds}");
    let mut other = message("other");
    other["source"] = "agent/8".into();
    json_of(daemon.post_event("s", &other)).await;
}
