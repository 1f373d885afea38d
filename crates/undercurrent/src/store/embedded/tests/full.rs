//! A disk without room, and what comes after.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use undercurrent_types::{Durability, Seq};

use super::disk::{Failing, MemoryDisk};
use super::support::{lasting, open_with, publish_as, segments, small};
use crate::store::contract::{bare, batch, event, ids, name, new, publish, read_all, stream};
use crate::store::embedded::{EmbeddedStore, StoreOptions};
use crate::store::{Batch, Invalidation, PublishError, ReadStreamError, RowWrite, Store, StoreState};

fn tiny() -> StoreOptions {
    let full_retry = Duration::from_millis(1);
    StoreOptions { segment_bytes: 4096, first_segment_bytes: 4096, full_retry, ..small() }
}

fn shared(disk: &MemoryDisk) -> Arc<EmbeddedStore> {
    Arc::new(open_with(disk, tiny()).unwrap())
}

/// Publishes until there is no room, and returns what was acknowledged and what was refused.
async fn fill(store: &EmbeddedStore) -> (Vec<String>, String) {
    let mut told = Vec::new();
    loop {
        let id = format!("{}", told.len());
        match store.publish(batch(vec![new("a", &id)])).await {
            Ok(_) => told.push(id),
            Err(PublishError::Full { .. }) => return (told, id),
            Err(other) => panic!("{other}"),
        }
    }
}

async fn wait_for_room(store: &EmbeddedStore) {
    while store.state().failed.is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_full_disk_refuses_events_and_they_go_on_when_there_is_room() {
    let disk = MemoryDisk::default();
    let store = shared(&disk);
    publish(&*store, "a", "first").await;
    disk.fill(5000);
    let (told, refused) = fill(&store).await;
    let state: StoreState = store.state();
    assert!(state.failed.as_ref().unwrap().contains("make room"), "{state:?}");
    assert!(!segments(&disk).iter().any(|name| name.ends_with("unfinished")), "the room is given back");

    // What needs no room goes on, and what can not be published makes stale all the same.
    let before = store.publish(bare(&["state:x"])).await.unwrap().token.position;
    let fact = Batch { names: vec![Invalidation::of(name("state:x"))], ..batch(vec![new("b", "fact")]) };
    let error = store.publish(fact).await.unwrap_err();
    assert!(matches!(&error, PublishError::Full { .. }), "{error}");
    let moved = store.last_now(&name("state:x")).0.unwrap();
    assert!(moved > before);
    store.settled(moved).await;
    let kept: Vec<_> = std::iter::once("first").chain(told.iter().map(String::as_str)).collect();
    assert_eq!(ids(&read_all(&*store, "a", 99).await), kept);
    assert!(read_all(&*store, "b", 99).await.is_empty());
    let image = disk.crash(|| true);
    assert_eq!(ids(&read_all(&open_with(&image, tiny()).unwrap(), "a", 99).await), kept);

    disk.empty();
    wait_for_room(&store).await;
    let again = publish(&*store, "a", &refused).await.events[0];
    assert_eq!((again.duplicate, again.cursor.seq), (false, Seq(kept.len() as u64 + 1)));
    assert!(publish(&*store, "a", "first").await.events[0].duplicate);
    store.close().await;
    let store = open_with(&disk, tiny()).unwrap();
    assert_eq!(read_all(&store, "a", 99).await.len(), kept.len() + 1);
}

#[tokio::test]
async fn a_write_that_finds_no_room_leaves_nothing_behind() {
    let disk = MemoryDisk::default();
    let store = shared(&disk);
    publish(&*store, "a", "1").await;
    let held = disk.hold_syncs();
    let mut first = store.publish(batch(vec![new("a", "2")]));
    assert!((&mut first).now_or_never().is_none());
    disk.wait_for_held_sync();
    // Written together, so that the half that has room is whole commits.
    let mut refused: Vec<_> = ["3", "4", "5", "6"].map(|id| store.publish(batch(vec![new("a", id)]))).into();
    refused.iter_mut().for_each(|publish| assert!(publish.now_or_never().is_none()));
    disk.fail(Failing::Room);
    drop(held);
    first.await.unwrap();
    for publish in refused {
        let error = publish.await.unwrap_err();
        assert!(matches!(error, PublishError::Full { .. }), "{error}");
    }
    // Not even where the half of it that was written reached the disk before the machine died.
    for image in [disk.copy(), disk.crash(|| true), disk.crash(|| false)] {
        let store = open_with(&image, tiny()).unwrap();
        assert_eq!(ids(&read_all(&store, "a", 99).await), ["1", "2"]);
    }
    disk.mend();
    wait_for_room(&store).await;
    // As long as the first of them, so that the others would stand right behind it.
    assert_eq!(publish(&*store, "a", "7").await.events[0].cursor.seq, Seq(3));
    for image in [disk.copy(), disk.crash(|| false)] {
        assert_eq!(ids(&read_all(&open_with(&image, tiny()).unwrap(), "a", 99).await), ["1", "2", "7"]);
    }
}

#[tokio::test]
async fn what_readers_saw_before_the_disk_was_found_full_is_written_when_there_is_room() {
    let disk = MemoryDisk::default();
    let store = shared(&disk);
    let long = |id: &str| {
        let mut long = lasting(Durability::Memory, "m", id);
        long.event = event(id).with_subject("x".repeat(1500));
        long
    };
    let row = |value: &'static str| RowWrite {
        table: "t",
        id: "1".to_owned(),
        expected: None,
        value: Some(value.into()),
    };
    let with_row = |id: &str, value| Batch { rows: vec![row(value)], ..batch(vec![new("durable", id)]) };
    store.publish(with_row("0", "before")).await.unwrap();
    let held = disk.hold_syncs();
    let mut first = store.publish(batch(vec![new("durable", "1")]));
    assert!((&mut first).now_or_never().is_none());
    disk.wait_for_held_sync();
    disk.fill(0);
    for n in 0..5 {
        store.publish(batch(vec![long(&n.to_string())])).now_or_never().unwrap().unwrap();
    }
    let mut behind = store.publish(with_row("2", "behind"));
    assert!((&mut behind).now_or_never().is_none());
    drop(held);
    first.await.unwrap();
    let error = behind.await.unwrap_err();
    assert!(matches!(error, PublishError::Full { .. }), "{error}");
    assert_eq!(store.row_now("t", "1").unwrap().value, "before");
    let error = store.publish(batch(vec![long("refused")])).await.unwrap_err();
    assert!(matches!(error, PublishError::Full { .. }), "{error}");
    assert_eq!(ids(&read_all(&*store, "m", 99).await), ["0", "1", "2", "3", "4"]);

    disk.empty();
    wait_for_room(&store).await;
    let expected = store.row_now("t", "1").map(|row| row.revision);
    let rows = vec![RowWrite { expected: Some(expected), ..row("again") }];
    store.publish(Batch { rows, ..batch(vec![new("durable", "2")]) }).await.unwrap();
    publish_as(&store, Durability::Memory, "m", "5").await;
    store.close().await;
    let store = open_with(&disk, tiny()).unwrap();
    assert_eq!(ids(&read_all(&store, "durable", 99).await), ["0", "1", "2"]);
    assert_eq!(ids(&read_all(&store, "m", 99).await), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(store.row_now("t", "1").unwrap().value, "again");
}

#[tokio::test]
async fn what_readers_saw_and_a_full_disk_never_took_is_followed_by_a_new_epoch() {
    let disk = MemoryDisk::default();
    let store = shared(&disk);
    publish_as(&store, Durability::Memory, "m", "1").await;
    let held = disk.hold_syncs();
    let mut first = store.publish(batch(vec![new("durable", "1")]));
    assert!((&mut first).now_or_never().is_none());
    disk.wait_for_held_sync();
    disk.fill(0);
    let mut seen = Vec::new();
    for n in 0..5 {
        let mut long = lasting(Durability::Memory, "m", &format!("seen {n}"));
        long.event = event(&format!("seen {n}")).with_subject("x".repeat(1500));
        seen.push(store.publish(batch(vec![long])).now_or_never().unwrap().unwrap().events[0].cursor);
    }
    drop(held);
    first.await.unwrap();
    store.close().await;
    disk.empty();
    let store = open_with(&disk, tiny()).unwrap();
    let given = store.read_stream(&stream("m"), Some(seen[4]), 9).await;
    assert!(matches!(given, Err(ReadStreamError::Gone { reason: "epoch", .. })), "{given:?}");
    assert_eq!(ids(&read_all(&store, "durable", 9).await), ["1"]);
}
