//! Who is let in.

use undercurrent_types::ErrorCode;

use crate::kit::{Daemon, json_of, message, refused, send};

#[tokio::test]
async fn a_host_that_is_not_this_machine_is_refused() {
    let daemon = Daemon::start().await;
    for host in ["evil.example", "evil.example:7433", "localhost.evil.example", "192.168.0.7", "0.0.0.0", ""]
    {
        let (status, body) = refused(daemon.post_event("s", &message("1")).header("host", host)).await;
        assert_eq!((status, body.code), (403, ErrorCode::Denied), "`{host}`");
        assert!(body.message.contains(host));
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:9", "127.9.9.9", "[::1]:7433"] {
        json_of(daemon.get("/v1/status").header("host", host)).await;
    }
    assert!(daemon.has_no_events().await, "a refused event was published");
}

#[tokio::test]
async fn a_request_that_names_no_host_or_two_is_refused() {
    let daemon = Daemon::start().await;
    for request in [
        "GET /v1/status HTTP/1.0\r\n\r\n",
        "GET /v1/status HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
        "GET /v1/status HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        "GET http://evil.example/v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ] {
        let answer = daemon.raw(request).await;
        assert!(answer.contains(" 403 ") && answer.contains("\"denied\""), "{request:?} gave {answer}");
    }
    let answer = daemon.raw("GET /healthz HTTP/1.0\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.contains(" 200 "), "{answer}");
}

#[tokio::test]
async fn a_page_of_another_site_is_refused() {
    let daemon = Daemon::start().await;
    for origin in ["http://evil.example", "https://localhost.evil.example", "null", "file://"] {
        let (status, body) = refused(daemon.post_event("s", &message("1")).header("origin", origin)).await;
        assert_eq!((status, body.code), (403, ErrorCode::Denied), "`{origin}`");
        refused(daemon.get("/no/such/path").header("origin", origin)).await;
    }
    let (status, _) = refused(daemon.get("/v1/status").header("sec-fetch-site", "cross-site")).await;
    assert_eq!(status, 403);
    assert!(daemon.has_no_events().await, "a refused event was published");
    for origin in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"] {
        let response = send(daemon.get("/v1/status").header("origin", origin)).await;
        assert_eq!(response.status(), 200);
        let allowed = response.headers().keys().find(|name| name.as_str().starts_with("access-control"));
        assert_eq!(allowed, None, "no page is allowed to read answers");
    }
}

#[tokio::test]
async fn another_namespace_is_not_found() {
    let daemon = Daemon::start().await;
    let by_header = daemon.get("/v1/status").header("undercurrent-namespace", "other");
    for request in [by_header, daemon.get("/v1/status?namespace=other")] {
        let (status, body) = refused(request).await;
        assert_eq!((status, body.code), (404, ErrorCode::NotFound));
        assert!(body.message.contains("`other`") && body.message.contains("`default`"));
    }
    json_of(daemon.get("/v1/status?namespace=default").header("undercurrent-namespace", "default")).await;
}
