//! Subscriptions.

use std::time::Duration;

use serde_json::json;
use undercurrent_types::ErrorCode;

use crate::kit::{Daemon, Dirs, Frames, in_time, json_of, refused};

#[tokio::test]
async fn history_then_a_mark_then_live_with_an_id_on_every_frame() {
    let daemon = Daemon::start().await;
    let cursors = daemon.publish("s", &["1", "2"]).await;
    let mut frames = Frames::open(daemon.get("/v1/events/s")).await;
    for (id, cursor) in ["1", "2"].iter().zip(&cursors) {
        let frame = frames.next().await.unwrap();
        assert_eq!((frame.name.as_str(), &frame.data["id"]), ("", &json!(id)));
        assert_eq!((&frame.id, &frame.data["sequence"]), (cursor, &json!(cursor)));
        assert_eq!(frame.data["specversion"], "1.0");
    }
    let mark = frames.next().await.unwrap();
    assert_eq!((mark.name.as_str(), &mark.id), ("caught_up", &cursors[1]));
    assert_eq!(mark.data, json!({"cursor": cursors[1]}));
    let live = daemon.publish("s", &["3"]).await;
    assert_eq!(frames.next().await.unwrap().id, live[0]);
}

#[tokio::test]
async fn a_reader_that_comes_back_goes_on_after_its_last_event() {
    let daemon = Daemon::start().await;
    let cursors = daemon.publish("s", &["1", "2", "3"]).await;
    // The header is what the reader has seen; the address is what it once began with.
    let request = daemon.get("/v1/events/s?from=beginning").header("last-event-id", &cursors[1]);
    let (ids, _) = Frames::open(request).await.until("caught_up").await;
    assert_eq!(ids, ["3"]);
    let request = daemon.get("/v1/events/s").query(&[("from", &cursors[0])]).header("last-event-id", "");
    let (ids, _) = Frames::open(request).await.until("caught_up").await;
    assert_eq!(ids, ["2", "3"]);
    let mut now = Frames::open(daemon.get("/v1/events/s?from=now")).await;
    assert_eq!(now.until("caught_up").await.0, [""; 0]);
    daemon.publish("s", &["4"]).await;
    assert_eq!(now.next().await.unwrap().data["id"], "4");
}

#[tokio::test]
async fn a_cursor_that_can_not_be_continued_is_gone_with_the_oldest() {
    let daemon = Daemon::start().await;
    let cursors = daemon.publish("s", &["1"]).await;
    let elsewhere = "00000000deadbeef.0000000000000001";
    let request =
        daemon.get("/v1/events/s").header("accept", "text/event-stream").header("last-event-id", elsewhere);
    let (status, body) = refused(request).await;
    assert_eq!((status, body.code), (410, ErrorCode::Gone));
    let oldest = body.oldest.unwrap();
    let page = json_of(daemon.get("/v1/events/s").query(&[("from", &oldest)])).await;
    assert_eq!(page[0]["sequence"], json!(cursors[0]));
    let request =
        daemon.get("/v1/events/s").header("accept", "text/event-stream").header("last-event-id", "7");
    let (status, body) = refused(request).await;
    assert_eq!((status, body.code), (400, ErrorCode::InvalidCursor));
}

#[tokio::test]
async fn a_subscription_is_filtered() {
    let daemon = Daemon::start().await;
    for (id, ty) in [("1", "message"), ("2", "observation.note"), ("3", "message")] {
        let event = json!({"specversion": "1.0", "id": id, "source": "agent/7", "type": ty});
        json_of(daemon.post_event("s", &event)).await;
    }
    let mut frames = Frames::open(daemon.get("/v1/events/s?type=observation.*")).await;
    let (ids, mark) = frames.until("caught_up").await;
    assert_eq!(ids, ["2"]);
    assert!(mark.id.ends_with("3"), "what was passed over is not read again: {mark:?}");
}

#[tokio::test]
async fn a_silent_subscription_says_that_it_lives() {
    let daemon = Daemon::start_with(Dirs::new(), |config| config.heartbeat = Duration::from_millis(10)).await;
    let mut frames = Frames::open(daemon.get("/v1/events/s")).await;
    frames.until("caught_up").await;
    assert_eq!(frames.next().await.unwrap().name, "comment");
    daemon.publish("s", &["1"]).await;
    let (_, first) = frames.until("").await;
    assert_eq!(first.data["id"], "1");
}

#[tokio::test]
async fn one_subscription_too_many_is_busy_until_another_ends() {
    let daemon = Daemon::start_with(Dirs::new(), |config| config.subscriptions = 2).await;
    let first = Frames::open(daemon.get("/v1/events/s")).await;
    let _second = Frames::open(daemon.get("/v1/events/s")).await;
    let third = || daemon.get("/v1/events/s").header("accept", "text/event-stream");
    let (status, body) = refused(third()).await;
    assert_eq!((status, body.code, body.retryable), (429, ErrorCode::Busy, true));
    assert!(body.message.contains("2 subscriptions"));
    drop(first);
    in_time(async {
        while third().send().await.unwrap().status() == 429 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_nobody_and_loses_nothing() {
    let daemon = Daemon::start().await;
    let mut slow = Frames::open(daemon.get("/v1/events/s")).await;
    let mut quick = Frames::open(daemon.get("/v1/events/s")).await;
    quick.until("caught_up").await;
    // More than the live ring and the buffers of a connection hold.
    let data = "x".repeat(8 << 10);
    let mut expected = Vec::new();
    for batch in 0..24 {
        let ids: Vec<String> = (0..100).map(|n| format!("{batch}-{n}")).collect();
        let events: Vec<_> = ids
            .iter()
            .map(|id| json!({"specversion": "1.0", "id": id, "source": "agent/7", "type": "message", "data": data}))
            .collect();
        let post = daemon
            .request("POST", "/v1/events/s")
            .header("content-type", "application/cloudevents-batch+json");
        json_of(post.body(json!(events).to_string())).await;
        for id in &ids {
            assert_eq!(quick.next().await.unwrap().data["id"], json!(id));
        }
        expected.extend(ids);
    }
    let mut got = Vec::new();
    while got.len() < expected.len() {
        let frame = slow.next().await.unwrap();
        if frame.name.is_empty() {
            got.push(frame.data["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(got, expected);
}
