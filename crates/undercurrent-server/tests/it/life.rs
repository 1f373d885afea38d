//! From start to end, and again.

use serde_json::json;
use undercurrent_server::{ServeError, Server};
use undercurrent_types::ErrorCode;

use crate::kit::{Daemon, Dirs, Frames, in_time, json_of, message, send};

#[tokio::test]
async fn a_daemon_that_is_ready_says_so_and_who_it_is() {
    let daemon = Daemon::start().await;
    let health = json_of(daemon.get("/healthz")).await;
    assert_eq!(health, json_of(daemon.get("/readyz")).await);
    assert_eq!(health["ready"], true);
    let other = Daemon::start().await;
    assert_ne!(health["instance"], json_of(other.get("/healthz")).await["instance"]);
}

#[tokio::test]
async fn metrics_say_how_the_daemon_and_its_sources_are_doing() {
    let daemon = Daemon::start().await;
    daemon.publish("s", &["a"]).await;
    let page = async || send(daemon.get("/metrics")).await.text().await.unwrap();
    let live = async || page().await.contains("state=\"live\"} 1");
    in_time(async {
        while !live().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let page = page().await;
    for line in ["undercurrent_log_writable 1", "state=\"down\"} 0", "undercurrent_subscriptions 0", "# EOF"]
    {
        assert!(page.contains(line), "`{line}` is missing in {page}");
    }
}

#[tokio::test]
async fn the_end_ends_subscriptions_and_lets_requests_finish() {
    let daemon = Daemon::start().await;
    let mut frames = Frames::open(daemon.get("/v1/events/s")).await;
    frames.until("caught_up").await;
    let (body_tx, body_rx) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let body =
        futures_util::stream::unfold(body_rx, async |mut body_rx| Some((body_rx.recv().await?, body_rx)));
    let slow = daemon.context("PUT", "note:a").body(reqwest::Body::wrap_stream(body));
    let slow = tokio::spawn(json_of(slow));
    body_tx.send(Ok(b"be".to_vec())).await.unwrap();
    // The second part goes into the channel only when the first has been taken by the connection.
    body_tx.send(Ok(b"gun".to_vec())).await.unwrap();
    body_tx.reserve().await.unwrap();
    daemon.begin_end();
    assert!(frames.next().await.is_none(), "the subscription ends");
    drop(body_tx);
    let written = in_time(slow).await.unwrap();
    assert!(written["token"].is_string());
    daemon.end().await;
}

#[tokio::test]
async fn a_connection_that_is_kept_for_later_does_not_hold_up_the_end() {
    let daemon = Daemon::start().await;
    // The client of the test keeps this connection open.
    json_of(daemon.get("/healthz")).await;
    let begun = std::time::Instant::now();
    daemon.end().await;
    assert!(begun.elapsed().as_secs() < 8, "requests under way would have got 10 s");
}

#[tokio::test]
async fn a_second_start_goes_on_where_the_first_ended() {
    let daemon = Daemon::start().await;
    let cursors = daemon.publish("s", &["1", "2"]).await;
    json_of(daemon.context("PUT", "state:a").body("1")).await;
    let dirs = daemon.end().await;
    let daemon = Daemon::start_with(dirs, |_| {}).await;
    let mut frames = Frames::open(daemon.get("/v1/events/s").header("last-event-id", &cursors[0])).await;
    assert_eq!(frames.until("caught_up").await.0, ["2"]);
    assert_eq!(json_of(daemon.post_event("s", &message("3"))).await["seq"], 3);
    assert_eq!(json_of(daemon.post_event("s", &message("2"))).await["duplicate"], true);
    assert_eq!(json_of(daemon.context("GET", "state:a")).await, json!(1));
}

#[tokio::test]
async fn data_that_is_open_already_is_a_conflict() {
    let dirs = Dirs::new();
    let second = dirs.config();
    let _daemon = Daemon::start_with(dirs, |_| {}).await;
    let server = Server::bind(second).await.unwrap();
    let error = in_time(Box::pin(server.serve(Default::default()))).await.unwrap_err();
    assert!(matches!(error, ServeError::Open(_)));
    assert_eq!(error.body().code, ErrorCode::Conflict, "{error}");
}

#[tokio::test]
async fn data_inside_a_root_is_refused() {
    let dirs = Dirs::new();
    let mut config = dirs.config();
    config.engine.data = Some(config.engine.roots[0].join("data"));
    let error = undercurrent_server::run(config.clone(), Default::default()).await.unwrap_err();
    assert_eq!(error.body().code, ErrorCode::InvalidRequest, "{error}");
    assert!(!config.engine.data.unwrap().exists(), "a refusal leaves nothing behind");
}
