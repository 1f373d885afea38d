//! What became of an event whose publisher went away.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use undercurrent_types::{Data, Durability, Seq};

use super::disk::MemoryDisk;
use super::support::{open, open_with, small};
use crate::store::contract::{batch, event, new, outcome, publish};
use crate::store::embedded::shared::ROOM;
use crate::store::embedded::{EmbeddedStore, StoreOptions};
use crate::store::{Batch, NewEvent, Outcome, Store};

fn at(outcome: Outcome) -> Seq {
    let Outcome::Published { cursor, .. } = outcome else { panic!("{outcome:?}") };
    cursor.seq
}

/// Batches that fill the queue of the writer.
fn large() -> impl Iterator<Item = Batch> {
    (0..ROOM >> 20).map(|n| {
        let data = Data::Binary(Bytes::from(vec![b'x'; 1 << 20]));
        let event = event(&format!("large {n}")).with_data(data);
        batch(vec![NewEvent { event, ..new("large", "") }])
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_publish_that_had_its_place_is_answered_when_it_is_as_safe_as_promised() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    let held = disk.hold_syncs();
    assert!(store.publish(batch(vec![new("a", "1")])).now_or_never().is_none());
    disk.wait_for_held_sync();
    let mut asked = Box::pin(outcome(&store, "a", "1"));
    assert!((&mut asked).now_or_never().is_none(), "it is not safe yet");
    drop(held);
    let Outcome::Published { cursor, durability, .. } = asked.await else { panic!("it had its place") };
    assert_eq!((cursor.seq, durability), (Seq(1), Durability::Durable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_waits_for_room_is_under_way_and_is_not_known_once_it_is_dropped() {
    let disk = MemoryDisk::default();
    let store: Arc<EmbeddedStore> = Arc::new(open_with(&disk, StoreOptions::default()).unwrap());
    let held = disk.hold_syncs();
    let mut filling: Vec<_> = Vec::new();
    for batch in large() {
        let mut publish = store.publish(batch);
        assert!((&mut publish).now_or_never().is_none());
        filling.push(publish);
    }
    let mut waiting = store.publish(batch(vec![new("a", "1"), new("a", "2")]));
    assert!((&mut waiting).now_or_never().is_none());
    let asked = async |id: &str| outcome(&*store, "a", id).now_or_never().unwrap();
    assert_eq!(
        [asked("1").await, asked("2").await, asked("3").await],
        [Outcome::UnderWay, Outcome::UnderWay, Outcome::NotKnown]
    );
    let mut again = store.publish(batch(vec![new("a", "2")]));
    assert!((&mut again).now_or_never().is_none());
    drop(waiting);
    assert_eq!([asked("1").await, asked("2").await], [Outcome::NotKnown, Outcome::UnderWay]);
    drop(held);
    again.await.unwrap();
    assert_eq!(at(outcome(&*store, "a", "2").await), Seq(1));
}

#[tokio::test]
async fn an_event_that_was_taken_back_is_not_known() {
    let disk = MemoryDisk::default();
    let options = StoreOptions { segment_bytes: 4096, first_segment_bytes: 4096, ..small() };
    let store = open_with(&disk, options).unwrap();
    disk.fill(5000);
    let mut told = 0;
    while store.publish(batch(vec![new("a", &told.to_string())])).await.is_ok() {
        told += 1;
    }
    assert_eq!(outcome(&store, "a", &told.to_string()).await, Outcome::NotKnown);
    assert_eq!(at(outcome(&store, "a", "0").await), Seq(1));
}

#[tokio::test]
async fn after_a_crash_what_was_acknowledged_is_known_and_what_was_not_is_there_or_not_known() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    publish(&store, "a", "told").await;
    let held = disk.hold_syncs();
    assert!(store.publish(batch(vec![new("a", "untold")])).now_or_never().is_none());
    disk.wait_for_held_sync();
    for (survives, expected) in [(true, Some(Seq(2))), (false, None)] {
        let image = disk.crash(|| survives);
        let reopened = open(&image);
        assert_eq!(at(outcome(&reopened, "a", "told").await), Seq(1));
        match (outcome(&reopened, "a", "untold").await, expected) {
            (Outcome::NotKnown, None) => {}
            (found, Some(expected)) => assert_eq!(at(found), expected),
            (found, None) => panic!("{found:?}"),
        }
    }
    drop(held);
}
