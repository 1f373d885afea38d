//! Streams that are made and deleted while a disk is slow, full or lost.

use futures_util::FutureExt;
use undercurrent_types::{Data, Durability, Seq};

use super::disk::MemoryDisk;
use super::support::{lasting, open, open_with, publish_as, small};
use crate::store::contract::{batch, event, ids, key, new, publish, read_all, stream};
use crate::store::embedded::StoreOptions;
use crate::store::embedded::reader::CHUNK;
use crate::store::{
    CreateStreamError, NewEvent, PublishError, ReadStreamError, Retention, Store, StreamSettings,
};

#[tokio::test]
async fn a_history_is_read_whole_in_pages_that_end_within_commits() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    for n in 0..200 {
        let events = (0..5).map(|i| new(["a", "b"][usize::from(i == 3)], &format!("{n:03}-{i}"))).collect();
        store.publish(batch(events)).await.unwrap();
    }
    store.close().await;
    let store = open(&disk);
    for limit in [1, 3, 7, 64, 1000] {
        let records = read_all(&store, "a", limit).await;
        assert!(records.iter().zip(1..).all(|(record, seq)| record.cursor.seq == Seq(seq)), "{limit}");
        assert_eq!(records.len(), 800, "{limit}");
    }
}

#[tokio::test]
async fn a_page_of_a_long_history_costs_the_same_wherever_it_begins() {
    let disk = MemoryDisk::default();
    let options = StoreOptions { segment_bytes: 1 << 20, first_segment_bytes: 1 << 20, ..small() };
    let store = open_with(&disk, options).unwrap();
    const EVENTS: usize = 1300;
    let data = Data::from_json(format!("\"{}\"", "x".repeat(16 << 10)).as_bytes()).unwrap();
    for n in 0..EVENTS {
        let large = new("a", &n.to_string());
        let event = large.event.with_data(data.clone());
        store.publish(batch(vec![NewEvent { event, durability: Durability::Page, ..large }])).await.unwrap();
    }
    store.close().await;
    let store = open_with(&disk, options).unwrap();
    let before = disk.bytes_read();
    assert_eq!(read_all(&store, "a", 1).await.len(), EVENTS);
    let each = (disk.bytes_read() - before) / EVENTS;
    assert!(each <= CHUNK + 1024, "{each} bytes were read for a page");
}

#[tokio::test]
async fn a_deletion_that_was_acknowledged_survives_the_machine() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    for kind in [Durability::Memory, Durability::Durable] {
        publish_as(&store, kind, &kind.to_string(), "1").await;
        store.delete_stream(&stream(&kind.to_string())).await.unwrap();
    }
    let store = open(&disk.crash(|| false));
    assert!(store.streams_now().is_empty());
}

#[tokio::test]
async fn what_was_being_published_to_a_stream_goes_with_it() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    let held = disk.hold_syncs();
    let said = NewEvent { latest: Some((key("state:x"), Some("1".into()))), ..new("a", "1") };
    let mut publishing = store.publish(batch(vec![said]));
    assert!((&mut publishing).now_or_never().is_none());
    disk.wait_for_held_sync();
    let a = stream("a");
    let mut deleting = store.delete_stream(&a);
    assert!((&mut deleting).now_or_never().is_none());
    drop(held);
    publishing.await.unwrap();
    assert!(deleting.await.unwrap());
    for store in [store, open(&disk.copy())] {
        assert_eq!(store.latest(&key("state:x")).await.unwrap(), None);
        assert!(read_all(&store, "a", 9).await.is_empty());
    }
}

#[tokio::test]
async fn a_successor_of_a_deleted_stream_begins_a_new_epoch_after_a_crash_too() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    publish_as(&store, Durability::Memory, "m", "1").await;
    store.delete_stream(&stream("m")).await.unwrap();
    let seen = publish_as(&store, Durability::Memory, "m", "2").await.events[0].cursor;
    // Written before this one.
    publish(&store, "durable", "1").await;
    let image = disk.copy();
    let store = open(&image);
    // The first start had epoch 1 and the deletion 2, so the second start must not have 2.
    let gone = store.read_stream(&stream("m"), Some(seen), 9).await;
    assert!(matches!(gone, Err(ReadStreamError::Gone { reason: "epoch", .. })), "{gone:?}");
    store.close().await;
    let again = open(&image);
    assert_eq!(again.tail_now(&stream("m")).epoch, store.tail_now(&stream("m")).epoch);
}

#[tokio::test]
async fn a_deletion_that_finds_no_room_is_written_before_what_follows_it() {
    let full_retry = std::time::Duration::from_millis(1);
    let tiny = StoreOptions { segment_bytes: 4096, first_segment_bytes: 4096, full_retry, ..small() };
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny).unwrap();
    publish(&store, "a", "1").await;
    publish(&store, "a", "2").await;
    let held = disk.hold_syncs();
    let mut first = store.publish(batch(vec![new("b", "1")]));
    assert!((&mut first).now_or_never().is_none());
    disk.wait_for_held_sync();
    disk.fill(0);
    let mut large = lasting(Durability::Durable, "b", "2");
    large.event = event("2").with_subject("x".repeat(3900));
    let mut large = store.publish(batch(vec![large]));
    assert!((&mut large).now_or_never().is_none());
    let a = stream("a");
    let mut deleting = store.delete_stream(&a);
    assert!((&mut deleting).now_or_never().is_none());
    drop(held);
    first.await.unwrap();
    assert!(matches!(large.await, Err(PublishError::Full { .. })));
    assert!(matches!(deleting.await, Err(PublishError::Full { .. })));
    disk.empty();
    while store.state().failed.is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(publish(&store, "a", "1").await.events[0].cursor.seq, Seq(1));
    let image = disk.crash(|| false);
    assert_eq!(ids(&read_all(&open_with(&image, tiny).unwrap(), "a", 9).await), ["1"]);
}

#[tokio::test]
async fn there_are_no_more_streams_than_may_be_and_those_that_are_go_on() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, StoreOptions { streams: 2, ..small() }).unwrap();
    publish(&store, "a", "1").await;
    let error = store.publish(batch(vec![new("a", "2"), new("b", "1"), new("c", "1")])).await.unwrap_err();
    assert!(matches!(error, PublishError::TooManyStreams { limit: 2, .. }), "{error}");
    assert_eq!(ids(&read_all(&store, "a", 9).await), ["1"]);
    publish(&store, "b", "1").await;
    let settings = StreamSettings { durability: Durability::Durable, retention: Retention::UNLIMITED };
    let refused = store.create_stream(&stream("c"), settings).await;
    assert!(
        matches!(refused, Err(CreateStreamError::Refused(PublishError::TooManyStreams { .. }))),
        "{refused:?}"
    );
    publish(&store, "a", "2").await;
    store.delete_stream(&stream("a")).await.unwrap();
    publish(&store, "c", "1").await;
}
