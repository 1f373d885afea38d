//! Setting streams up and deleting them.

use serde_json::{Value, json};
use undercurrent_types::ErrorCode;

use crate::kit::{Daemon, Frames, json_of, refused, send};

/// Returns a stream as the list has it.
async fn listed(daemon: &Daemon, name: &str) -> Value {
    let streams = json_of(daemon.get("/v1/streams")).await;
    streams.as_array().unwrap().iter().find(|one| one["stream"] == name).cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_stream_is_set_up_and_keeps_its_durability() {
    let daemon = Daemon::start().await;
    let made =
        json_of(daemon.request("PUT", "/v1/streams/a/b?durability=memory&max_age=30d&max_bytes=none")).await;
    assert_eq!((&made["durability"], &made["max_age_s"]), (&json!("memory"), &json!(30 * 86_400)));
    assert!(made.get("max_bytes").is_none() && made.get("max_count").is_none());
    let changed = json_of(daemon.request("PUT", "/v1/streams/a/b?max_count=7")).await;
    assert_eq!((&changed["max_age_s"], &changed["max_count"]), (&made["max_age_s"], &json!(7)));
    assert_eq!(listed(&daemon, "a/b").await, changed);
    let (status, body) = refused(daemon.request("PUT", "/v1/streams/a/b?durability=durable")).await;
    assert_eq!((status, body.code), (409, ErrorCode::Conflict));
    assert!(body.message.contains("delete it first"), "{}", body.message);
    for bad in ["max_age=7", "max_bytes=x", "max_count=-1", "durability=tape", "max_size=1"] {
        let (status, body) = refused(daemon.request("PUT", &format!("/v1/streams/c?{bad}"))).await;
        assert_eq!((status, body.code), (400, ErrorCode::InvalidRequest), "{bad}");
    }
    assert_eq!(listed(&daemon, "c").await, json!(null));
}

#[tokio::test]
async fn what_a_stream_need_not_keep_goes_and_a_reader_is_told() {
    let daemon = Daemon::start().await;
    let ids: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let cursors = daemon.publish("s", &ids).await;
    json_of(daemon.request("PUT", "/v1/streams/s?max_count=5")).await;
    while listed(&daemon, "s").await["oldest"] != 16 {
        tokio::task::yield_now().await;
    }
    let gone = daemon.get("/v1/events/s").query(&[("from", &cursors[3])]);
    let (status, body) = refused(gone).await;
    assert_eq!((status, body.code), (410, ErrorCode::Gone));
    let oldest = body.oldest.unwrap();
    assert_eq!(oldest, cursors[14]);
    let page = json_of(daemon.get("/v1/events/s").query(&[("from", &oldest)])).await;
    assert_eq!(page[0]["sequence"], json!(cursors[15]));
    let (status, body) = refused(daemon.get("/v1/events/s?from=16")).await;
    assert_eq!((status, body.code), (400, ErrorCode::InvalidCursor));
    assert_eq!(daemon.publish("s", &["next"]).await[0], format!("{:016x}.{:016}", 1, 21));
}

#[tokio::test]
async fn a_deleted_stream_is_gone_and_its_name_is_free() {
    let daemon = Daemon::start().await;
    let old = daemon.publish("s", &["1", "2"]).await;
    let mut live = Frames::open(daemon.get("/v1/events/s?from=now")).await;
    live.until("caught_up").await;
    assert_eq!(json_of(daemon.request("DELETE", "/v1/streams/s")).await, json!({ "stream": "s" }));
    let (status, body) = refused(daemon.request("DELETE", "/v1/streams/s")).await;
    assert_eq!((status, body.code), (404, ErrorCode::NotFound));
    let (status, _) = refused(daemon.get("/v1/events/s").query(&[("from", &old[1])])).await;
    assert_eq!(status, 410);
    assert_eq!(send(daemon.get("/v1/events/s")).await.text().await.unwrap(), "[]");
    let new = daemon.publish("s", &["1"]).await;
    assert!(new[0] > old[1], "{new:?} after {old:?}");
    // Who follows it is told that this is another stream, and goes on with it.
    let gap = live.next().await.unwrap();
    assert_eq!((gap.name.as_str(), &gap.data["reason"]), ("gap", &json!("epoch")));
    assert_eq!(live.next().await.unwrap().id, new[0]);
}
