//! Several streams in one subscription.

use undercurrent::event_stream::Outgoing;
use undercurrent::store::{Batch, Invalidation};
use undercurrent::stream::{Filter, LogDelivery, LogStart, LogSubscription, Streams};

use crate::kit::Engine;
use crate::stream::message;

async fn publish(engine: &Engine, events: &[(&str, &str)]) {
    let outgoing = events.iter().map(|(stream, id)| Outgoing {
        stream: stream.parse().unwrap(),
        event: message(id).with_id(*id),
        durability: None,
        expected_seq: None,
    });
    engine.events.publish_with(outgoing.collect(), Vec::new(), "").await.unwrap();
}

async fn open(engine: &Engine, pattern: &str, start: LogStart) -> LogSubscription {
    engine.events.subscribe_all(Streams::parse([pattern]).unwrap(), start, Filter::default()).await.unwrap()
}

/// Returns the ids up to the mark.
async fn history(reader: &mut LogSubscription) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        match reader.next().await.unwrap() {
            LogDelivery::Event(_, record) => ids.push(record.id_text().to_owned()),
            LogDelivery::CaughtUp(_) => return ids,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_pattern_gives_history_and_live_of_all_its_streams_in_order() {
    let engine = Engine::open();
    publish(&engine, &[("sessions/1", "1")]).await;
    publish(&engine, &[("other", "2"), ("sessions/2", "3")]).await;
    let mut reader = open(&engine, "sessions/*", LogStart::Beginning).await;
    assert_eq!(history(&mut reader).await, ["1", "3"]);
    publish(&engine, &[("other", "4")]).await;
    publish(&engine, &[("sessions/new", "5")]).await;
    let LogDelivery::Event(cursor, record) = reader.next().await.unwrap() else {
        panic!("expected an event")
    };
    assert_eq!((record.stream.as_str(), record.id_text(), reader.cursor()), ("sessions/new", "5", cursor));
    engine.events.close().await;
    assert!(reader.next().await.is_err());
}

#[tokio::test]
async fn a_reader_goes_on_in_the_middle_of_a_commit_and_from_now() {
    let engine = Engine::open();
    publish(&engine, &[("a/1", "1"), ("a/2", "2"), ("a/1", "3")]).await;
    publish(&engine, &[("a/1", "4")]).await;
    let mut reader = open(&engine, "a/*", LogStart::Beginning).await;
    let mut rest = vec!["1", "2", "3", "4"];
    while !rest.is_empty() {
        let LogDelivery::Event(cursor, record) = reader.next().await.unwrap() else {
            panic!("expected an event")
        };
        assert_eq!(record.id_text(), rest.remove(0));
        let text = cursor.to_string().parse().unwrap();
        assert_eq!(history(&mut open(&engine, "a/*", LogStart::After(text)).await).await, rest);
    }
    let mut now = open(&engine, "*", LogStart::Now).await;
    assert!(history(&mut now).await.is_empty());
    publish(&engine, &[("a/1", "5")]).await;
    assert!(matches!(now.next().await.unwrap(), LogDelivery::Event(_, record) if record.id_text() == "5"));
    let foreign = "00000000000000aa-1".parse().unwrap();
    assert!(
        engine.events.subscribe_all(Streams::All, LogStart::After(foreign), Filter::default()).await.is_err()
    );
}

#[tokio::test]
async fn invalidations_are_a_view_of_the_log() {
    let engine = Engine::open();
    publish(&engine, &[("a", "1")]).await;
    let names = vec![Invalidation::of("state:x".parse().unwrap())];
    engine
        .events
        .publish_with(
            vec![Outgoing {
                stream: "a".parse().unwrap(),
                event: message("2"),
                durability: None,
                expected_seq: None,
            }],
            names.clone(),
            "",
        )
        .await
        .unwrap();
    engine.store.publish(Batch::moving(names, "by hand")).await.unwrap();
    let mut reader = open(&engine, "$invalidations", LogStart::Beginning).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        // What nobody waits for is written a moment later, so the mark may stand before it.
        let LogDelivery::Invalidated(_, commit) = reader.next().await.unwrap() else { continue };
        assert_eq!(commit.names[0].0.as_str(), "state:x");
        seen.push((commit.events.len(), commit.cause.clone()));
    }
    assert_eq!(seen, [(1, String::new()), (0, "by hand".to_owned())]);
}
