//! A secret that was found too late is nowhere on the server any more, and everything else is where it was.

use bytes::Bytes;
use undercurrent_servers::{Server, Setup, applicable};
use undercurrent_types::{Data, Name};

use super::scripts::keep;
use super::support::{new, open};
use crate::store::contract::{batch, event, ids, key, read_all};
use crate::store::{Batch, NewEvent, RowWrite, Secret, Store};

const SECRET: &str = "hunter2-\"quoted\"";

fn telling(id: &str) -> NewEvent {
    let data = serde_json::json!({ "output": format!("the password is {SECRET}, keep it"), "id": id });
    let state = Bytes::from(data.to_string());
    let event = event(id).with_data(Data::from_json(&state).unwrap());
    NewEvent { event, latest: Some((key(&format!("state:{id}")), Some(state))), ..new("a", id) }
}

/// Says whether any value of the server has it.
async fn is_on(server: &Server) -> bool {
    let secret = Secret::new(SECRET.as_bytes()).unwrap();
    let keys: Vec<String> = server.command(&["KEYS", "*"]).await.unwrap();
    for key in keys {
        let kind: String = server.command(&["TYPE", &key]).await.unwrap();
        let words: &[&str] = match &*kind {
            "hash" => &["HGETALL", &key],
            "stream" => &["XRANGE", &key, "-", "+"],
            "string" => &["GET", &key],
            _ => continue,
        };
        let value: redis::Value = server.command(words).await.unwrap();
        if super::super::scrub::has(&secret, value) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_secret_is_nowhere_after_a_scrub_and_every_event_where_it_was() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    let a = open(&server.url()).await;
    for n in 0..1200 {
        let id = n.to_string();
        let event = if n % 400 == 5 { telling(&id) } else { new("a", &id) };
        a.publish(batch(vec![event, new("clean", &id)])).await.unwrap();
    }
    let value = Some(Bytes::from(SECRET));
    let row = RowWrite { table: "t", id: "1".to_owned(), expected: None, value };
    a.publish(Batch::writing(vec![row])).await.unwrap();
    keep(&a, "state:cached", SECRET).await;
    assert!(is_on(&server).await);
    let before = read_all(&*a, "a", 999).await;
    let revision = a.row("t", "1").await.unwrap().unwrap().revision;
    let (scrubbed, names) = a.scrub(&Secret::new(SECRET.as_bytes()).unwrap()).await.unwrap();
    assert_eq!((scrubbed.commits, scrubbed.segments), (3 + 3 + 1, 1), "{scrubbed:?}");
    let told = ["405", "5", "805", "cached"].map(|id| Name::from(&key(&format!("state:{id}"))));
    assert_eq!(names, told);
    assert!(!is_on(&server).await);
    let after = read_all(&*a, "a", 999).await;
    assert_eq!(ids(&after), ids(&before));
    for (before, after) in before.iter().zip(&after) {
        let of = |record: &crate::store::Record| (record.cursor, record.token, record.json.len());
        assert_eq!(of(before), of(after));
        assert!(after.event().is_ok());
    }
    let state = a.latest(&key("state:5")).await.unwrap().unwrap();
    assert!(state.starts_with(br#"{"id":"5","output":"the password is ****"#), "{state:?}");
    let row = a.row("t", "1").await.unwrap().unwrap();
    assert_eq!((row.revision, &row.value[..]), (revision, "*".repeat(SECRET.len()).as_bytes()));
    // What was published with it is the same event still, and the stream goes on where it was.
    let again = a.publish(batch(vec![telling("5")])).await.unwrap().events[0];
    assert!(again.duplicate);
    let next = a.publish(batch(vec![new("a", "next")])).await.unwrap().events[0];
    assert_eq!(next.cursor.seq.0, 1201);
    let left: i64 = server.command(&["PTTL", "{uc:default}:stream:a"]).await.unwrap();
    assert_eq!(left, -1, "it stays");
}
