//! Publishing, and reading in pages.

use serde_json::json;
use undercurrent_types::ErrorCode;

use crate::kit::{Daemon, Dirs, header, json_of, message, refused, send};

#[tokio::test]
async fn an_event_is_acknowledged_with_its_place() {
    let daemon = Daemon::start().await;
    let ack = json_of(daemon.post_event("sessions/42", &message("one"))).await;
    assert_eq!(ack["stream"], "sessions/42");
    assert_eq!((&ack["id"], &ack["seq"], &ack["durability"]), (&json!("one"), &json!(1), &json!("durable")));
    assert_eq!(ack.get("duplicate"), None);
    let again = json_of(daemon.post_event("sessions/42", &message("one"))).await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(1), &json!(true)));
    let other = json_of(daemon.post_event("sessions/42?durability=memory", &message("two"))).await;
    assert_eq!(other["durability"], "durable", "a stream keeps what it promised at first");
    let weak = json_of(daemon.post_event("scratch?durability=memory", &message("two"))).await;
    assert_eq!(weak["durability"], "memory");
}

#[tokio::test]
async fn an_event_arrives_in_every_mode_of_the_binding() {
    let daemon = Daemon::start().await;
    let post = || daemon.request("POST", "/v1/events/modes");
    json_of(post().header("content-type", "application/json").body(message("json").to_string())).await;
    let binary =
        post().header("content-type", "text/plain").header("ce-specversion", "1.0").header("ce-id", "binary");
    let binary =
        binary.header("ce-source", "agent/7").header("ce-type", "message").header("ce-subject", "a%20b");
    json_of(binary.body("plain")).await;
    let batch = post().header("content-type", "application/cloudevents-batch+json; charset=utf-8");
    let acks = json_of(batch.body(json!([message("first"), message("second")]).to_string())).await;
    assert_eq!((&acks[0]["seq"], &acks[1]["seq"]), (&json!(3), &json!(4)));
    let none = post().header("content-type", "application/cloudevents-batch+json").body("[]");
    assert_eq!(json_of(none).await, json!([]));

    let page = json_of(daemon.get("/v1/events/modes")).await;
    let ids: Vec<_> = page.as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["json", "binary", "first", "second"]);
    assert_eq!(page[0]["data"], json!({"text": "json"}));
    assert_eq!(page[1]["data_base64"], "cGxhaW4=");
    assert_eq!((&page[1]["subject"], &page[1]["datacontenttype"]), (&json!("a b"), &json!("text/plain")));
    assert_eq!(page[3]["sequence"], acks[1]["cursor"]);
    assert_eq!(page[3]["position"], acks[1]["token"]);
}

#[tokio::test]
async fn what_a_client_expects_of_the_stream_decides() {
    let daemon = Daemon::start().await;
    json_of(daemon.post_event("s?expected_seq=0", &message("1"))).await;
    let (status, body) = refused(daemon.post_event("s?expected_seq=0", &message("2"))).await;
    assert_eq!((status, body.code), (409, ErrorCode::Conflict));
    let batch = daemon.request("POST", "/v1/events/s?expected_seq=1");
    let batch = batch.header("content-type", "application/cloudevents-batch+json");
    let acks = json_of(batch.body(json!([message("2"), message("3")]).to_string())).await;
    assert_eq!(acks[1]["seq"], 3);
    let other =
        json!({"specversion": "1.0", "id": "1", "source": "agent/7", "type": "message", "data": "another"});
    let (status, body) = refused(daemon.post_event("s", &other)).await;
    assert_eq!((status, body.code), (409, ErrorCode::Conflict), "an id names one event");
}

#[tokio::test]
async fn a_stream_is_read_in_pages() {
    let daemon = Daemon::start().await;
    let ids: Vec<String> = (1..=7).map(|n| n.to_string()).collect();
    daemon.publish("s", &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut next = "/v1/events/s?limit=3".to_owned();
    let mut read = Vec::new();
    loop {
        let response = send(daemon.get(&next)).await;
        assert_eq!(header(&response, "content-type"), "application/cloudevents-batch+json");
        let link = header(&response, "link");
        let (address, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
        assert_eq!(rest, "; rel=\"next\"");
        assert!(address.starts_with("/v1/events/s?limit=3&from="), "`{address}`");
        let cursor = header(&response, "undercurrent-next");
        let at_tail = header(&response, "undercurrent-at-tail") == "true";
        let address = address.to_owned();
        let page: Vec<serde_json::Value> = response.json().await.unwrap();
        assert!(page.last().is_none_or(|event| event["sequence"] == *cursor));
        read.extend(page.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
        if at_tail {
            break;
        }
        next = address;
    }
    assert_eq!(read, ids);
}

#[tokio::test]
async fn an_empty_stream_is_an_empty_page_to_go_on_from() {
    let daemon = Daemon::start().await;
    let response = send(daemon.get("/v1/events/s")).await;
    let next = header(&response, "undercurrent-next");
    assert_eq!(header(&response, "undercurrent-at-tail"), "true");
    assert_eq!(response.text().await.unwrap(), "[]");
    daemon.publish("s", &["1"]).await;
    let page = json_of(daemon.get("/v1/events/s").query(&[("from", &next)])).await;
    assert_eq!(page[0]["id"], "1");
    assert_eq!(json_of(daemon.get("/v1/events/s?from=now")).await, json!([]));
}

#[tokio::test]
async fn a_page_is_filtered() {
    let daemon = Daemon::start().await;
    for (id, ty, source, subject) in [
        ("1", "message", "agent/7", "state:a"),
        ("2", "observation.note", "agent/70", "state:a"),
        ("3", "observation.other", "agent/7/x", "state:b"),
    ] {
        let event = json!({"specversion": "1.0", "id": id, "source": source, "type": ty, "subject": subject});
        json_of(daemon.post_event("s", &event)).await;
    }
    let cases = [
        ("type=message", vec!["1"]),
        ("type=observation.*", vec!["2", "3"]),
        ("type=message&type=observation.note", vec!["1", "2"]),
        ("source=agent/7", vec!["1", "3"]),
        ("subject=state:a", vec!["1", "2"]),
        ("subject=state:a&source=agent/70", vec!["2"]),
        ("type=plan", vec![]),
    ];
    for (filter, expected) in cases {
        let page = json_of(daemon.get(&format!("/v1/events/s?{filter}"))).await;
        let ids: Vec<_> =
            page.as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{filter}");
    }
}

#[tokio::test]
async fn streams_are_listed_with_their_tails() {
    let daemon = Daemon::start_with(Dirs::new(), |config| config.engine.roots.clear()).await;
    daemon.publish("b/c", &["1", "2"]).await;
    let cursors = daemon.publish("a", &["1"]).await;
    let streams = json_of(daemon.get("/v1/streams")).await;
    let expected = json!({
        "stream": "a", "cursor": cursors[0], "durability": "durable", "oldest": 1, "max_age_s": 604_800, "max_bytes": 1 << 30,
    });
    assert_eq!(streams[0], expected);
    assert_eq!(streams[1]["stream"], "b/c");
}

#[tokio::test]
async fn several_streams_are_read_in_one_order_page_by_page() {
    let daemon = Daemon::start().await;
    for (stream, id) in [("sessions/1", "1"), ("other", "2"), ("sessions/2", "3"), ("sessions/1", "4")] {
        assert_eq!(send(daemon.post_event(stream, &message(id))).await.status(), 200);
    }
    let first = send(daemon.get("/v1/events?streams=sessions/*&limit=2")).await;
    let next = header(&first, "undercurrent-next");
    let events: serde_json::Value = first.json().await.unwrap();
    let seen = |events: &serde_json::Value| -> Vec<(String, String)> {
        let text = |event: &serde_json::Value, name: &str| event[name].as_str().unwrap().to_owned();
        events.as_array().unwrap().iter().map(|e| (text(e, "stream"), text(e, "id"))).collect()
    };
    let expected = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(stream, id)| ((*stream).to_owned(), (*id).to_owned())).collect()
    };
    assert_eq!(seen(&events), expected(&[("sessions/1", "1"), ("sessions/2", "3")]));
    let second = send(daemon.get(&format!("/v1/events?streams=sessions/*&from={next}"))).await;
    assert_eq!(header(&second, "undercurrent-at-tail"), "true");
    assert_eq!(seen(&second.json().await.unwrap()), expected(&[("sessions/1", "4")]));
    for bad in ["", "?streams=a*b", "?streams=a&from=0000000000000001.0000000000000001"] {
        assert_eq!(refused(daemon.get(&format!("/v1/events{bad}"))).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_batch_of_several_streams_is_published_in_order_all_or_none() {
    let daemon = Daemon::start().await;
    let batch = |events: serde_json::Value| {
        let request = daemon.request("POST", "/v1/events");
        request.header("content-type", "application/cloudevents-batch+json").body(events.to_string())
    };
    let of = |stream: &str, id: &str| {
        let mut event = message(id);
        event["stream"] = stream.into();
        event
    };
    let (status, body) = refused(batch(serde_json::json!([of("a", "1"), message("2")]))).await;
    assert_eq!((status, body.index), (400, Some(1)));
    assert!(body.message.contains("`stream` is missing"), "{body}");
    assert!(daemon.has_no_events().await);
    let acks = json_of(batch(serde_json::json!([of("a", "1"), of("b", "2"), of("a", "3")]))).await;
    let seqs: Vec<_> = acks.as_array().unwrap().iter().map(|ack| (&ack["stream"], &ack["seq"])).collect();
    assert_eq!(seqs, [(&"a".into(), &1.into()), (&"b".into(), &1.into()), (&"a".into(), &2.into())]);
    // What a page of several streams says can be sent as it is.
    let page = json_of(daemon.get("/v1/events?streams=a&streams=b")).await;
    let again = json_of(batch(page)).await;
    assert!(again.as_array().unwrap().iter().all(|ack| ack["duplicate"] == true), "{again}");
    let wrong = daemon.request("POST", "/v1/events").header("content-type", "application/json").body("[]");
    assert!(refused(wrong).await.1.message.contains("attribute `stream`"));
}
