//! Checkpoints say what the log says, and nothing depends on them.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use undercurrent_types::{Durability, Position, Seq};

use super::disk::MemoryDisk;
use super::support::{clean, lasting, log, open_with, segments, small};
use crate::store::contract::{batch, event, key, name, publish, read_all, stream};
use crate::store::embedded::checkpoint::CHECKPOINT;
use crate::store::embedded::clean::Cleaner;
use crate::store::embedded::file::Disk;
use crate::store::embedded::verify::verify_on;
use crate::store::embedded::{EmbeddedStore, StoreOptions};
use crate::store::{Batch, Invalidation, NewEvent, Retention, RowWrite, Store, StreamSettings};

const KINDS: [Durability; 3] = [Durability::Memory, Durability::Page, Durability::Durable];
const ROUNDS: u64 = 60;

fn tiny() -> StoreOptions {
    StoreOptions { segment_bytes: 4096, first_segment_bytes: 4096, ..small() }
}

/// Events of all durabilities, states, rows and invalidations; a stream that keeps little and one that goes.
async fn live(store: &EmbeddedStore, rounds: std::ops::Range<u64>) {
    if rounds.start == 0 {
        let settings = StreamSettings {
            durability: Durability::Durable,
            retention: Retention { count: Some(4), ..Retention::UNLIMITED },
        };
        store.create_stream(&stream("few"), settings).await.unwrap();
    }
    for n in rounds {
        for kind in KINDS {
            let sent = lasting(kind, &kind.to_string(), &n.to_string());
            let value = (n % 5 != 0).then(|| Bytes::from(vec![b'v'; if n % 7 == 0 { 5000 } else { 9 }]));
            let said = NewEvent { latest: Some((key(&format!("state:{kind}-{}", n % 9)), value)), ..sent };
            let few = NewEvent { event: event(&format!("{kind}{n}")), ..lasting(kind, "few", "") };
            let value = (n % 4 != 0).then(|| Bytes::from(n.to_string()));
            let rows = vec![RowWrite { table: "t", id: (n % 6).to_string(), expected: None, value }];
            let names = vec![Invalidation::by(name(&format!("tag:{}", n % 8)), 0)];
            store.publish(Batch { rows, names, ..batch(vec![said, few]) }).await.unwrap();
        }
        publish(store, "gone", &n.to_string()).await;
        if n % 20 == 19 {
            store.delete_stream(&stream("gone")).await.unwrap();
        }
    }
}

/// Everything that can be read of a store, as text.
async fn told(store: &EmbeddedStore) -> String {
    let mut told = String::new();
    for state in store.streams_now() {
        writeln!(told, "{state:?}").unwrap();
        for record in read_all(store, state.stream.as_str(), 7).await {
            writeln!(told, "{} {:?}", record.cursor, record.json).unwrap();
        }
    }
    for (kind, n) in KINDS.iter().flat_map(|kind| (0..9).map(move |n| (kind, n))) {
        writeln!(told, "{:?}", store.latest(&key(&format!("state:{kind}-{n}"))).await).unwrap();
    }
    writeln!(told, "{:?}", store.rows_now("t")).unwrap();
    for n in 0..8 {
        writeln!(told, "{:?}", store.invalidations(&[name(&format!("tag:{n}"))], 9).await).unwrap();
    }
    for position in (0..400).step_by(13) {
        let page = store.read_log(Some(Position(position)), 3).await;
        // Without the time: what is written to two stores is written at two times.
        let page = page.map(|page| {
            let commits = page.commits.into_iter().map(|commit| (commit.token, commit.names, commit.events));
            (commits.collect::<Vec<_>>(), page.next, page.at_tail)
        });
        writeln!(told, "{position} {page:?}").unwrap();
    }
    told
}

/// Says where two stores differ.
async fn check_same(with: &EmbeddedStore, without: &EmbeddedStore) {
    let [with, without] = [told(with).await, told(without).await];
    for (with, without) in with.lines().zip(without.lines()) {
        assert_eq!(with, without);
    }
    assert_eq!(with.len(), without.len());
}

fn without_checkpoint(disk: &MemoryDisk) -> MemoryDisk {
    let disk = disk.copy();
    disk.remove(&log().join(CHECKPOINT)).unwrap();
    disk
}

/// A log that has been tidied, with a checkpoint and more behind it.
async fn tidied(disk: &MemoryDisk) -> EmbeddedStore {
    let store = open_with(disk, tiny()).unwrap();
    for rounds in [0..30, 30..50] {
        live(&store, rounds).await;
        clean(&store, disk).await;
    }
    live(&store, 50..ROUNDS).await;
    store
}

#[tokio::test]
async fn a_checkpoint_says_what_the_log_says() {
    let disk = MemoryDisk::default();
    let store = tidied(&disk).await;
    for disk in [disk.copy(), disk.crash(|| false)] {
        let [with, without] = [disk.copy(), without_checkpoint(&disk)];
        let [with_store, without_store] = [&with, &without].map(|disk| open_with(disk, tiny()).unwrap());
        check_same(&with_store, &without_store).await;
        assert!(with.bytes_read() < without.bytes_read());
        // Ids that the checkpoint has are known, and what is free is free.
        for store in [&with_store, &without_store] {
            let repeated = lasting(Durability::Durable, "durable", "1");
            let said = NewEvent {
                latest: Some((key("state:durable-1"), Some(Bytes::from(vec![b'v'; 9])))),
                ..repeated
            };
            let answer = store.publish(batch(vec![said])).await.unwrap().events[0];
            assert_eq!((answer.duplicate, answer.cursor.seq), (true, Seq(2)));
            assert!(!publish(store, "durable", "new").await.events[0].duplicate);
        }
        check_same(&with_store, &without_store).await;
    }
    // In order as well.
    store.close().await;
    let stores = [&disk, &without_checkpoint(&disk)].map(|disk| open_with(disk, tiny()).unwrap());
    check_same(&stores[0], &stores[1]).await;
}

#[tokio::test]
async fn opening_reads_what_follows_the_checkpoint_and_no_more() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    let mut read = Vec::new();
    for rounds in [0..40, 40..400] {
        for n in rounds {
            publish(&store, "a", &n.to_string()).await;
        }
        let mut cleaner = Cleaner::new(store.shared.clone(), Arc::new(disk.clone()), log());
        cleaner.checkpoint_cost = 0;
        cleaner.make_checkpoint().unwrap();
        let copy = disk.copy();
        let opened = open_with(&copy, tiny()).unwrap();
        assert_eq!(opened.tail_now(&stream("a")), store.tail_now(&stream("a")));
        let checkpoint = copy.read(&log().join(CHECKPOINT)).len();
        read.push(copy.bytes_read() - checkpoint - segments(&copy).len() * 64);
    }
    assert!(read[1] < read[0] + 8192, "{read:?} bytes");
}

#[tokio::test]
async fn a_checkpoint_that_opening_has_read_is_not_read_again() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    live(&store, 0..30).await;
    clean(&store, &disk).await;
    drop(store);
    let store = open_with(&disk, tiny()).unwrap();
    let read = disk.bytes_read();
    Cleaner::new(store.shared.clone(), Arc::new(disk.clone()), log()).make_checkpoint().unwrap();
    assert_eq!(disk.bytes_read(), read);
}

#[tokio::test]
async fn a_checkpoint_that_is_damaged_or_of_another_log_is_passed_over() {
    let disk = MemoryDisk::default();
    drop(tidied(&disk).await);
    let expected = told(&open_with(&without_checkpoint(&disk), tiny()).unwrap()).await;
    let path = log().join(CHECKPOINT);
    let whole = disk.read(&path);
    let check = async |bytes: Vec<u8>| {
        let disk = disk.copy();
        disk.put(&path, bytes);
        let store = open_with(&disk, tiny()).unwrap();
        assert!(told(&store).await == expected);
    };
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        check(flipped).await;
        check(whole[..at].to_vec()).await;
    }
    let other = MemoryDisk::default();
    drop(tidied(&other).await);
    check(other.read(&path)).await;
    check(Vec::new()).await;
}

#[tokio::test]
async fn a_crash_while_the_log_is_tidied_leaves_a_checkpoint_that_is_right() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    live(&store, 0..20).await;
    clean(&store, &disk).await;
    live(&store, 20..40).await;
    disk.keep_images();
    clean(&store, &disk).await;
    let images = disk.take_images();
    assert!(images.len() > 30, "{}", images.len());
    for image in images.iter().filter(|image| image.names(&log()).iter().any(|name| name == CHECKPOINT)) {
        let stores = [image, &without_checkpoint(image)].map(|disk| open_with(disk, tiny()).unwrap());
        check_same(&stores[0], &stores[1]).await;
    }
}

#[tokio::test]
async fn a_segment_that_is_missing_before_the_checkpoint_is_reported() {
    let disk = MemoryDisk::default();
    drop(tidied(&disk).await);
    let all = segments(&disk);
    disk.remove(&log().join(&all[1])).unwrap();
    let error = open_with(&disk, tiny()).err().unwrap().to_string();
    assert!(error.contains(&format!("`{}` that follows is missing", all[1])), "{error}");
}

/// Logs with all kinds of records, holes and a checkpoint, as `a_directory_is_written` made them, by the format of the
/// checkpoint. The log of both has format 1.
const FIXTURES: [(u32, &str); 2] = [
    (1, concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/embedded/tests/fixtures/format-1")),
    (2, concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/embedded/tests/fixtures/checkpoint-2")),
];

fn fixture(dir: &str) -> MemoryDisk {
    let disk = MemoryDisk::default();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        disk.put(&log().join(path.file_name().unwrap()), std::fs::read(path).unwrap());
    }
    disk
}

#[tokio::test]
async fn directories_with_a_checkpoint_of_each_format_are_read() {
    for (format, dir) in FIXTURES {
        let disk = fixture(dir);
        let checkup = verify_on(&disk, Path::new("/data")).unwrap();
        let told: Vec<_> = checkup.findings.iter().map(ToString::to_string).collect();
        let expected = match format {
            1 => vec![
                "`log/checkpoint`: it is of format 1, which an older version of Undercurrent wrote: opening reads the whole log and makes another",
            ],
            _ => vec![],
        };
        assert_eq!(
            (checkup.sound, told),
            (true, expected.into_iter().map(str::to_owned).collect()),
            "{format}"
        );
        let without = open_with(&without_checkpoint(&disk), tiny()).unwrap();
        let with = open_with(&disk, tiny()).unwrap();
        check_same(&with, &without).await;
        let streams = with.streams().await.unwrap();
        let streams: Vec<_> =
            streams.iter().map(|one| (one.stream.as_str(), one.oldest.0, one.tail.seq.0)).collect();
        let expected = [("durable", 1, 8), ("few", 15, 24), ("gone", 1, 8), ("memory", 1, 8), ("page", 1, 8)];
        assert_eq!(streams, expected, "{format}");
        assert_eq!(with.latest(&key("state:durable-3")).await.unwrap().unwrap(), &[b'v'; 9][..]);
        assert_eq!(with.row("t", "1").await.unwrap().unwrap().value, "7");
    }
}

/// Writes the last fixture anew. To be run only for a new format, with a name of its own.
#[tokio::test]
#[ignore = "writes the fixture"]
async fn a_directory_is_written() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    live(&store, 0..6).await;
    clean(&store, &disk).await;
    live(&store, 6..8).await;
    store.close().await;
    let (_, dir) = FIXTURES[FIXTURES.len() - 1];
    std::fs::create_dir_all(dir).unwrap();
    for name in disk.names(&log()) {
        std::fs::write(Path::new(dir).join(&name), disk.read(&log().join(&name))).unwrap();
    }
}
