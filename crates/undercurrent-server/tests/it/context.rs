//! Reading, putting, invalidating and explaining context.

use serde_json::json;
use undercurrent_types::{ErrorCode, Version};

use crate::kit::{Daemon, header, json_of, key_of, refused, send};

#[tokio::test]
async fn a_value_comes_byte_for_byte_with_the_reasons_to_trust_it() {
    let daemon = Daemon::start().await;
    let bytes = b"\0\xff\r\n no newline at the end";
    let key = daemon.write("a b.bin", bytes);
    let response = send(daemon.context("GET", &key)).await;
    assert_eq!(response.status(), 200);
    let version = Version::of(Some(bytes)).to_string();
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("etag", &format!("\"{version}\"")),
        ("undercurrent-version", &version),
        ("undercurrent-level", "verified"),
        ("undercurrent-why", "loaded"),
        ("undercurrent-exists", "true"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(header(&response, name), value);
    }
    assert!(header(&response, "undercurrent-age-ms").parse::<u64>().is_ok());
    assert!(header(&response, "undercurrent-because").contains("loaded"));
    assert!(header(&response, "undercurrent-token").parse::<undercurrent_types::Token>().is_ok());
    assert_eq!(response.bytes().await.unwrap(), bytes.as_slice());
}

#[tokio::test]
async fn the_next_read_after_a_change_is_right() {
    let daemon = Daemon::start().await;
    for n in 0..20 {
        let text = format!("{n}");
        let key = daemon.write("a.txt", text.as_bytes());
        assert_eq!(send(daemon.context("GET", &key)).await.text().await.unwrap(), text);
    }
    std::fs::remove_file(daemon.root.join("a.txt")).unwrap();
    let (status, _) = refused(daemon.context("GET", &key_of(&daemon.root.join("a.txt")))).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_value_comes_as_json_where_it_is_asked_for() {
    let daemon = Daemon::start().await;
    let as_json = |key: &str| daemon.context("GET", key).header("accept", "application/json");
    let text = json_of(as_json(&daemon.write("a.txt", "ä".as_bytes()))).await;
    assert_eq!(
        (&text["value"], &text["exists"], &text["level"]),
        (&json!("ä"), &json!(true), &json!("verified"))
    );
    assert_eq!(text.get("value_base64"), None);
    let bytes = json_of(as_json(&daemon.write("b.bin", b"\xff"))).await;
    assert_eq!((bytes.get("value"), &bytes["value_base64"]), (None, &json!("/w==")));
    let absent = json_of(as_json(&key_of(&daemon.root.join("absent")))).await;
    assert_eq!((&absent["exists"], absent.get("value")), (&json!(false), None));
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_marked_as_an_answer() {
    let daemon = Daemon::start().await;
    let key = key_of(&daemon.root.join("absent"));
    let response = send(daemon.context("GET", &key)).await;
    assert_eq!(
        (response.status().as_u16(), header(&response, "undercurrent-exists").as_str()),
        (404, "false")
    );
    assert_eq!(header(&response, "undercurrent-level"), "verified");
    let (_, body) = refused(daemon.context("GET", &key)).await;
    assert_eq!((body.code, body.ticket), (ErrorCode::NotFound, None));
    let unfilled = send(daemon.context("GET", "note:a")).await;
    assert_eq!(unfilled.headers().get("undercurrent-exists"), None, "a miss is no answer");
}

#[tokio::test]
async fn a_version_that_the_reader_has_is_not_sent_again() {
    let daemon = Daemon::start().await;
    let key = daemon.write("a.txt", b"a");
    let tag = header(&send(daemon.context("GET", &key)).await, "etag");
    let known = send(daemon.context("GET", &key).header("if-none-match", &tag)).await;
    assert_eq!((known.status().as_u16(), header(&known, "etag")), (304, tag.clone()));
    assert_eq!(known.text().await.unwrap(), "");
    daemon.write("a.txt", b"b");
    let changed = send(daemon.context("GET", &key).header("if-none-match", &tag)).await;
    assert_eq!(changed.text().await.unwrap(), "b");
}

#[tokio::test]
async fn the_level_is_a_preference() {
    let daemon = Daemon::start().await;
    let key = daemon.write("a.txt", b"a");
    send(daemon.context("GET", &key)).await;
    for (prefer, level) in [
        ("freshness=local", "local"),
        ("freshness=\"bounded(5s)\"", "bounded(5000ms)"),
        ("freshness=fresh", "fresh"),
    ] {
        let response = send(daemon.context("GET", &key).header("prefer", prefer)).await;
        assert_eq!(header(&response, "undercurrent-level"), level);
    }
}

#[tokio::test]
async fn what_was_put_is_read_back_until_it_is_invalidated() {
    let daemon = Daemon::start().await;
    let written = json_of(daemon.context("PUT", "note:a b").body("value")).await;
    assert_eq!(written["version"], Version::of(Some(b"value")).to_string());
    let read = daemon.context("GET", "note:a b").query(&[("after", written["token"].as_str().unwrap())]);
    let response = send(read).await;
    assert_eq!(header(&response, "undercurrent-why"), "put");
    assert_eq!(response.text().await.unwrap(), "value");
    let token = json_of(daemon.context("DELETE", "note:a b")).await["token"].as_str().unwrap().to_owned();
    let (status, _) = refused(daemon.context("GET", "note:a b").header("undercurrent-after", token)).await;
    assert_eq!(status, 404);

    json_of(daemon.context("PUT", "note:a").body("1")).await;
    json_of(daemon.context("PUT", "note:b").body("2")).await;
    let names = json!({"names": ["note:a", "note:b", "tag:mine"]});
    json_of(daemon.request("POST", "/v1/invalidate").body(names.to_string())).await;
    for key in ["note:a", "note:b"] {
        assert_eq!(refused(daemon.context("GET", key)).await.0, 404);
    }
}

#[tokio::test]
async fn a_miss_gives_a_ticket_that_goes_stale() {
    let daemon = Daemon::start().await;
    let (_, miss) = refused(daemon.context("GET", "note:a")).await;
    let ticket = miss.ticket.unwrap();
    json_of(daemon.context("PUT", "note:a").header("undercurrent-ticket", &ticket).body("filled")).await;
    assert_eq!(send(daemon.context("GET", "note:a")).await.text().await.unwrap(), "filled");
    json_of(daemon.context("DELETE", "note:a")).await;
    let (status, body) =
        refused(daemon.context("PUT", "note:a").header("undercurrent-ticket", ticket).body("old")).await;
    assert_eq!((status, body.code), (409, ErrorCode::Conflict));
    let (status, body) =
        refused(daemon.context("PUT", "note:a").header("undercurrent-ticket", "x").body("old")).await;
    assert_eq!((status, body.code), (400, ErrorCode::InvalidRequest));
}

#[tokio::test]
async fn a_reader_is_told_what_has_changed_and_may_wait_for_it() {
    let daemon = Daemon::start().await;
    let key = daemon.write("a.txt", b"1\n");
    let version = header(&send(daemon.context("GET", &key)).await, "undercurrent-version");
    let ask = |path: &str| daemon.get(path).query(&[("key", &key), ("version", &version)]);
    let told = json_of(ask("/v1/context/changed")).await;
    assert_eq!((&told["state"], told["context"].get("value")), (&json!("unchanged"), None));
    let waiting = tokio::spawn(send(ask("/v1/context/wait")));
    daemon.write("a.txt", b"2\n");
    assert_eq!(waiting.await.unwrap().text().await.unwrap(), "2\n");
    let told = json_of(ask("/v1/context/changed")).await;
    assert_eq!((&told["state"], &told["context"]["value"]), (&json!("changed"), &json!("2\n")));
    assert!(told["diff"].as_str().unwrap().contains("-1\n+2\n"), "{told}");
    std::fs::remove_file(daemon.root.join("a.txt")).unwrap();
    assert_eq!(json_of(ask("/v1/context/changed")).await["state"], "gone");
    let (status, body) =
        refused(daemon.get("/v1/context/wait").query(&[("key", "note:a"), ("timeout", "1ms")])).await;
    assert_eq!((status, body.code), (504, ErrorCode::TimedOut));
    let (status, _) =
        refused(daemon.get("/v1/context/wait").query(&[("key", "note:a"), ("timeout", "2m")])).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_kind_that_no_source_can_be_asked_about_refuses_to_ask_it() {
    let daemon = Daemon::start().await;
    for (key, reason) in
        [("state:a", "the log itself"), ("ci:github/o/r#status@1", "the log itself"), ("note:a", "no source")]
    {
        for level in ["synced", "verified"] {
            let read = daemon.context("GET", key).header("prefer", format!("freshness={level}"));
            let (status, body) = refused(read).await;
            assert_eq!((status, body.code), (422, ErrorCode::LevelNotOffered), "`{key}` at {level}");
            assert!(body.message.contains(reason) && body.message.contains(level), "{}", body.message);
        }
    }
}

#[tokio::test]
async fn what_is_put_with_inputs_and_tags_is_stale_with_them() {
    let daemon = Daemon::start().await;
    let input = daemon.write("a=b.txt", b"1");
    let version = header(&send(daemon.context("GET", &input)).await, "undercurrent-version");
    let put = || {
        let made_from =
            [("input", format!("{input}={version}")), ("tag", "mine".into()), ("ttl", "10m".into())];
        daemon.context("PUT", "note:sum").query(&made_from).body("one")
    };
    json_of(put()).await;
    assert_eq!(send(daemon.context("GET", "note:sum")).await.text().await.unwrap(), "one");
    json_of(daemon.request("POST", "/v1/invalidate").body(r#"{"names":["tag:mine"]}"#)).await;
    assert_eq!(refused(daemon.context("GET", "note:sum")).await.0, 404);
    daemon.write("a=b.txt", b"2");
    // Inputs are compared as they are known, so the change has to be known.
    send(daemon.context("GET", &input)).await;
    let (status, body) = refused(put()).await;
    assert_eq!((status, body.code), (409, ErrorCode::Conflict));
    assert!(body.message.contains("a=b.txt"), "{}", body.message);
    for (name, value) in [("input", "note:a"), ("input", "note:a=x"), ("tag", ""), ("ttl", "1h")] {
        let (status, _) = refused(daemon.context("PUT", "note:sum").query(&[(name, value)]).body("1")).await;
        assert_eq!(status, 400, "{name}={value}");
    }
}

#[tokio::test]
async fn an_event_about_a_state_is_what_is_read() {
    let daemon = Daemon::start().await;
    json_of(daemon.context("PUT", "state:task-7").body(r#"{"done": false}"#)).await;
    assert_eq!(send(daemon.context("GET", "state:task-7")).await.text().await.unwrap(), r#"{"done": false}"#);
    let event = json!({"specversion": "1.0", "id": "1", "source": "agent/7", "type": "state_update.task",
        "subject": "state:task-7", "data": {"done": true}});
    json_of(daemon.post_event("tasks", &event)).await;
    assert_eq!(send(daemon.context("GET", "state:task-7")).await.text().await.unwrap(), r#"{"done":true}"#);
    let explained = json_of(daemon.get("/v1/explain?key=state:task-7")).await;
    assert_eq!(explained["invalidations"][0]["event_type"], "state_update.task");
    assert_eq!(explained["invalidations"][0]["event_id"], "1");
}

#[tokio::test]
async fn the_daemon_says_what_it_is_doing() {
    let daemon = Daemon::start().await;
    let status = json_of(daemon.get("/v1/status")).await;
    assert_eq!((&status["namespace"], &status["store"]), (&json!("default"), &json!("writable")));
    assert_eq!(status["sources"][0]["target"], daemon.root.to_str().unwrap());
}

#[tokio::test]
async fn a_session_is_told_what_has_changed_since_it_read() {
    let daemon = Daemon::start().await;
    let (kept, edited) = (daemon.write("a.txt", b"a"), daemon.write("b.txt", b"b"));
    let gone = daemon.write("c.txt", b"c");
    for key in [&kept, &edited, &gone] {
        let response = send(daemon.context("GET", key).header("undercurrent-session", "agent-7")).await;
        assert_eq!(response.status(), 200);
    }
    daemon.write("b.txt", b"new");
    std::fs::remove_file(daemon.root.join("c.txt")).unwrap();
    let asked = || daemon.request("GET", "/v1/changes?session=agent-7");
    let notice = json_of(asked()).await;
    let changes: Vec<_> =
        notice["changes"].as_array().unwrap().iter().map(|c| (&c["key"], &c["state"])).collect();
    let (edited, gone) = (json!(edited), json!(gone));
    assert_eq!(changes, [(&edited, &json!("changed")), (&gone, &json!("gone"))]);
    let text = send(asked().header("accept", "text/plain")).await.text().await.unwrap();
    assert!(text.starts_with("2 things that session agent-7 was given"), "{text}");
    let (status, _) = refused(daemon.request("GET", "/v1/changes?session=agent-7&ack=true")).await;
    assert_eq!(status, 400);
    assert_eq!(json_of(daemon.request("POST", "/v1/changes?session=agent-7&ack=true")).await, notice);
    assert_eq!(json_of(asked()).await["changes"], json!([]));
    for bad in ["", "?session=", "?session=a%20b"] {
        assert_eq!(refused(daemon.request("GET", &format!("/v1/changes{bad}"))).await.0, 400, "{bad}");
    }
}
