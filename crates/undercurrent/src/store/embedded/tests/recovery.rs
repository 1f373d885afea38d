//! What is there when a store is opened again.

use std::path::PathBuf;

use futures_util::FutureExt;
use proptest::prelude::*;
use undercurrent_types::{Cursor, Durability, Epoch, Position, Seq};

use super::disk::MemoryDisk;
use super::support::{
    InDirectory, frames, lasting, log, open, open_with, publish_as, segment, segments, small, try_open,
};
use crate::store::contract::{Subject, bare, batch, ids, key, name, new, publish, read_all, stream};
use crate::store::embedded::frame::{FRAME, Frame, Kind};
use crate::store::embedded::segment::{HEADER, SegmentHeader};
use crate::store::embedded::{EmbeddedStore, OpenStoreError, StoreOptions};
use crate::store::{Batch, NewEvent, PublishError, ReadStreamError, Record, Store};

fn corrupt_at(result: Result<EmbeddedStore, OpenStoreError>) -> (PathBuf, u64, String) {
    match result {
        Err(e @ OpenStoreError::Corrupt { .. }) => {
            let text = e.to_string();
            let OpenStoreError::Corrupt { path, at, .. } = e else { unreachable!() };
            (path, at, text)
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the store was opened"),
    }
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_appends_go_on() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    for n in 0..3 {
        publish(&store, "a", &n.to_string()).await;
    }
    let image = disk.copy();
    let mut bytes = image.read(&segment(0));
    let end = frames(&bytes).last().unwrap().1;
    // The last record is torn, and behind it lies another piece of what was being written.
    bytes[end - 10] ^= 1;
    bytes[end + 5000..end + 5010].fill(7);
    image.put(&segment(0), bytes);
    let store = open(&image);
    assert_eq!(ids(&read_all(&store, "a", 9).await), ["0", "1"]);
    let published = publish(&store, "a", "again").await;
    assert_eq!(published.events[0].cursor.seq, Seq(3));
    store.close().await;
    let bytes = image.read(&segment(0));
    let end = frames(&bytes).last().unwrap().1;
    assert!(bytes[end..].iter().all(|&b| b == 0), "what was torn is gone");
    assert_eq!(ids(&read_all(&open(&image), "a", 9).await), ["0", "1", "again"]);
}

#[tokio::test]
async fn a_log_cut_at_any_byte_keeps_every_commit_before_the_cut() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    for n in 0..6 {
        store.publish(batch(vec![new("a", &format!("{n}.0")), new("a", &format!("{n}.1"))])).await.unwrap();
    }
    let bytes = disk.copy().read(&segment(0));
    let ends: Vec<_> = frames(&bytes).iter().map(|(_, end)| *end).collect();
    // The first record is the start.
    for cut in ends[4]..=ends[6] {
        for whole_file in [true, false] {
            if !whole_file && !cut.is_multiple_of(5) {
                continue;
            }
            let image = MemoryDisk::default();
            let mut cut_bytes = bytes[..cut].to_vec();
            if whole_file {
                cut_bytes.resize(bytes.len(), 0);
            }
            image.put(&segment(0), cut_bytes);
            // A record that ends with zeros misses none of them.
            let whole = |end: usize| bytes[cut.min(end)..end].iter().all(|&b| b == 0);
            let commits = ends.iter().filter(|end| whole(**end)).count() - 1;
            let store = open(&image);
            let records = read_all(&store, "a", 99).await;
            assert_eq!(records.len(), 2 * commits, "cut at {cut}");
            assert_eq!(image.read(&segment(0)).len(), bytes.len());
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_middle_is_reported_with_its_place() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    for n in 0..4 {
        publish(&store, "a", &n.to_string()).await;
    }
    let bytes = disk.read(&segment(0));
    let ends: Vec<_> = frames(&bytes).iter().map(|(_, end)| *end).collect();
    for at in (ends[1]..ends[2]).step_by(7) {
        let image = MemoryDisk::default();
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        image.put(&segment(0), flipped.clone());
        let (path, place, text) = corrupt_at(try_open(&image));
        assert_eq!((path, place), (segment(0), ends[1] as u64), "flipped at {at}");
        assert!(text.contains("0000000000000000.seg") && text.contains(&ends[1].to_string()), "{text}");
        assert_eq!(image.read(&segment(0)), flipped, "nothing was changed");
    }
    // Zeros in the middle are no end either.
    let image = MemoryDisk::default();
    let mut zeroed = bytes.clone();
    zeroed[ends[1]..ends[2]].fill(0);
    image.put(&segment(0), zeroed);
    assert_eq!(corrupt_at(try_open(&image)).1, ends[1] as u64);
}

#[tokio::test]
async fn damage_before_a_later_segment_is_reported() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    while segments(&disk).len() < 3 {
        publish(&store, "a", &uuid::Uuid::now_v7().to_string()).await;
    }
    store.close().await;
    let bytes = disk.read(&segment(0));
    let (seal, end) = *frames(&bytes).last().unwrap();
    assert_eq!(seal.kind, Kind::Seal);
    let image = disk.copy();
    let mut unsealed = bytes.clone();
    unsealed[end - FRAME..end].fill(0);
    image.put(&segment(0), unsealed);
    assert_eq!(corrupt_at(try_open(&image)).1, (end - FRAME) as u64);
    let image = disk.copy();
    let second = SegmentHeader::decode(&bytes).unwrap().size;
    crate::store::embedded::file::Disk::remove(&image, &segment(second)).unwrap();
    let (path, _, text) = corrupt_at(try_open(&image));
    assert!(path == segment(0) && text.contains("missing"), "{text}");
    let image = disk.copy();
    let mut headless = bytes;
    headless[9] ^= 1;
    image.put(&segment(0), headless);
    assert!(try_open(&image).is_err());
}

#[tokio::test]
async fn a_forged_record_inside_an_event_is_not_believed() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    publish(&store, "a", "1").await;
    let mut bytes = disk.copy().read(&segment(0));
    let end = frames(&bytes).last().unwrap().1;
    // What a user might have managed to have written behind a torn record: all but the salt and the place can be known.
    let true_salt = SegmentHeader::decode(&bytes).unwrap().salt;
    let forged_at = end + 64;
    let witness = |offset: usize, salt: u64| {
        let frame = Frame {
            kind: Kind::Commit,
            start: 1,
            synced: u64::MAX,
            position: 99,
            time_ms: 0,
            offset: offset as u64,
        };
        let mut record = Vec::new();
        frame.write(&[], salt, &mut record);
        record
    };
    bytes[end..end + 64].fill(1);
    for (forged, believed) in [
        (witness(forged_at, true_salt ^ 1), false),
        (witness(forged_at + 8, true_salt), false),
        // So the others are refused for what is wrong with them.
        (witness(forged_at, true_salt), true),
    ] {
        let image = MemoryDisk::default();
        bytes[forged_at..forged_at + forged.len()].copy_from_slice(&forged);
        image.put(&segment(0), bytes.clone());
        let opened = try_open(&image);
        assert_eq!(opened.is_err(), believed);
        if let Ok(store) = opened {
            assert_eq!(ids(&read_all(&store, "a", 9).await), ["1"]);
        }
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let disk = MemoryDisk::default();
    open(&disk).close().await;
    let mut bytes = disk.read(&segment(0));
    bytes[8] = 2;
    disk.put(&segment(0), bytes);
    let error = try_open(&disk).err().unwrap();
    assert!(
        matches!(&error, OpenStoreError::Newer { .. }) && error.to_string().contains("format 2"),
        "{error}"
    );
}

#[tokio::test]
async fn a_second_process_is_refused_until_the_first_has_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), small()).unwrap();
    let error = EmbeddedStore::open(dir.path(), small()).err().unwrap();
    assert!(matches!(error, OpenStoreError::InUse { .. }));
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    store.close().await;
    drop(EmbeddedStore::open(dir.path(), small()).unwrap());
    drop(EmbeddedStore::open(dir.path(), small()).unwrap());
}

#[tokio::test]
async fn no_position_is_given_twice_after_an_unclean_end() {
    let mut disk = MemoryDisk::default();
    let mut highest = Position(0);
    for _ in 0..3 {
        let store = open(&disk);
        // In force, given to a reader, and perhaps never written.
        let token = store.publish(bare(&["state:x"])).await.unwrap().token;
        assert!(token.position > highest);
        highest = token.position;
        disk = disk.crash(|| false);
    }
    let store = open(&disk);
    assert!(store.barrier().await.unwrap().position > highest);
    let last = store.publish(bare(&["state:x"])).await.unwrap().token;
    store.close().await;
    assert_eq!(open(&disk).barrier().await.unwrap(), last);
}

#[tokio::test]
async fn a_new_block_is_reserved_before_the_old_one_ends() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    let reserved = || store.shared.reserved.load(std::sync::atomic::Ordering::Acquire);
    let before = reserved();
    store.shared.order.lock().position = Position(before - 10);
    publish(&store, "a", "1").await;
    assert_eq!(reserved(), before + (1 << 32));
    let token = publish(&store, "a", "2").await.token;
    let image = disk.crash(|| false);
    assert!(open(&image).barrier().await.unwrap().position > token.position);
    // If there were none left, nothing would be given.
    store.shared.order.lock().position = Position(reserved() - 1);
    let error = store.publish(bare(&["state:x"])).await.unwrap_err();
    assert!(matches!(error, PublishError::Failed { .. }), "{error}");
}

#[tokio::test]
async fn an_unclean_end_begins_a_new_epoch_where_events_may_be_lost() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    let mut cursors = Vec::new();
    for durability in [Durability::Memory, Durability::Page, Durability::Durable] {
        for id in ["1", "2"] {
            let published = publish_as(&store, durability, &durability.to_string(), id).await;
            assert_eq!(published.events[0].durability, durability);
            cursors.push(published.events[0].cursor);
        }
    }
    store.close().await;
    let clean = open(&disk);
    for (cursor, from) in cursors.iter().zip(["memory", "memory", "page", "page", "durable", "durable"]) {
        assert!(clean.read_stream(&stream(from), Some(*cursor), 9).await.is_ok());
    }
    let store = open(&disk.copy());
    for (cursor, from) in cursors.iter().zip(["memory", "memory", "page", "page", "durable", "durable"]) {
        let page = store.read_stream(&stream(from), Some(*cursor), 9).await;
        match from {
            "durable" => assert_eq!(page.unwrap().next.epoch, Epoch(1)),
            _ => assert!(matches!(page, Err(ReadStreamError::Gone { reason: "epoch", .. }))),
        }
        // Who begins at the beginning reads through to the end, and on from any event.
        let records = read_all(&store, from, 1).await;
        assert_eq!(ids(&records)[..2], ["1", "2"]);
        let on = store.read_stream(&stream(from), Some(records[0].cursor), 9).await.unwrap();
        assert_eq!(on.records[0].id_text(), "2");
        let again = publish_as(&store, Durability::Durable, from, "3").await.events[0];
        assert_eq!(again.durability.to_string(), from);
        assert_eq!(again.cursor.seq, Seq(read_all(&store, from, 9).await.len() as u64));
    }
    // A stream that the crash took whole is not taken for its successor.
    let lost = publish_as(&clean, Durability::Memory, "lost", "1").await.events[0].cursor;
    let store = open(&disk.crash(|| false));
    publish_as(&store, Durability::Memory, "lost", "other").await;
    assert!(store.read_stream(&stream("lost"), Some(lost), 9).await.is_err());
}

#[tokio::test]
async fn many_segments_hold_many_streams() {
    let disk = MemoryDisk::default();
    let tiny = StoreOptions { segment_bytes: 2048, first_segment_bytes: 2048, ..small() };
    let store = open_with(&disk, tiny).unwrap();
    for n in 0..300 {
        publish(&store, &format!("s/{}", n % 7), &n.to_string()).await;
    }
    // Larger than a segment, and larger than the tail in memory, so that all is read from the log.
    let mut large = new("large", "1");
    large.latest = Some((super::super::Key::parse("state:l").unwrap(), Some(vec![b'x'; 5 << 20].into())));
    store.publish(batch(vec![large])).await.unwrap();
    assert!(segments(&disk).len() > 50);
    for reopened in [false, true] {
        let store = if reopened { &open_with(&disk.copy(), tiny).unwrap() } else { &store };
        for s in 0..7u64 {
            let records = read_all(store, &format!("s/{s}"), 4).await;
            let expected: Vec<_> = (0..300).filter(|n| n % 7 == s).map(|n| n.to_string()).collect();
            assert_eq!(ids(&records), expected);
            let middle = store.read_stream(&stream(&format!("s/{s}")), Some(records[20].cursor), 3).await;
            // A page ends where the events begin that are in memory, so it may have fewer.
            let middle = middle.unwrap().records;
            let count = middle.len();
            assert!(count > 0, "a page is empty at the end only");
            assert_eq!(ids(&middle), expected[21..21 + count]);
        }
        assert_eq!(ids(&read_all(store, "large", 4).await), ["1"]);
    }
}

#[tokio::test]
async fn a_rare_stream_is_read_without_reading_what_lies_between() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    for n in 0..5 {
        publish(&store, "rare", &n.to_string()).await;
        for m in 0..2 {
            let mut large = new("other", &format!("{n}.{m}"));
            large.latest = Some((key("state:l"), Some(vec![b'x'; 1 << 20].into())));
            store.publish(batch(vec![large])).await.unwrap();
        }
    }
    let before = disk.bytes_read();
    assert_eq!(read_all(&store, "rare", 99).await.len(), 5);
    let read = disk.bytes_read() - before;
    assert!(read < 1 << 20, "{read} bytes of more than 10 MiB were read");
}

#[tokio::test]
async fn a_log_that_ends_with_a_seal_goes_on_in_the_next_segment() {
    let disk = MemoryDisk::default();
    let tiny = StoreOptions { segment_bytes: 4096, first_segment_bytes: 4096, ..small() };
    let store = open_with(&disk, tiny).unwrap();
    let mut n = 0;
    while segments(&disk).len() < 3 {
        publish(&store, "a", &n.to_string()).await;
        n += 1;
    }
    store.close().await;
    let bytes = disk.read(&segment(0));
    let first = frames(&bytes).iter().filter(|(frame, _)| frame.kind == Kind::Commit).count();
    // The crash came after the seal: with the next segment made, and with none.
    for prepared in [true, false] {
        let image = MemoryDisk::default();
        image.put(&segment(0), bytes.clone());
        if prepared {
            let mut next = disk.read(&segment(4096));
            next[HEADER as usize..].fill(0);
            image.put(&segment(4096), next);
        }
        image.put(&log().join("next.unfinished"), vec![1; 100]);
        let store = open_with(&image, tiny).unwrap();
        assert_eq!(read_all(&store, "a", 9).await.len(), first);
        publish(&store, "a", "more").await;
        drop(store);
        let store = open_with(&image, tiny).unwrap();
        assert_eq!(read_all(&store, "a", 9).await.len(), first + 1);
        assert!(!segments(&image).iter().any(|name| name.ends_with("unfinished")));
    }
}

/// A directory of format 1, as `a_directory_of_format_1_is_written` made it.
const FORMAT_1: &[u8] = include_bytes!("fixtures/format-1.seg");

#[tokio::test]
async fn a_directory_of_format_1_is_read() {
    let disk = MemoryDisk::default();
    disk.put(&segment(0), FORMAT_1.to_vec());
    let store = open(&disk);
    let states: Vec<_> =
        store.streams_now().iter().map(|s| (s.stream.to_string(), s.durability, s.tail.seq.0)).collect();
    let expected = [("log", Durability::Page, 1), ("sessions/1", Durability::Durable, 3)];
    assert_eq!(states, expected.map(|(stream, durability, tail)| (stream.to_owned(), durability, tail)));
    let records = read_all(&store, "sessions/1", 9).await;
    assert_eq!(ids(&records), ["1", "2", "3"]);
    assert_eq!(records[1].subject_text(), Some("state:x"));
    assert_eq!(records[1].event().unwrap().without_place().to_json(), fact("2").event.to_json());
    assert_eq!(store.latest(&key("state:x")).await.unwrap().unwrap(), r#"{"text":"2"}"#);
    assert_eq!(store.latest(&key("state:y")).await.unwrap(), None);
    let past = store.invalidations(&[name("state:x"), name("tag:t")], 9).await;
    let seen: Vec<_> =
        past.iter().map(|p| (p.name.as_str(), p.event.as_ref().map(Record::id_text), &*p.cause)).collect();
    assert_eq!(seen, [("tag:t", None, "a test"), ("state:x", Some("2"), "")]);
    // It was closed after four commits.
    assert_eq!(store.barrier().await.unwrap().position, records[2].token.position);
    assert_eq!(publish(&store, "log", "new").await.events[0].cursor, Cursor { epoch: Epoch(1), seq: Seq(2) });
}

fn fact(id: &str) -> NewEvent {
    let mut fact = new("sessions/1", id);
    fact.event = fact.event.with_subject("state:x");
    fact.latest = Some((key("state:x"), Some(format!(r#"{{"text":"{id}"}}"#).into_bytes().into())));
    fact
}

/// Writes the fixture anew. To be run only for a new format, with a name of its own.
#[tokio::test]
#[ignore = "writes the fixture"]
async fn a_directory_of_format_1_is_written() {
    let disk = MemoryDisk::default();
    let options = StoreOptions { segment_bytes: 3072, first_segment_bytes: 3072, ..small() };
    let store = open_with(&disk, options).unwrap();
    publish(&store, "sessions/1", "1").await;
    let moved = crate::store::Invalidation::of(name("state:x"));
    store.publish(Batch { names: vec![moved], ..batch(vec![fact("2")]) }).await.unwrap();
    store.publish(bare(&["tag:t"])).await.unwrap();
    let deleted = NewEvent { latest: Some((key("state:y"), None)), ..new("sessions/1", "3") };
    store.publish(batch(vec![deleted, lasting(Durability::Page, "log", "1")])).await.unwrap();
    store.close().await;
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/embedded/tests/fixtures/format-1.seg");
    std::fs::write(fixture, disk.read(&segment(0))).unwrap();
}

#[tokio::test]
async fn what_is_shown_after_a_kill_survives_the_next_crash() {
    let tiny = StoreOptions { segment_bytes: 4096, first_segment_bytes: 4096, ..small() };
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny).unwrap();
    let ends_with_a_seal = |disk: &MemoryDisk| {
        let used: Vec<_> = segments(disk)
            .iter()
            .filter(|s| s.ends_with(".seg"))
            .map(|s| frames(&disk.read(&log().join(s))))
            .collect();
        used.iter().flatten().last().is_some_and(|(frame, _)| frame.kind == Kind::Seal)
    };
    let mut n = 0;
    let held = loop {
        let held = disk.hold_syncs();
        let mut publishing = store.publish(batch(vec![new("a", &n.to_string())]));
        assert!((&mut publishing).now_or_never().is_none());
        disk.wait_for_held_sync();
        if ends_with_a_seal(&disk) {
            break held;
        }
        drop(held);
        publishing.await.unwrap();
        n += 1;
    };
    // The seal is written and not synced when the process dies, and then the machine.
    let killed = disk.copy();
    drop(held);
    let reopened = open_with(&killed, tiny).unwrap();
    let shown = read_all(&reopened, "a", 99).await.len();
    let crashed = killed.crash(|| false);
    assert_eq!(read_all(&open_with(&crashed, tiny).unwrap(), "a", 99).await.len(), shown);
}

#[tokio::test]
async fn a_segment_too_full_for_a_start_is_sealed_before_it() {
    let disk = MemoryDisk::default();
    let tiny = StoreOptions { segment_bytes: 1024, first_segment_bytes: 1024, ..small() };
    for n in 0..30 {
        let store = open_with(&disk, tiny).unwrap();
        publish(&store, "a", &n.to_string()).await;
        assert_eq!(read_all(&store, "a", 99).await.len(), n + 1);
        store.close().await;
    }
    assert!(segments(&disk).len() > 10);
}

#[tokio::test]
async fn a_dropped_store_was_closed() {
    let mut subject = InDirectory::new();
    let token = publish(&*subject.store(), "a", "1").await.token;
    subject.restart().await;
    assert_eq!(subject.store().barrier().await.unwrap(), token);
    let disk = MemoryDisk::default();
    let store = open(&disk);
    let token = store.publish(bare(&["state:x"])).await.unwrap().token;
    drop(store);
    let store = open(&disk);
    assert_eq!(store.barrier().await.unwrap(), token);
    assert_eq!(store.invalidations(&[name("state:x")], 1).await[0].position, token.position);
}

/// What a store was told before a crash.
#[derive(Clone, Debug)]
enum Step {
    Publish { stream: usize, events: usize, size: usize },
    Move,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let publish = (0..3usize, 1..4usize, 0..3000usize).prop_map(|(stream, events, size)| Step::Publish {
        stream,
        events,
        size,
    });
    prop::collection::vec(prop_oneof![8 => publish, 2 => Just(Step::Move), 1 => Just(Step::Restart)], 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_a_crash_leaves_nothing_acknowledged_is_lost_and_nothing_appears_twice(
        steps in steps(), seed: u64, crash_before_sync: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(crash_after(&steps, seed, crash_before_sync));
    }
}

/// Runs the steps, lets the machine die with some of the unsynced sectors, and looks at what is left.
async fn crash_after(steps: &[Step], mut seed: u64, crash_before_sync: bool) {
    let tiny = StoreOptions { segment_bytes: 8192, first_segment_bytes: 4096, ..small() };
    let kinds = [Durability::Memory, Durability::Page, Durability::Durable];
    let disk = MemoryDisk::default();
    let mut store = open_with(&disk, tiny).unwrap();
    let (mut told, mut highest, mut n) = (Vec::new(), Position(0), 0);
    for step in steps {
        match step {
            Step::Publish { stream, events, size } => {
                let to = kinds[*stream].to_string();
                let events = (0..*events).map(|_| {
                    n += 1;
                    let mut event = lasting(kinds[*stream], &to, &n.to_string());
                    event.event = event.event.with_subject("x".repeat(1 + *size));
                    event
                });
                let events: Vec<_> = events.collect();
                let sent: Vec<_> = events.iter().map(|new| new.event.id.clone()).collect();
                highest = store.publish(batch(events)).await.unwrap().token.position;
                if kinds[*stream] == Durability::Durable {
                    told.extend(sent);
                }
            }
            Step::Move => highest = store.publish(bare(&["state:x"])).await.unwrap().token.position,
            Step::Restart => {
                store.close().await;
                store = open_with(&disk, tiny).unwrap();
            }
        }
    }
    let held = crash_before_sync.then(|| disk.hold_syncs());
    if crash_before_sync {
        let unheard = store.publish(batch(vec![new("durable", "unheard"), new("durable", "too")]));
        assert!(unheard.now_or_never().is_none());
        disk.wait_for_held_sync();
    }
    let image = disk.crash(|| {
        // xorshift
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.is_multiple_of(3)
    });
    drop(held);
    for _ in 0..2 {
        let store = open_with(&image, tiny).unwrap();
        let records = read_all(&store, "durable", 3).await;
        let left = ids(&records);
        assert_eq!(left[..told.len()], told);
        assert!(matches!(left[told.len()..], [] | ["unheard", "too"]), "{left:?}");
        for kind in kinds {
            let records = read_all(&store, &kind.to_string(), 100).await;
            let seqs: Vec<_> = records.iter().map(|record| record.cursor.seq.0).collect();
            assert_eq!(seqs, (1..=records.len() as u64).collect::<Vec<_>>());
        }
        let position = store.barrier().await.unwrap().position;
        assert!(position > highest);
        highest = publish(&store, "other", &position.to_string()).await.token.position;
        store.close().await;
        highest = Position(highest.0 - 1);
    }
}
