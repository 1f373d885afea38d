//! What is visible, in force and acknowledged, and when.

use futures_util::FutureExt;
use undercurrent_types::{Durability, Position, Seq};

use super::disk::{Failing, MemoryDisk};
use super::support::{lasting, open, open_with, publish_as, segment, small};
use crate::store::contract::{bare, batch, event, ids, key, name, new, publish, read_all, stream};
use crate::store::embedded::{EmbeddedStore, StoreOptions};
use crate::store::{
    Batch, Commit, Committed, Invalidation, NewEvent, PublishError, Published, RowWrite, Store,
};

type Answer = Result<Published, PublishError>;

/// Begins a publish and lets it go on by itself.
fn begin(store: &std::sync::Arc<EmbeddedStore>, batch: Batch) -> tokio::task::JoinHandle<Answer> {
    let mut publish = Box::pin({
        let store = store.clone();
        async move { store.publish(batch).await }
    });
    // The names are in force when the first poll returns, whoever polls.
    match (&mut publish).now_or_never() {
        Some(answer) => tokio::spawn(async { answer }),
        None => tokio::spawn(publish),
    }
}

fn shared(disk: &MemoryDisk) -> std::sync::Arc<EmbeddedStore> {
    std::sync::Arc::new(open(disk))
}

fn fact(durability: Durability, id: &str, moves: &str) -> Batch {
    let latest = Some((key(moves), Some(bytes::Bytes::from(format!("\"{id}\"")))));
    let events = vec![NewEvent { latest, ..lasting(durability, &durability.to_string(), id) }];
    Batch { names: vec![Invalidation::of(name(moves))], ..batch(events) }
}

#[tokio::test]
async fn a_durable_event_is_not_visible_before_its_sync_and_its_invalidation_is_in_force() {
    let disk = MemoryDisk::default();
    let store = shared(&disk);
    let h = store.barrier().await.unwrap();
    let mut live_rx = store.follow(&stream("durable"));
    let held = disk.hold_syncs();
    let publishing = begin(&store, fact(Durability::Durable, "1", "state:x"));
    let closure = [name("state:x")];
    assert_eq!(store.commit(Commit::of(h, &closure)).await.unwrap(), Committed::Moved);
    disk.wait_for_held_sync();

    let at = store.barrier().await.unwrap().position;
    assert!(store.settled(at).now_or_never().is_none());
    assert!(store.settled(h.position).now_or_never().is_some());
    assert!(read_all(&*store, "durable", 9).await.is_empty());
    assert_eq!(store.tail_now(&stream("durable")).seq, Seq(0));
    assert!(live_rx.try_recv().is_err() && !publishing.is_finished());
    assert_eq!(store.latest(&key("state:x")).await.unwrap(), None);

    drop(held);
    store.settled(at).await;
    assert_eq!(ids(&read_all(&*store, "durable", 9).await), ["1"]);
    assert_eq!(store.latest(&key("state:x")).await.unwrap().unwrap(), "\"1\"");
    assert_eq!(live_rx.recv().await.unwrap().id_text(), "1");
    assert_eq!(publishing.await.unwrap().unwrap().events[0].durability, Durability::Durable);
}

#[tokio::test]
async fn weaker_streams_do_not_wait_for_what_they_do_not_promise() {
    let disk = MemoryDisk::default();
    let store = shared(&disk);
    // The write of a page event and the sync of a durable one come from one thread, so each is tried alone.
    let answer = begin(&store, fact(Durability::Memory, "1", "state:m"));
    assert!(
        answer.now_or_never().is_some_and(|answer| answer.unwrap().is_ok())
            || store.tail_now(&stream("memory")).seq == Seq(1)
    );
    let held = disk.hold_syncs();
    let page = begin(&store, fact(Durability::Page, "2", "state:p")).await.unwrap().unwrap();
    assert_eq!(page.events[0].durability, Durability::Page);
    assert_eq!(store.latest(&key("state:p")).await.unwrap().unwrap(), "\"2\"");

    let durable = begin(&store, fact(Durability::Durable, "3", "state:d"));
    disk.wait_for_held_sync();
    // The disk is busy; what needs none of it goes on.
    let memory = store.publish(fact(Durability::Memory, "4", "state:m")).now_or_never().unwrap().unwrap();
    assert_eq!(memory.events[0].durability, Durability::Memory);
    assert_eq!(ids(&read_all(&*store, "memory", 9).await), ["1", "4"]);
    assert_eq!(store.latest(&key("state:m")).await.unwrap().unwrap(), "\"4\"");
    let moved = store.publish(bare(&["state:x"])).now_or_never().unwrap().unwrap();
    assert!(moved.token.position > memory.token.position && !durable.is_finished());
    drop(held);
    durable.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_repeated_event_waits_for_the_sync_of_the_first() {
    let disk = MemoryDisk::default();
    let store = shared(&disk);
    let held = disk.hold_syncs();
    let first = begin(&store, batch(vec![new("a", "1")]));
    disk.wait_for_held_sync();
    let again = begin(&store, batch(vec![new("a", "1")]));
    tokio::task::yield_now().await;
    assert!(!again.is_finished());
    let syncs = disk.syncs();
    drop(held);
    let (first, again) = (first.await.unwrap().unwrap(), again.await.unwrap().unwrap());
    assert!(again.events[0].duplicate);
    assert_eq!(first.events[0].cursor, again.events[0].cursor);
    assert_eq!(disk.syncs(), syncs, "one sync was enough");
    // Once it is visible, nothing is waited for.
    let _held = disk.hold_syncs();
    assert!(store.publish(batch(vec![new("a", "1")])).now_or_never().unwrap().is_ok());
}

#[tokio::test]
async fn thousands_of_streams_share_their_syncs() {
    let disk = MemoryDisk::default();
    let store = shared(&disk);
    let held = disk.hold_syncs();
    let first = begin(&store, batch(vec![new("s/first", "1")]));
    disk.wait_for_held_sync();
    let all: Vec<_> = (0..2000).map(|n| begin(&store, batch(vec![new(&format!("s/{n}"), "1")]))).collect();
    let syncs = disk.syncs();
    drop(held);
    first.await.unwrap().unwrap();
    for publishing in all {
        publishing.await.unwrap().unwrap();
    }
    // One for all of them, and those of the segments that they fill.
    let segments = super::support::segments(&disk).len();
    assert!(disk.syncs() - syncs <= 1 + 3 * segments, "{} syncs, {segments} segments", disk.syncs() - syncs);
    assert_eq!(store.streams_now().len(), 2001);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_accepted_while_invalidations_go_on() {
    for failing in [Failing::Syncs, Failing::Writes] {
        let disk = MemoryDisk::default();
        let store = shared(&disk);
        publish(&*store, "durable", "0").await;
        publish_as(&store, Durability::Page, "page", "p").await;
        let held = disk.hold_syncs();
        let before = begin(&store, batch(vec![new("durable", "before")]));
        disk.wait_for_held_sync();
        let waiting = begin(&store, fact(Durability::Durable, "1", "state:x"));
        let bare_one = store.publish(bare(&["state:y"])).await.unwrap();
        disk.fail(failing);
        drop(held);
        let (before, waiting) = (before.await.unwrap(), waiting.await.unwrap());
        assert_eq!(before.is_ok(), failing == Failing::Writes);
        assert!(matches!(waiting, Err(PublishError::Unknown { .. })), "{waiting:?}");
        let syncs = disk.syncs();

        // What came with the failed event stays in force, and so does what is moved from now on.
        let moved = store.last_now(&name("state:x")).0.unwrap();
        assert!(moved < bare_one.token.position);
        let later = store.publish(fact(Durability::Durable, "2", "state:x")).await.unwrap_err();
        assert!(matches!(later, PublishError::Failed { .. }), "{later}");
        assert!(store.last_now(&name("state:x")).0.unwrap() > bare_one.token.position);
        let memory = store.publish(batch(vec![lasting(Durability::Memory, "m", "1")])).await.unwrap_err();
        assert!(matches!(memory, PublishError::Failed { .. }), "{memory}");
        let token = store.publish(bare(&["state:z"])).await.unwrap().token;
        assert_eq!(store.last_now(&name("state:z")), (Some(token.position), false));
        let past = store.invalidations(&[name("state:z"), name("state:y")], 9).await;
        assert_eq!(past.len(), 2);

        store.settled(token.position).await;
        assert!(store.state().failed.unwrap().contains("the disk is broken"));
        let seen = if failing == Failing::Writes { vec!["0", "before"] } else { vec!["0"] };
        assert_eq!(ids(&read_all(&*store, "durable", 9).await), seen);
        assert_eq!(ids(&read_all(&*store, "page", 9).await), ["p"]);
        assert_eq!(store.latest(&key("state:x")).await.unwrap(), None);
        // A repeat of what is in doubt is in doubt; of what is visible it is not.
        let again = store.publish(fact(Durability::Durable, "1", "state:x")).await.unwrap_err();
        assert!(matches!(again, PublishError::Unknown { .. }), "{again}");
        assert!(store.publish(batch(vec![new("durable", "0")])).await.unwrap().events[0].duplicate);
        store.close().await;
        assert_eq!(disk.syncs(), syncs, "a failed log is not tried again");

        // What no one has seen was cut off, and its seq is given again.
        let left = disk.copy();
        assert!(left.read(&segment(0)).len() < 16 << 10);
        let store = open(&left);
        assert_eq!(ids(&read_all(&store, "durable", 9).await), seen);
        assert_eq!(ids(&read_all(&store, "page", 9).await), ["p"]);
        assert!(store.barrier().await.unwrap().position > token.position);
        let next = publish(&store, "durable", "next").await.events[0];
        assert_eq!(next.cursor.seq, Seq(seen.len() as u64 + 1));
    }
}

#[tokio::test]
async fn who_publishes_more_than_can_wait_waits_for_room() {
    let disk = MemoryDisk::default();
    let options = StoreOptions { segment_bytes: 64 << 20, first_segment_bytes: 64 << 20, ..small() };
    let store = std::sync::Arc::new(open_with(&disk, options).unwrap());
    let large = |id: &str| {
        let text = format!("\"{}\"", "x".repeat(1 << 20));
        let mut new = lasting(Durability::Memory, "m", id);
        new.event = event(id).with_data(undercurrent_types::Data::from_json(text.as_bytes()).unwrap());
        batch(vec![new])
    };
    let held = disk.hold_syncs();
    let durable = begin(&store, batch(vec![new("d", "1")]));
    disk.wait_for_held_sync();
    let mut accepted = 0;
    let mut waiting = loop {
        let mut publishing = Box::pin(store.publish(large(&accepted.to_string())));
        match (&mut publishing).now_or_never() {
            Some(answer) => {
                answer.unwrap();
                accepted += 1;
            }
            None => break publishing,
        }
        assert!(accepted < 20);
    };
    assert_eq!(accepted, 7, "8 MiB, with what each takes besides its data");
    // Who stops waiting has published nothing.
    let mut given_up = Box::pin(store.publish(batch(vec![lasting(Durability::Memory, "m", "given up")])));
    assert!((&mut given_up).now_or_never().is_none());
    drop(given_up);
    // What has no events does not wait, even if there is no room to log it.
    let names: Vec<_> =
        (0..40_000).map(|n| Invalidation::of(name(&format!("state:{n}-{}", "x".repeat(30))))).collect();
    let bare_batch = Batch { names, ..Batch::default() };
    let position = store.publish(bare_batch).now_or_never().unwrap().unwrap().token.position;
    assert_eq!(store.last_now(&name(&format!("state:7-{}", "x".repeat(30)))).0, Some(position));
    drop(held);
    (&mut waiting).await.unwrap();
    durable.await.unwrap().unwrap();
    let kept = read_all(&*store, "m", 99).await;
    assert_eq!(kept.len(), 8);
    store.close().await;
    let store = open_with(&disk, options).unwrap();
    assert_eq!(read_all(&store, "m", 99).await.len(), 8);
}

#[tokio::test]
async fn a_commit_has_a_largest_size() {
    let store = open(&MemoryDisk::default());
    let large = |bytes: usize| NewEvent {
        latest: Some((key("state:x"), Some(vec![b'x'; bytes].into()))),
        ..new("a", "1")
    };
    let error = store.publish(batch(vec![large(16 << 20)])).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { limit: 16_777_216, .. }), "{error}");
    let mut wide = new("a", "2");
    wide.event = wide.event.with_subject("x".repeat(70_000));
    assert!(matches!(store.publish(batch(vec![wide])).await, Err(PublishError::TooLarge { .. })));
    assert_eq!(store.barrier().await.unwrap().position, Position(1));
    store.publish(batch(vec![large((16 << 20) - 1000)])).await.unwrap();
    assert_eq!(store.latest(&key("state:x")).await.unwrap().unwrap().len(), (16 << 20) - 1000);
}

#[tokio::test]
async fn events_of_all_durabilities_in_one_batch_are_one_commit() {
    let disk = MemoryDisk::default();
    let store = shared(&disk);
    let kinds = [Durability::Memory, Durability::Page, Durability::Durable, Durability::Replicated];
    let events = kinds.iter().map(|kind| lasting(*kind, &kind.to_string(), "1")).collect();
    let published = store.publish(batch(events)).await.unwrap();
    let got: Vec<_> = published.events.iter().map(|e| e.durability).collect();
    // What this store can not give it does not claim.
    assert_eq!(got, [Durability::Memory, Durability::Page, Durability::Durable, Durability::Durable]);
    for kind in kinds {
        assert_eq!(ids(&read_all(&*store, &kind.to_string(), 9).await), ["1"]);
    }
    let store = open(&disk.crash(|| false));
    assert_eq!(store.streams_now().len(), 4);
}

#[tokio::test]
async fn a_row_is_seen_when_it_is_synced_and_what_was_acknowledged_survives_a_crash() {
    let disk = MemoryDisk::default();
    let store = shared(&disk);
    let row = |expected, value: &'static str| {
        let value = Some(bytes::Bytes::from(value));
        Batch::writing(vec![RowWrite { table: "t", id: "a".to_owned(), expected, value }])
    };
    let first = store.publish(row(Some(None), "1")).await.unwrap().token.position;
    let held = disk.hold_syncs();
    let publishing = begin(&store, row(Some(Some(first)), "2"));
    disk.wait_for_held_sync();
    assert_eq!(store.row_now("t", "a").unwrap().value, "1");
    // The next writer is compared with what was written last, though nobody sees it yet.
    let refused = store.publish(row(Some(Some(first)), "x")).await;
    assert!(matches!(refused, Err(PublishError::RowConflict { actual: Some(at), .. }) if at > first));
    let crashed = open(&disk.crash(|| false));
    assert_eq!(crashed.row_now("t", "a").unwrap().value, "1");
    drop(held);
    publishing.await.unwrap().unwrap();
    assert_eq!(store.row_now("t", "a").unwrap().value, "2");
    assert_eq!(open(&disk.crash(|| false)).row_now("t", "a"), store.row_now("t", "a"));
}

#[tokio::test]
async fn the_log_stops_below_the_lowest_position_that_is_not_visible() {
    let disk = MemoryDisk::default();
    let store = shared(&disk);
    publish(&*store, "a", "1").await;
    let held = disk.hold_syncs();
    let publishing = begin(&store, batch(vec![new("a", "2")]));
    disk.wait_for_held_sync();
    // It is visible already, and stands behind one that is not.
    publish_as(&store, Durability::Memory, "memory", "3").await;
    let ids = async || {
        let page = store.read_log(None, 9).await.unwrap();
        let events = page.commits.into_iter().flat_map(|commit| commit.events);
        events.map(|event| event.id_text().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, ["1"]);
    let mut visible_rx = store.watch_visible();
    drop(held);
    let at = publishing.await.unwrap().unwrap().token.position.0 + 1;
    visible_rx.wait_for(|visible| *visible >= at).await.unwrap();
    assert_eq!(ids().await, ["1", "2", "3"]);
}
