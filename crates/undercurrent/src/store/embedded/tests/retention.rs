//! What streams let go, and what stays all the same.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use undercurrent_types::{Cursor, Durability, Position, Seq, Start};

use super::disk::MemoryDisk;
use super::support::{clean, clean_before, lasting, log, open_with, segments, small};
use crate::store::contract::{batch, event, ids, key, new, publish, read_all, stream};
use crate::store::embedded::{EmbeddedStore, StoreOptions};
use crate::store::{
    Batch, NewEvent, ReadLogError, ReadStreamError, Retention, RowWrite, Store, StreamSettings,
};
use crate::stream::{Delivery, Filter, Subscription};

fn tiny() -> StoreOptions {
    StoreOptions { segment_bytes: 4096, first_segment_bytes: 4096, ..small() }
}

async fn keep(store: &EmbeddedStore, name: &str, retention: Retention) {
    let settings = StreamSettings { durability: Durability::Durable, retention };
    store.create_stream(&stream(name), settings).await.unwrap();
}

fn count(count: u64) -> Retention {
    Retention { count: Some(count), ..Retention::UNLIMITED }
}

async fn publish_many(store: &EmbeddedStore, to: &str, ids: std::ops::Range<u64>) {
    for n in ids {
        publish(store, to, &n.to_string()).await;
    }
}

fn used(disk: &MemoryDisk) -> usize {
    let bytes = segments(disk).into_iter().map(|name| disk.read(&log().join(name)));
    bytes.map(|bytes| bytes.iter().filter(|&&b| b != 0).count()).sum()
}

#[tokio::test]
async fn a_cursor_that_fell_off_is_told_the_oldest_and_a_reader_meets_a_gap() {
    let disk = MemoryDisk::default();
    let store = Arc::new(open_with(&disk, tiny()).unwrap());
    keep(&store, "a", count(10)).await;
    publish_many(&store, "a", 0..1400).await;
    let epoch = store.tail_now(&stream("a")).epoch;
    let at = |seq| Cursor { epoch, seq: Seq(seq) };
    let mut reader =
        Subscription::open(store.clone(), stream("a"), Start::After(at(0)), Filter::default()).await.unwrap();
    let before = segments(&disk).len();
    clean(&store, &disk).await;
    assert!(
        segments(&disk).len() * 12 < before && before > 100,
        "{} of {before} segments",
        segments(&disk).len()
    );
    let expected: Vec<_> = (1390..1400).map(|n| n.to_string()).collect();
    let check = async |store: &EmbeddedStore| {
        let error = store.read_stream(&stream("a"), Some(at(42)), 9).await.unwrap_err();
        let ReadStreamError::Gone { oldest, reason, .. } = error else { panic!("{error}") };
        assert_eq!((oldest, reason), (at(1390), "retention"));
        assert_eq!(ids(&read_all(store, "a", 3).await), expected);
        assert_eq!(store.streams_now()[0].oldest, Seq(1391));
        assert!(store.read_stream(&stream("a"), Some(at(1390)), 9).await.is_ok());
    };
    check(&store).await;
    check(&open_with(&disk.copy(), tiny()).unwrap()).await;

    // The page that was read before is given, then the hole.
    let mut given = 0;
    let gap = loop {
        match reader.next().await.unwrap() {
            Delivery::Event(_) => given += 1,
            Delivery::Gap(gap) => break gap,
            Delivery::CaughtUp(_) => panic!("no gap, after {given} events"),
        }
    };
    assert!(given < 1300, "{given}");
    assert_eq!((gap.reason.as_str(), gap.resumes), ("retention", at(1390).to_string()));
}

#[tokio::test]
async fn what_the_events_said_outlives_them() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    keep(&store, "a", count(5)).await;
    keep(&store, "empty", count(7)).await;
    let large = Bytes::from(vec![b'x'; 5000]);
    let says = |id: &str, about: &str, value: Option<Bytes>| NewEvent {
        latest: Some((key(about), value)),
        ..new("a", id)
    };
    let row = |id: &str, value: Option<&'static str>| RowWrite {
        table: "t",
        id: id.to_owned(),
        expected: None,
        value: value.map(Bytes::from),
    };
    let facts = vec![
        says("s1", "state:small", Some("1".into())),
        says("l", "state:large", Some(large.clone())),
        says("d1", "state:deleted", Some("1".into())),
    ];
    let rows = vec![row("kept", Some("1")), row("deleted", Some("1")), row("changed", Some("1"))];
    store.publish(Batch { rows, ..batch(facts) }).await.unwrap();
    publish_many(&store, "a", 0..30).await;
    let facts = vec![says("s2", "state:small", Some("2".into())), says("d2", "state:deleted", None)];
    let rows = vec![row("deleted", None), row("changed", Some("2"))];
    let position = store.publish(Batch { rows, ..batch(facts) }).await.unwrap().token.position;
    publish_many(&store, "a", 30..100).await;
    let tail = store.tail_now(&stream("a"));
    let revision = store.row_now("t", "kept").unwrap().revision;
    clean(&store, &disk).await;
    // Once more, so that what was left behind is left behind again.
    publish_many(&store, "a", 100..200).await;
    clean(&store, &disk).await;
    let image = disk.crash(|| false);
    let mut store = Some(store);
    for _ in 0..3 {
        let store = store.take().unwrap_or_else(|| open_with(&image, tiny()).unwrap());
        assert_eq!(store.latest(&key("state:small")).await.unwrap().unwrap(), "2");
        assert_eq!(store.latest(&key("state:large")).await.unwrap().unwrap(), large);
        assert_eq!(store.latest(&key("state:deleted")).await.unwrap(), None);
        assert_eq!(store.row_now("t", "kept").unwrap().revision, revision);
        assert_eq!(store.row_now("t", "deleted"), None);
        let changed = store.row_now("t", "changed").unwrap();
        assert_eq!((changed.value, changed.revision), ("2".into(), position));
        let states: Vec<_> = store.streams_now().iter().map(|s| (s.tail, s.retention)).collect();
        assert_eq!(
            states,
            [(Cursor { seq: Seq(205), ..tail }, count(5)), (Cursor { seq: Seq(0), ..tail }, count(7)),]
        );
        store.close().await;
    }
}

#[tokio::test]
async fn an_id_is_known_after_a_restart_although_its_event_went() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    keep(&store, "a", count(5)).await;
    publish_many(&store, "a", 0..100).await;
    clean_before(&store, &disk, crate::store::embedded::ids::WINDOW).await;
    store.close().await;
    let store = open_with(&disk, tiny()).unwrap();
    assert_eq!(read_all(&store, "a", 99).await.len(), 5);
    let again = publish(&store, "a", "7").await.events[0];
    assert!(again.duplicate && again.cursor.seq == Seq(8));
}

#[tokio::test]
async fn few_events_that_are_kept_do_not_hold_the_room_of_many() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    keep(&store, "many", count(1)).await;
    keep(&store, "few", Retention::UNLIMITED).await;
    let mut few = Vec::new();
    for n in 0..20 {
        let published = publish(&store, "few", &n.to_string()).await;
        few.push((n.to_string(), published.token.position));
        publish_many(&store, "many", n * 10..n * 10 + 10).await;
    }
    store.close().await;
    // So that all is read from the files.
    let store = open_with(&disk, tiny()).unwrap();
    let before = used(&disk);
    clean(&store, &disk).await;
    assert!(3 * used(&disk) < before, "{} bytes of {before}", used(&disk));
    publish_many(&store, "many", 200..203).await;
    let expected: Vec<_> = few.iter().map(|(id, _)| id.as_str()).collect();
    for store in [store, open_with(&disk.copy(), tiny()).unwrap()] {
        assert_eq!(ids(&read_all(&store, "few", 3).await), expected);
        let epoch = store.tail_now(&stream("few")).epoch;
        for seq in [3, 11, 19] {
            let page = store.read_stream(&stream("few"), Some(Cursor { epoch, seq: Seq(seq) }), 2).await;
            assert_eq!(ids(&page.unwrap().records)[0], expected[seq as usize]);
        }
        // Who reads all streams is told of each hole, and misses nothing that is left.
        let (mut after, mut seen, mut holes) = (Some(Position(1)), Vec::new(), 0);
        loop {
            match store.read_log(after, 4).await {
                Ok(page) => {
                    let events = page.commits.iter().flat_map(|commit| &commit.events);
                    seen.extend(events.filter(|e| e.stream == stream("few")).map(|e| e.id_text().to_owned()));
                    after = Some(page.next);
                    if page.at_tail {
                        break;
                    }
                }
                Err(ReadLogError::Gone { given, oldest }) => {
                    assert!(given < oldest);
                    (after, holes) = (Some(oldest), holes + 1);
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(seen, expected);
        assert!(holes > 5, "{holes} holes");
    }
}

#[tokio::test]
async fn a_stream_lets_go_by_bytes_and_by_age() {
    let disk = MemoryDisk::default();
    let options = StoreOptions { segment_bytes: 64 << 10, first_segment_bytes: 64 << 10, ..small() };
    let store = open_with(&disk, options).unwrap();
    keep(&store, "bytes", Retention { bytes: Some(200 << 10), ..Retention::UNLIMITED }).await;
    for n in 0..100 {
        let mut large = lasting(Durability::Durable, "bytes", &n.to_string());
        large.event = event(&n.to_string()).with_subject("x".repeat(10 << 10));
        store.publish(batch(vec![large])).await.unwrap();
    }
    publish(&store, "aged", "1").await;
    clean(&store, &disk).await;
    let kept = read_all(&store, "bytes", 99).await;
    assert!((10..=20).contains(&kept.len()), "{}", kept.len());
    assert_eq!(read_all(&store, "aged", 9).await.len(), 1);
    keep(&store, "aged", Retention { age: Some(Duration::ZERO), ..Retention::UNLIMITED }).await;
    let now = crate::store::embedded::log::now_ms();
    while crate::store::embedded::log::now_ms() == now {
        std::hint::spin_loop();
    }
    clean(&store, &disk).await;
    assert!(read_all(&store, "aged", 9).await.is_empty());
    assert_eq!(publish(&store, "aged", "2").await.events[0].cursor.seq, Seq(2));
}

#[tokio::test]
async fn a_deleted_stream_gives_its_room_back() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    publish_many(&store, "a", 0..100).await;
    publish_many(&store, "b", 0..10).await;
    store.delete_stream(&stream("a")).await.unwrap();
    let before = used(&disk);
    clean(&store, &disk).await;
    assert!(2 * used(&disk) < before, "{} bytes of {before}", used(&disk));
    for store in [store, open_with(&disk.copy(), tiny()).unwrap()] {
        assert_eq!(read_all(&store, "b", 99).await.len(), 10);
        assert_eq!(store.streams_now().len(), 1);
    }
}

#[tokio::test]
async fn a_crash_while_room_is_given_back_takes_nothing_that_is_kept() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    keep(&store, "many", count(3)).await;
    keep(&store, "few", Retention::UNLIMITED).await;
    let said = NewEvent { latest: Some((key("state:x"), Some("1".into()))), ..new("many", "said") };
    store.publish(batch(vec![said])).await.unwrap();
    publish_many(&store, "many", 0..40).await;
    for n in 0..6 {
        publish(&store, "few", &n.to_string()).await;
        publish_many(&store, "many", 40 + n * 10..50 + n * 10).await;
    }
    disk.keep_images();
    clean(&store, &disk).await;
    let images = disk.take_images();
    assert!(images.len() > 60, "{}", images.len());
    for (i, image) in images.iter().enumerate() {
        let store = open_with(image, tiny()).unwrap_or_else(|e| panic!("image {i}: {e}"));
        assert_eq!(ids(&read_all(&store, "few", 9).await), ["0", "1", "2", "3", "4", "5"], "image {i}");
        let many = read_all(&store, "many", 9).await;
        assert_eq!(ids(&many)[many.len() - 3..], ["97", "98", "99"], "image {i}");
        assert_eq!(store.latest(&key("state:x")).await.unwrap().unwrap(), "1", "image {i}");
        assert_eq!(publish(&store, "many", "next").await.events[0].cursor.seq, Seq(102), "image {i}");
    }
}

#[tokio::test]
async fn a_log_whose_first_segment_is_lost_is_not_taken_for_one_that_was_cleaned() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    keep(&store, "a", count(3)).await;
    publish_many(&store, "a", 0..100).await;
    for cleaned in [false, true] {
        if cleaned {
            clean(&store, &disk).await;
        }
        let image = disk.copy();
        let first = segments(&image)[0].clone();
        crate::store::embedded::file::Disk::remove(&image, &log().join(first)).unwrap();
        let error = open_with(&image, tiny()).err().unwrap().to_string();
        assert!(error.contains("begins"), "{error}");
    }
}

#[tokio::test]
async fn places_in_what_was_dropped_lead_to_what_is_left() {
    let disk = MemoryDisk::default();
    let options = StoreOptions { segment_bytes: 256 << 10, first_segment_bytes: 256 << 10, ..small() };
    let store = open_with(&disk, options).unwrap();
    keep(&store, "few", Retention::UNLIMITED).await;
    for n in 0..400 {
        let mut large = lasting(Durability::Durable, "many", &n.to_string());
        large.event = event(&n.to_string()).with_subject("x".repeat(5000));
        store.publish(batch(vec![large])).await.unwrap();
        if n % 40 == 0 {
            publish(&store, "few", &n.to_string()).await;
        }
    }
    store.close().await;
    // Wherever in a segment the oldest event comes to lie.
    for kept in (150..200).step_by(9) {
        let disk = disk.copy();
        let store = open_with(&disk, options).unwrap();
        keep(&store, "many", count(kept)).await;
        clean(&store, &disk).await;
        for store in [store, open_with(&disk.copy(), options).unwrap()] {
            let epoch = store.tail_now(&stream("many")).epoch;
            for seq in 400 - kept..400 {
                let after = Some(Cursor { epoch, seq: Seq(seq) });
                let page = store.read_stream(&stream("many"), after, 1).await.unwrap();
                assert_eq!(ids(&page.records), [seq.to_string()]);
            }
            for position in 1..400 {
                match store.read_log(Some(Position(position)), 1).await {
                    Ok(page) => assert!(page.commits[0].token.position > Position(position)),
                    Err(ReadLogError::Gone { oldest, .. }) => assert!(oldest > Position(position)),
                    Err(other) => panic!("{other}"),
                }
            }
            assert_eq!(read_all(&store, "few", 99).await.len(), 10);
        }
    }
}

#[tokio::test]
async fn a_row_that_was_deleted_does_not_come_back_from_a_commit_that_is_kept() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    keep(&store, "many", count(3)).await;
    let row = |value: Option<&'static str>| {
        vec![RowWrite { table: "t", id: "1".to_owned(), expected: None, value: value.map(Bytes::from) }]
    };
    store.publish(Batch { rows: row(Some("1")), ..batch(vec![new("few", "1")]) }).await.unwrap();
    publish_many(&store, "many", 0..40).await;
    store.publish(Batch { rows: row(None), ..batch(vec![new("many", "deletes")]) }).await.unwrap();
    publish_many(&store, "many", 40..100).await;
    clean(&store, &disk).await;
    let store = open_with(&disk.copy(), tiny()).unwrap();
    assert_eq!(store.row_now("t", "1"), None);
    assert_eq!(ids(&read_all(&store, "few", 9).await), ["1"]);
}
