//! Every bad request has its error, and leaves nothing behind.

use undercurrent_types::ErrorCode::{
    Conflict, Denied, Gone, InvalidCursor, InvalidEvent, InvalidKey, InvalidRequest, InvalidStream,
    LevelNotOffered, NotFound, TooLarge,
};

use crate::kit::{Daemon, header, message, refused, send};

#[tokio::test]
async fn every_bad_request_has_its_error_and_leaves_nothing_behind() {
    let daemon = Daemon::start().await;
    let stranger = "0000000000000001.9999999999999999";
    let file = daemon.write("a.txt", b"a");
    let cases = [
        ("GET", "/", 404, NotFound, "there is no path `/`"),
        ("GET", "/v1/events/", 404, NotFound, "there is no path"),
        ("GET", "/v1/nothing", 404, NotFound, "/v1/context"),
        ("DELETE", "/v1/status", 405, InvalidRequest, "does not take DELETE"),
        ("PATCH", "/v1/context", 405, InvalidRequest, "does not take PATCH"),
        ("GET", "/v1/status?verbose", 400, InvalidRequest, "no parameter `verbose`"),
        ("GET", "/v1/streams?x=%ff", 400, InvalidRequest, "not UTF-8"),
        ("GET", "/v1/events/a//b", 400, InvalidStream, "empty"),
        ("GET", "/v1/events/$invalidations", 400, InvalidStream, "`$`"),
        ("GET", "/v1/events/a%20b", 400, InvalidStream, "`a b`"),
        ("GET", "/v1/events/a?form=now", 400, InvalidRequest, "no parameter `form`"),
        ("GET", "/v1/events/a?from=1.1", 400, InvalidCursor, "`beginning`"),
        ("GET", "/v1/events/a?from=now&from=now", 400, InvalidRequest, "2 times"),
        ("GET", &format!("/v1/events/a?from={stranger}"), 410, Gone, stranger),
        ("GET", "/v1/events/a?limit=0", 400, InvalidRequest, "from 1 to 1000"),
        ("GET", "/v1/events/a?limit=1001", 400, InvalidRequest, "from 1 to 1000"),
        ("GET", "/v1/events/a?limit=many", 400, InvalidRequest, "`many`"),
        ("GET", "/v1/events/a?type=*x", 400, InvalidRequest, "`*x`"),
        ("GET", "/v1/events/a?source=agent", 400, InvalidRequest, "`agent`"),
        ("POST", "/v1/events/a?expected_seq=-1", 400, InvalidRequest, "`-1`"),
        ("POST", "/v1/events/a?durability=best", 400, InvalidRequest, "`best`"),
        ("POST", "/v1/events/a", 400, InvalidRequest, "content type"),
        ("GET", "/v1/outcome?stream=a&source=agent/7", 400, InvalidRequest, "`id` is missing"),
        ("GET", "/v1/outcome?stream=a//b&source=agent/7&id=1", 400, InvalidStream, "empty"),
        ("GET", "/v1/outcome?stream=a&source=agent&id=1", 400, InvalidEvent, "`agent`"),
        ("GET", "/v1/context", 400, InvalidRequest, "`key` is missing"),
        ("GET", "/v1/context?key=a.txt", 400, InvalidKey, "`a.txt`"),
        ("GET", "/v1/context?key=file:a.txt", 400, InvalidKey, "not absolute"),
        ("GET", "/v1/context?key=file:/etc/passwd", 403, Denied, "/etc/passwd"),
        ("GET", &format!("/v1/context?key={file}&after=x"), 400, InvalidCursor, "`x`"),
        ("GET", &format!("/v1/context?key={file}&reload=yes"), 400, InvalidRequest, "`yes`"),
        ("GET", "/v1/context?key=note:a", 404, NotFound, "note:a"),
        ("PUT", &format!("/v1/context?key={file}"), 400, InvalidRequest, "loaded from its source"),
        ("DELETE", "/v1/context?key=tag:x", 400, InvalidKey, "tag"),
        ("POST", "/v1/invalidate", 400, InvalidRequest, "names"),
        ("GET", "/v1/explain?key=", 400, InvalidKey, "expected"),
        ("GET", "/healthz", 200, NotFound, ""),
    ];
    for (method, path, status, code, message) in cases {
        if status == 200 {
            assert_eq!(send(daemon.request(method, path)).await.status(), 200);
            continue;
        }
        let (got, body) = refused(daemon.request(method, path)).await;
        assert_eq!((got, body.code), (status, code), "{method} {path}: {body}");
        assert!(body.message.contains(message), "{method} {path}: {body}");
    }
    assert!(daemon.has_no_events().await);
}

#[tokio::test]
async fn a_wrong_method_says_which_are_right() {
    let daemon = Daemon::start().await;
    let allowed = header(&send(daemon.request("PATCH", "/v1/context")).await, "allow");
    for method in ["GET", "PUT", "DELETE"] {
        assert!(allowed.contains(method), "`{allowed}`");
    }
}

#[tokio::test]
async fn a_bad_event_is_refused_with_its_place() {
    let daemon = Daemon::start().await;
    let batch = |body: String| {
        let request = daemon.request("POST", "/v1/events/a");
        request.header("content-type", "application/cloudevents-batch+json").body(body)
    };
    let large = serde_json::json!({"specversion": "1.0", "id": "1", "source": "agent/7", "type": "message", "data": "x".repeat(1 << 20)});
    let cases = [
        (daemon.post_event("a", &serde_json::json!({})), InvalidEvent, None, "`specversion` is missing"),
        (daemon.post_event("a", &serde_json::json!([])), InvalidEvent, None, "batch"),
        (daemon.post_event("a", &large), TooLarge, None, "1048576"),
        (batch("{}".into()), InvalidEvent, None, "array"),
        (batch(format!("[{},{{}}]", message("1"))), InvalidEvent, Some(1), "event 1"),
        (batch(format!("[{},{large}]", message("1"))), TooLarge, Some(1), "1048576"),
        (daemon.post_event("a", &message("1")).query(&[("expected_seq", "3")]), Conflict, Some(0), "seq 0"),
    ];
    for (request, code, index, message) in cases {
        let (status, body) = refused(request).await;
        assert_eq!((status, body.code, body.index), (code.status(), code, index), "{body}");
        assert!(body.message.contains(message), "{body}");
    }
    assert!(daemon.has_no_events().await, "a refused event was published");
}

#[tokio::test]
async fn a_level_that_can_not_be_given_is_refused_by_name() {
    let daemon = Daemon::start().await;
    daemon.context("PUT", "note:a").body("x").send().await.unwrap();
    let (status, body) =
        refused(daemon.context("GET", "note:a").header("prefer", "freshness=verified")).await;
    assert_eq!((status, body.code), (422, LevelNotOffered));
    let (status, body) = refused(daemon.context("GET", "note:a").header("prefer", "freshness=best")).await;
    assert_eq!((status, body.code), (400, InvalidRequest));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_and_the_refusal_arrives() {
    let daemon = Daemon::start().await;
    for size in [(8 << 20) + 1, 64 << 20] {
        let (status, body) = refused(daemon.context("PUT", "note:a").body(vec![0; size])).await;
        assert_eq!((status, body.code), (413, TooLarge), "{size} bytes");
        assert!(body.message.contains("8388608"), "{body}");
    }
    let chunks = futures_util::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20])));
    let batch =
        daemon.request("POST", "/v1/events/a").header("content-type", "application/cloudevents-batch+json");
    let (status, body) = refused(batch.body(reqwest::Body::wrap_stream(chunks))).await;
    assert_eq!((status, body.code), (413, TooLarge));
    assert!(body.message.contains("16777216"), "{body}");
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_still_gets_the_refusal() {
    let daemon = Daemon::start().await;
    let head = "PUT /v1/context?key=note:a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let body = "x".repeat(32 << 20);
    let whole = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for request in [whole, chunked] {
        let answer = daemon.raw(&request).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"too_large\""), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let daemon = Daemon::start().await;
    let response = send(daemon.get("/healthz").header("x-large", "x".repeat(200 << 10))).await;
    assert_eq!(response.status(), 431);
}
