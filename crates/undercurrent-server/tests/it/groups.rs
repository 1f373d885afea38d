//! Groups over HTTP.

use serde_json::{Value, json};
use undercurrent_types::ErrorCode;

use crate::kit::{Daemon, in_time, json_of, refused, send};

fn ids(fetched: &Value) -> Vec<&str> {
    fetched["deliveries"].as_array().unwrap().iter().map(|one| one["event"]["id"].as_str().unwrap()).collect()
}

fn post(daemon: &Daemon, verb: &str, body: &Value) -> reqwest::RequestBuilder {
    daemon.request("POST", &format!("/v1/groups/g/{verb}")).body(body.to_string())
}

#[tokio::test]
async fn a_group_is_made_worked_on_shown_and_deleted() {
    let daemon = Daemon::start().await;
    daemon.publish("s", &["1", "2", "3"]).await;
    let made = json_of(daemon.request("PUT", "/v1/groups/g?stream=s&lease=45s&order=subject")).await;
    assert_eq!((&made["group"], &made["stream"], &made["lag"]), (&json!("g"), &json!("s"), &json!(3)));
    assert_eq!((&made["lease_ms"], &made["dead_letters"]), (&json!(45_000), &json!("s/dead")));
    let fetched = json_of(daemon.request("POST", "/v1/groups/g/fetch?max=2")).await;
    assert_eq!(ids(&fetched), ["1", "2"]);
    let first = &fetched["deliveries"][0];
    assert_eq!(
        (&first["seq"], &first["deliveries"], &first["lease_ms"]),
        (&json!(1), &json!(1), &json!(45_000))
    );
    assert_eq!(first["lease"], json!(format!("1:{}", first["generation"])));
    let leases = |n: usize| json!({"leases": [fetched["deliveries"][n]["lease"]]});
    assert_eq!(json_of(post(&daemon, "ack", &leases(0))).await, json!({"done": 1}));
    let (status, body) = refused(post(&daemon, "ack", &leases(0))).await;
    assert_eq!((status, body.code, body.refused.len()), (409, ErrorCode::Conflict, 1));
    assert!(body.message.contains("event 1 is done"), "{}", body.message);
    json_of(post(&daemon, "extend", &json!({"leases": leases(1)["leases"], "lease_ms": 1000}))).await;
    json_of(post(&daemon, "nack", &json!({"leases": leases(1)["leases"], "delay_ms": 0, "reason": "no"})))
        .await;
    let again = json_of(daemon.request("POST", "/v1/groups/g/fetch?max=9")).await;
    assert_eq!((ids(&again), &again["deliveries"][0]["deliveries"]), (vec!["2", "3"], &json!(2)));
    json_of(post(&daemon, "term", &json!({"leases": [again["deliveries"][0]["lease"]], "reason": "bad"})))
        .await;
    json_of(post(&daemon, "release", &json!({"leases": [again["deliveries"][1]["lease"]]}))).await;
    let page = json_of(daemon.get("/v1/events/s/dead")).await;
    assert_eq!((&page[0]["type"], &page[0]["data"]["reason"]), (&json!("system.dead_letter"), &json!("bad")));
    assert_eq!(page[0]["data"]["event"]["id"], "2");
    let shown = json_of(daemon.get("/v1/groups/g")).await;
    assert_eq!((&shown["lag"], &shown["held"], &shown["dead"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!(json_of(daemon.get("/v1/groups")).await, json!([shown]));
    let metrics = send(daemon.get("/metrics")).await.text().await.unwrap();
    assert!(metrics.contains("undercurrent_group_lag{group=\"g\"} 1\n"), "{metrics}");
    assert_eq!(json_of(daemon.request("DELETE", "/v1/groups/g")).await, json!({"group": "g"}));
    let (status, body) = refused(daemon.get("/v1/groups/g")).await;
    assert_eq!((status, body.code), (404, ErrorCode::NotFound));
}

#[tokio::test]
async fn a_member_waits_for_an_event_and_not_for_the_end_of_the_daemon() {
    let daemon = Daemon::start().await;
    json_of(daemon.request("PUT", "/v1/groups/g?stream=s")).await;
    let waiting = tokio::spawn(daemon.request("POST", "/v1/groups/g/fetch?wait=60s").send());
    daemon.publish("s", &["1"]).await;
    let fetched: Value = in_time(waiting).await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(ids(&fetched), ["1"]);
    let waiting = tokio::spawn(daemon.request("POST", "/v1/groups/g/fetch?wait=60s").send());
    daemon.begin_end();
    // Whether it was taken in before the end or came too late: it ends at once.
    if let Ok(answer) = in_time(waiting).await.unwrap() {
        assert_eq!(answer.status(), 503);
    }
    daemon.end().await;
}

#[tokio::test]
async fn what_a_group_can_not_be_asked_is_refused_with_the_reason() {
    let daemon = Daemon::start().await;
    json_of(daemon.request("PUT", "/v1/groups/g?stream=s")).await;
    let cases = [
        ("PUT", "h", 400, "needs a stream"),
        ("PUT", "h?stream=s&lease=1ms", 400, "from 100 to 43200000"),
        ("PUT", "h?stream=s&lease=1", 400, "expected a time"),
        ("PUT", "h?stream=s&order=time", 400, "expected `none` or `subject`"),
        ("PUT", "h?stream=s&max_open=0", 400, "from 1 to 4096"),
        ("PUT", "h?stream=s&dead_letters=s", 400, "name another stream"),
        ("PUT", "h?stream=s&from=17", 400, "begins at `beginning`, `now` or a cursor"),
        ("PUT", "h?stream=s&from=00000000000000ff.0000000000000001", 410, "can not be continued"),
        ("PUT", "h?stream=s&width=1", 400, "no parameter `width`"),
        ("PUT", "a%20b?stream=s", 400, "is not a group name"),
        ("PUT", "g?stream=t", 409, "stream `s`, not `t`"),
        ("PUT", "g?from=now", 409, "start `beginning`, not `now`"),
        ("DELETE", "h", 404, "no group `h`"),
        ("POST", "h/fetch", 404, "no group `h`"),
        ("POST", "g/fetch?max=0", 400, "from 1 to 1000"),
        ("POST", "g/fetch?wait=61s", 400, "over 60 s"),
    ];
    for (method, path, status, message) in cases {
        let (given, body) = refused(daemon.request(method, &format!("/v1/groups/{path}"))).await;
        assert_eq!(given, status, "{path}: {}", body.message);
        assert!(body.message.contains(message), "{path}: {}", body.message);
    }
    let bodies = [
        ("ack", json!({"leases": []}), 400, "the number of leases is 0"),
        ("ack", json!({"leases": ["1"]}), 400, "is not a lease"),
        ("ack", json!({"leases": ["1:1"], "reason": "x"}), 400, "belongs to `nack` and `term`"),
        ("ack", json!({"lease": "1:1"}), 400, "unknown field `lease`"),
        ("ack", json!({"leases": ["1:1"]}), 409, "event 1 has not been given"),
        ("nack", json!({"leases": ["1:1"], "delay_ms": 43_200_001}), 400, "the delay in ms"),
        ("finish", json!({"leases": ["1:1"]}), 404, "no `finish`"),
    ];
    for (verb, body, status, message) in bodies {
        let (given, body) = refused(post(&daemon, verb, &body)).await;
        assert_eq!(given, status, "{verb}: {}", body.message);
        assert!(body.message.contains(message), "{verb}: {}", body.message);
    }
}
