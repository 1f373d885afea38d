//! Looking at a data directory without opening it.

use std::path::Path;

use undercurrent_types::{Durability, Seq};

use super::disk::MemoryDisk;
use super::support::{clean, log, open_with, publish_as, segment, segments, small};
use crate::store::contract::{batch, key, new, publish, stream};
use crate::store::embedded::checkpoint::CHECKPOINT;
use crate::store::embedded::file::Disk;
use crate::store::embedded::verify::{salvage_on, verify_on};
use crate::store::embedded::{Checkup, FindingKind, OpenStoreError, StoreOptions};
use crate::store::{Batch, NewEvent, Retention, RowWrite, Store, StreamSettings};

fn tiny() -> StoreOptions {
    StoreOptions { segment_bytes: 4096, first_segment_bytes: 4096, ..small() }
}

fn check(disk: &MemoryDisk) -> Result<Checkup, OpenStoreError> {
    verify_on(disk, Path::new("/data"))
}

fn files(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    disk.names(&log()).into_iter().map(|name| (name.clone(), disk.read(&log().join(name)))).collect()
}

async fn filled() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    for n in 0..60 {
        publish(&store, "a", &n.to_string()).await;
    }
    publish_as(&store, Durability::Page, "p", "1").await;
    clean(&store, &disk).await;
    store.close().await;
    disk
}

#[tokio::test]
async fn a_sound_log_has_nothing_noteworthy_and_is_not_changed() {
    let disk = filled().await;
    let before = files(&disk);
    let checkup = check(&disk).unwrap();
    assert_eq!(checkup.findings, []);
    assert!(
        checkup.sound && checkup.closed && checkup.starts == 1 && checkup.segments == segments(&disk).len()
    );
    let told: Vec<_> =
        checkup.streams.iter().map(|one| (one.stream.as_str(), one.oldest, one.tail.seq)).collect();
    assert_eq!(told, [("a", Seq(1), Seq(60)), ("p", Seq(1), Seq(1))]);
    assert!(files(&disk) == before);
}

#[tokio::test]
async fn what_opening_would_mend_is_said_and_not_done() {
    let disk = filled().await;
    let store = open_with(&disk, tiny()).unwrap();
    publish(&store, "a", "more").await;
    let crashed = disk.copy();
    let names = segments(&crashed);
    let last = log().join(
        names
            .iter()
            .rev()
            .find(|name| {
                let bytes = crashed.read(&log().join(name));
                bytes[64..].iter().any(|&b| b != 0)
            })
            .unwrap(),
    );
    let mut bytes = crashed.read(&last);
    let end = bytes.iter().rposition(|&b| b != 0).unwrap();
    bytes[end + 50] = 7;
    crashed.put(&last, bytes);
    crashed.put(&log().join("next.unfinished"), vec![1]);
    crashed.put(&log().join(CHECKPOINT), vec![1]);
    let before = files(&crashed);
    let checkup = check(&crashed).unwrap();
    assert!(checkup.sound);
    let findings = told(&checkup);
    for said in [
        "`log/next.unfinished`",
        "`log/checkpoint`: it is damaged",
        "torn end",
        "opening cuts it",
        "new epoch",
    ] {
        assert!(findings.contains(said), "{findings}");
    }
    assert!(files(&crashed) == before);
    let store = open_with(&crashed, tiny()).unwrap();
    clean(&store, &crashed).await;
    store.close().await;
    assert_eq!(check(&crashed).unwrap().findings, []);
}

/// Everything that is said of it.
fn told(checkup: &Checkup) -> String {
    checkup.findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// Damages one byte of a segment.
fn damage(disk: &MemoryDisk, base: u64, at: usize) {
    let mut bytes = disk.read(&segment(base));
    bytes[at] ^= 1;
    disk.put(&segment(base), bytes);
}

#[tokio::test]
async fn every_damaged_place_is_named_and_whether_a_checkpoint_stands_for_it() {
    let disk = filled().await;
    damage(&disk, 0, 700);
    damage(&disk, 0, 3000);
    damage(&disk, 4096, 2000);
    // Opening begins at the checkpoint, and does not look there.
    drop(open_with(&disk.copy(), tiny()).unwrap());
    let checkup = check(&disk).unwrap();
    assert!(!checkup.sound);
    let places: Vec<_> = checkup.findings.iter().map(|one| (one.file.as_str(), one.byte.unwrap())).collect();
    let [first, second] = [0, 4096].map(|base| format!("log/{base:016x}.seg"));
    assert_eq!(places.iter().map(|(file, _)| *file).collect::<Vec<_>>(), [&first, &first, &second]);
    assert!(
        places[0].1 <= 700 && places[1].1 <= 3000 && 2200 < places[1].1 && places[2].1 <= 2000,
        "{places:?}"
    );
    assert!(told(&checkup).matches("begins behind it, at the checkpoint").count() == 3, "{}", told(&checkup));
    let disk = without_checkpoint(&disk);
    assert_eq!(told(&check(&disk).unwrap()).matches("opening stops here").count(), 3);
    assert!(matches!(open_with(&disk, tiny()), Err(OpenStoreError::Corrupt { .. })));
}

#[tokio::test]
async fn a_damaged_header_and_a_missing_segment_are_damage() {
    let disk = filled().await;
    damage(&disk, 4096, 20);
    let checkup = check(&disk).unwrap();
    assert!(
        told(&checkup).contains("`log/0000000000001000.seg`, byte 0: the checksum of the header"),
        "{}",
        told(&checkup)
    );
    let disk = filled().await;
    disk.remove(&segment(4096)).unwrap();
    let checkup = check(&disk).unwrap();
    assert!(
        told(&checkup).contains("the segment `0000000000001000.seg` that follows is missing"),
        "{}",
        told(&checkup)
    );
    assert!(!checkup.sound);
}

/// Changes numbers of a checkpoint and mends its checksum, so that only the log can tell.
fn falsify(disk: &MemoryDisk, change: impl FnOnce(&mut Vec<u8>)) {
    let path = log().join(CHECKPOINT);
    let mut bytes = disk.read(&path);
    change(&mut bytes);
    let crc = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    disk.put(&path, bytes);
}

fn place_of(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).unwrap()
}

#[tokio::test]
async fn a_checkpoint_that_says_something_else_than_the_log_is_wrong() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    for n in 0..60 {
        let row =
            RowWrite { table: "t", id: "r".to_owned(), expected: None, value: Some("row-value".into()) };
        let said = NewEvent {
            latest: Some((key("state:x"), Some("\"said-value\"".into()))),
            ..new("a", &n.to_string())
        };
        store.publish(Batch { rows: vec![row], ..batch(vec![said]) }).await.unwrap();
    }
    clean(&store, &disk).await;
    store.create_stream(&stream("b"), settings()).await.unwrap();
    store.close().await;
    assert_eq!(check(&disk).unwrap().findings, []);
    // What follows the checkpoint says these again, so only the index is looked at.
    let index = |bytes: &mut Vec<u8>| {
        // The name with its length, durability and mark; epochs and seqs; limits; the head of the index; the seq of a mark.
        let name = b"\x01\0\0\0\0\0\0\0a\x02\x00";
        let at = place_of(bytes, name) + name.len() + 8 * (4 + 3 + 4 + 1);
        bytes[at] ^= 8;
    };
    let wrong = disk.copy();
    falsify(&wrong, index);
    let checkup = check(&wrong).unwrap();
    assert!(told(&checkup).contains("its index has event 1 of stream `a` at offset"), "{}", told(&checkup));
    assert!(!checkup.sound && checkup.findings.iter().all(|one| one.kind == FindingKind::Wrong));
    let wrong = disk.copy();
    falsify(&wrong, |bytes| {
        let at = place_of(bytes, b"row-value");
        bytes[at] = b'R';
    });
    assert_eq!(check(&wrong).unwrap().findings, [], "a row that is written again is right");
}

#[tokio::test]
async fn rows_and_states_of_a_checkpoint_are_compared_with_the_log() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    let row = RowWrite { table: "t", id: "r".to_owned(), expected: None, value: Some("row-value".into()) };
    let said = NewEvent { latest: Some((key("state:x"), Some("\"said-value\"".into()))), ..new("a", "said") };
    store.publish(Batch { rows: vec![row], ..batch(vec![said]) }).await.unwrap();
    for n in 0..60 {
        publish(&store, "a", &n.to_string()).await;
    }
    clean(&store, &disk).await;
    store.close().await;
    for (part, what) in [("row-value", "row `r` of table `t`"), ("said-value", "the state of `state:x`")] {
        let wrong = disk.copy();
        falsify(&wrong, |bytes| {
            let at = place_of(bytes, part.as_bytes());
            bytes[at] = b'!';
        });
        let told = told(&check(&wrong).unwrap());
        assert!(told.contains(what) && told.contains("by the log") && told.contains("--repair"), "{told}");
    }
}

#[tokio::test]
async fn a_newer_checkpoint_is_named_and_passed_over() {
    let disk = filled().await;
    falsify(&disk, |bytes| bytes[8] = 9);
    let checkup = check(&disk).unwrap();
    assert!(told(&checkup).contains("it is of format 9, which a newer version"), "{}", told(&checkup));
    assert!(checkup.sound);
    let store = open_with(&disk, tiny()).unwrap();
    assert_eq!(store.tail(&stream("a")).await.unwrap().seq, Seq(60));
}

#[tokio::test]
async fn what_is_whole_in_a_damaged_log_can_be_taken_out_and_nothing_of_deleted_streams() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    publish(&store, "gone", "g").await;
    store.delete_stream(&stream("gone")).await.unwrap();
    for n in 0..60 {
        publish(&store, "a", &n.to_string()).await;
    }
    publish(&store, "gone", "again").await;
    store.close().await;
    let salvaged = |disk: &MemoryDisk| {
        let mut taken = Vec::new();
        let count = salvage_on(disk, Path::new("/data"), |record| {
            taken.push(format!("{} {}", record.stream, record.id_text()));
            assert_eq!(record.event().unwrap().id, record.id_text());
            Ok(())
        });
        assert_eq!(count.unwrap(), taken.len() as u64);
        taken
    };
    let expected: Vec<_> = (0..60).map(|n| format!("a {n}")).chain(["gone again".to_owned()]).collect();
    assert_eq!(salvaged(&disk), expected);
    let before = files(&disk);
    let middle = disk.copy();
    damage(&middle, 0, 2000);
    damage(&middle, 4096, 20);
    let taken = salvaged(&middle);
    assert!(taken.len() < expected.len() - 2 && taken.len() > expected.len() / 2, "{taken:?}");
    let mut rest = expected.iter();
    assert!(taken.iter().all(|one| rest.any(|other| other == one)), "in order, and none twice");
    assert!(files(&disk) == before);
}

fn settings() -> StreamSettings {
    StreamSettings { durability: Durability::Durable, retention: Retention::UNLIMITED }
}

fn without_checkpoint(disk: &MemoryDisk) -> MemoryDisk {
    let disk = disk.copy();
    disk.remove(&log().join(CHECKPOINT)).unwrap();
    disk
}

#[test]
fn what_is_no_data_directory_is_refused() {
    assert!(check(&MemoryDisk::default()).unwrap_err().to_string().contains("could not be read"));
}
