//! A subscriber misses nothing, or is told.

use undercurrent::stream::{Delivery, Filter};
use undercurrent::types::{Data, ErrorCode};
use undercurrent::{Event, EventStream};

use crate::kit::Engine;

pub(crate) fn message(text: &str) -> Event {
    let data = Data::from_json(format!("{{\"text\":\"{text}\"}}").as_bytes()).unwrap();
    Event::new("message".parse().unwrap(), "agent/7".parse().unwrap()).with_data(data)
}

async fn publish(events: &EventStream, stream: &str, count: usize) {
    for i in 0..count {
        events.publish(stream, message(&i.to_string())).await.unwrap();
    }
}

async fn publish_batch(events: &EventStream, stream: &str, count: usize) {
    let batch = (0..count).map(|i| undercurrent::event_stream::Outgoing {
        stream: stream.parse().unwrap(),
        event: message(&i.to_string()),
        durability: None,
        expected_seq: None,
    });
    events.publish_with(batch.collect(), Vec::new(), "").await.unwrap();
}

#[tokio::test]
async fn history_and_live_come_in_one_call_with_a_mark_between() {
    let engine = Engine::open();
    publish(&engine.events, "s", 3).await;
    let mut reader = engine.events.subscribe("s").await.unwrap();
    for seq in 1..=3 {
        let Delivery::Event(record) = reader.next().await.unwrap() else { panic!("expected an event") };
        assert_eq!(record.cursor.seq.0, seq);
    }
    assert!(matches!(reader.next().await.unwrap(), Delivery::CaughtUp(cursor) if cursor.seq.0 == 3));
    publish(&engine.events, "s", 1).await;
    assert!(matches!(reader.next().await.unwrap(), Delivery::Event(record) if record.cursor.seq.0 == 4));
}

#[tokio::test]
async fn a_slow_subscriber_loses_nothing() {
    let engine = Engine::open();
    let mut reader = engine.events.subscribe("s").from_now().await.unwrap();
    assert!(matches!(reader.next().await.unwrap(), Delivery::CaughtUp(_)));
    // Far more than the live ring holds, while the reader does not read.
    let total = 5_000;
    for _ in 0..total / 250 {
        publish_batch(&engine.events, "s", 250).await;
    }
    for seq in 1..=total {
        let Delivery::Event(record) = reader.next().await.unwrap() else { panic!("expected event {seq}") };
        assert_eq!(record.cursor.seq.0, seq);
    }
    publish(&engine.events, "s", 1).await;
    assert!(
        matches!(reader.next().await.unwrap(), Delivery::Event(record) if record.cursor.seq.0 == total + 1)
    );
}

#[tokio::test]
async fn a_reader_goes_on_where_it_stood_after_a_restart() {
    let engine = Engine::open();
    publish(&engine.events, "s", 5).await;
    let mut reader = engine.events.subscribe("s").await.unwrap();
    reader.next().await.unwrap();
    reader.next().await.unwrap();
    let cursor = reader.cursor();
    drop(reader);
    engine.events.close().await;
    let Engine { events, store, dir } = engine;
    drop((events, store));
    let engine = Engine::open_in(dir);
    let mut reader = engine.events.subscribe("s").from(cursor).await.unwrap();
    assert!(matches!(reader.next().await.unwrap(), Delivery::Event(record) if record.cursor.seq.0 == 3));
}

#[tokio::test]
async fn a_cursor_of_another_epoch_is_gone_with_the_oldest() {
    let engine = Engine::open();
    publish(&engine.events, "s", 1).await;
    let cursor = "00000000000000ff.0000000000000001".parse().unwrap();
    let Err(error) = engine.events.subscribe("s").from(cursor).await else { panic!("it was accepted") };
    let body = error.body();
    assert_eq!(body.code, ErrorCode::Gone);
    assert!(body.oldest.is_some());
}

#[tokio::test]
async fn a_filter_takes_what_it_names() {
    let engine = Engine::open();
    publish(&engine.events, "s", 1).await;
    let action =
        Event::new("action.edit".parse().unwrap(), "agent/8".parse().unwrap()).with_subject("file:/a/b");
    engine.events.publish("s", action).await.unwrap();
    let count = async |filter: Filter| {
        let mut reader = engine.events.subscribe("s").filter(filter).await.unwrap();
        let mut count = 0;
        while let Delivery::Event(_) = reader.next().await.unwrap() {
            count += 1;
        }
        count
    };
    assert_eq!(count(Filter::default()).await, 2);
    assert_eq!(count(Filter::default().with_type("action.*").unwrap()).await, 1);
    assert_eq!(count(Filter::default().with_type("action").unwrap()).await, 0);
    assert_eq!(count(Filter::default().with_source("agent/7").unwrap()).await, 1);
    assert_eq!(count(Filter::default().with_subject("file:/a/*").unwrap()).await, 1);
    assert!(Filter::default().with_type("a*b").is_err());
}
