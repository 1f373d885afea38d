//! A producer over its quota is told when to come again, and loses nothing that was acknowledged.

use std::num::NonZeroU64;
use std::time::Duration;

use undercurrent::Event;
use undercurrent::event_stream::{Outgoing, PublishError, QuotaOptions};
use undercurrent::types::ErrorCode;

use crate::kit::Engine;

fn limited(events: u64) -> Engine {
    let engine = Engine::open();
    let events = NonZeroU64::new(events);
    engine.events.limit_producers(QuotaOptions { events, burst: Duration::from_secs(1), bytes: None });
    engine
}

fn of(source: &str, id: usize) -> Outgoing {
    let event = Event::new("message".parse().unwrap(), source.parse().unwrap()).with_id(id.to_string());
    let durability = Some(undercurrent::Durability::Page);
    Outgoing { stream: "s".parse().unwrap(), event, durability, expected_seq: None }
}

/// Returns source and id of every event of the stream.
async fn kept(engine: &Engine) -> Vec<(String, String)> {
    let (mut kept, mut after) = (Vec::new(), None);
    loop {
        let page = engine.store.read_stream(&"s".parse().unwrap(), after, 1000).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        kept.extend(page.records.iter().map(|one| (text(&one.source), text(&one.id))));
        after = Some(page.next);
        if page.at_tail {
            return kept;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_times_the_quota_for_a_minute_loses_nothing_acknowledged_and_slows_nobody_else() {
    let engine = limited(10);
    let mut acknowledged = Vec::new();
    for tenth in 0..600 {
        let batch: Vec<_> = (0..10).map(|n| of("agent/loud", tenth * 10 + n)).collect();
        match engine.events.publish_with(batch, Vec::new(), "").await {
            Ok(acks) => acknowledged.extend(acks.into_iter().map(|ack| ("agent/loud".to_owned(), ack.id))),
            Err(PublishError::OverQuota(over)) => assert!(over.wait <= Duration::from_secs(1), "{over}"),
            Err(error) => panic!("{error}"),
        }
        if tenth % 2 == 0 {
            let acks = engine.events.publish_with(vec![of("agent/quiet", tenth)], Vec::new(), "").await;
            acknowledged.push(("agent/quiet".to_owned(), acks.unwrap().pop().unwrap().id));
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(kept(&engine).await, acknowledged);
    let loud = acknowledged.iter().filter(|(source, _)| source == "agent/loud").count();
    assert!((590..=610).contains(&loud), "{loud} events of a producer that may publish 10 a second");
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_says_when_to_come_again_and_leaves_nothing() {
    let engine = limited(10);
    let batch = |ids: std::ops::Range<usize>| ids.map(|id| of("agent/7", id)).collect::<Vec<_>>();
    engine.events.publish_with(batch(0..10), Vec::new(), "").await.unwrap();
    let error = engine.events.publish_with(batch(10..15), Vec::new(), "").await.unwrap_err();
    let body = error.body();
    assert_eq!((body.code, body.retryable, body.retry_after_ms), (ErrorCode::Busy, true, Some(500)));
    assert_eq!(kept(&engine).await.len(), 10);
    tokio::time::advance(Duration::from_millis(500)).await;
    engine.events.publish_with(batch(10..15), Vec::new(), "").await.unwrap();
    assert_eq!(kept(&engine).await.len(), 15);
}

#[tokio::test(start_paused = true)]
async fn ephemeral_events_count_too() {
    let engine = limited(1);
    let stream = "s".parse().unwrap();
    engine.events.publish_ephemeral(&stream, of("agent/7", 1).event).await.unwrap();
    let refused = engine.events.publish_ephemeral(&stream, of("agent/7", 2).event).await;
    assert!(matches!(refused, Err(PublishError::OverQuota(_))), "{refused:?}");
}
