//! Events that only live subscribers get.

use undercurrent::Event;
use undercurrent::stream::{Delivery, Live, LiveSubscription};

use crate::kit::Engine;
use crate::stream::message;

fn about(id: &str, subject: &str) -> Event {
    message(id).with_id(id).with_subject(subject)
}

async fn live(engine: &Engine) -> LiveSubscription {
    let mut reader = engine.events.subscribe("s").with_ephemeral().await.unwrap();
    while !matches!(reader.next().await.unwrap(), Live::Kept(Delivery::CaughtUp(_))) {}
    reader
}

async fn next(reader: &mut LiveSubscription) -> (String, Option<u64>) {
    match reader.next().await.unwrap() {
        Live::Kept(Delivery::Event(record)) => (record.id_text().to_owned(), None),
        Live::Ephemeral(record, dropped) => (record.id_text().to_owned(), Some(dropped)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_who_follows_live_gets_an_ephemeral_event_and_no_cursor_moves() {
    let engine = Engine::open();
    let stream = "s".parse().unwrap();
    engine.events.publish("s", about("1", "call-1")).await.unwrap();
    assert_eq!(engine.events.publish_ephemeral(&stream, about("early", "call-2")).await.unwrap(), 0);
    let mut reader = live(&engine).await;
    let tail = engine.store.tail(&stream).await.unwrap();
    assert_eq!(engine.events.publish_ephemeral(&stream, about("token", "call-2")).await.unwrap(), 1);
    assert_eq!(next(&mut reader).await, ("token".to_owned(), Some(0)));
    assert_eq!(engine.store.tail(&stream).await.unwrap(), tail);
    let mut later = live(&engine).await;
    engine.events.publish("s", about("2", "call-2")).await.unwrap();
    assert_eq!(next(&mut later).await, ("2".to_owned(), None));
}

#[tokio::test]
async fn the_fact_stands_for_what_led_to_it() {
    let engine = Engine::open();
    let stream = "s".parse().unwrap();
    let mut reader = live(&engine).await;
    for (id, subject) in [("token", "call-1"), ("other", "call-2")] {
        engine.events.publish_ephemeral(&stream, about(id, subject)).await.unwrap();
    }
    engine.events.publish("s", about("fact", "call-1")).await.unwrap();
    engine.events.publish_ephemeral(&stream, about("again", "call-1")).await.unwrap();
    assert_eq!(next(&mut reader).await, ("fact".to_owned(), None));
    assert_eq!(next(&mut reader).await, ("other".to_owned(), Some(0)));
    assert_eq!(next(&mut reader).await, ("again".to_owned(), Some(0)));
}

#[tokio::test]
async fn a_slow_subscriber_is_told_how_many_were_dropped() {
    let engine = Engine::open();
    let stream = "s".parse().unwrap();
    let mut reader = live(&engine).await;
    for n in 0..300 {
        engine
            .events
            .publish_ephemeral(&stream, message(&n.to_string()).with_id(n.to_string()))
            .await
            .unwrap();
    }
    assert_eq!(next(&mut reader).await, ("44".to_owned(), Some(44)));
    assert_eq!(next(&mut reader).await, ("45".to_owned(), Some(0)));
}

#[tokio::test]
async fn a_slow_subscriber_is_given_the_last_word_about_each_subject_and_what_it_filters_out_takes_no_room() {
    let engine = Engine::open();
    let stream = "s".parse().unwrap();
    let filter = undercurrent::stream::Filter::default().with_subject("call-*").unwrap();
    let mut reader = engine.events.subscribe("s").filter(filter).with_ephemeral().await.unwrap();
    while !matches!(reader.next().await.unwrap(), Live::Kept(Delivery::CaughtUp(_))) {}
    engine.events.publish_ephemeral(&stream, about("progress 0", "call-1")).await.unwrap();
    engine.events.publish_ephemeral(&stream, about("other", "call-2")).await.unwrap();
    for n in 1..=1000 {
        engine.events.publish_ephemeral(&stream, about(&format!("progress {n}"), "call-1")).await.unwrap();
        engine.events.publish_ephemeral(&stream, about("noise", "note-1")).await.unwrap();
    }
    assert_eq!(next(&mut reader).await, ("other".to_owned(), Some(0)));
    assert_eq!(next(&mut reader).await, ("progress 746".to_owned(), Some(746)));
    for n in 747..=1000 {
        assert_eq!(next(&mut reader).await, (format!("progress {n}"), Some(0)));
    }
}

#[tokio::test]
async fn a_slow_subscriber_does_not_take_room_from_another() {
    let engine = Engine::open();
    let stream = "s".parse().unwrap();
    let (mut slow, mut quick) = (live(&engine).await, live(&engine).await);
    for n in 0..300 {
        assert_eq!(
            engine.events.publish_ephemeral(&stream, about(&n.to_string(), "call-1")).await.unwrap(),
            2
        );
        assert_eq!(next(&mut quick).await, (n.to_string(), Some(0)));
    }
    assert_eq!(next(&mut slow).await, ("44".to_owned(), Some(44)));
    drop(slow);
    assert_eq!(engine.events.publish_ephemeral(&stream, about("last", "call-1")).await.unwrap(), 1);
}
