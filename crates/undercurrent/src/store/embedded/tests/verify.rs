//! Looking at a data directory without opening it.

use std::path::Path;

use undercurrent_types::{Durability, Seq};

use super::disk::MemoryDisk;
use super::support::{clean, log, open_with, publish_as, segment, segments, small};
use crate::store::Store;
use crate::store::contract::publish;
use crate::store::embedded::checkpoint::CHECKPOINT;
use crate::store::embedded::verify::verify_on;
use crate::store::embedded::{Checkup, OpenStoreError, StoreOptions};

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
    assert_eq!(checkup.findings, [""; 0]);
    assert!(checkup.closed && checkup.starts == 1 && checkup.segments == segments(&disk).len());
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
    let findings = check(&crashed).unwrap().findings.join("\n");
    for said in ["`next.unfinished`", "`checkpoint` is damaged", "torn end", "new epoch"] {
        assert!(findings.contains(said), "{findings}");
    }
    assert!(files(&crashed) == before);
    let store = open_with(&crashed, tiny()).unwrap();
    clean(&store, &crashed).await;
    store.close().await;
    assert_eq!(check(&crashed).unwrap().findings, [""; 0]);
}

#[tokio::test]
async fn damage_in_the_middle_is_reported_with_its_place_behind_a_checkpoint_too() {
    let disk = filled().await;
    let mut bytes = disk.read(&segment(0));
    bytes[700] ^= 1;
    disk.put(&segment(0), bytes);
    // Opening begins at the checkpoint, and does not look there.
    drop(open_with(&disk.copy(), tiny()).unwrap());
    let error = check(&disk).unwrap_err();
    assert!(matches!(error, OpenStoreError::Corrupt { at: 1..=700, .. }), "{error}");
}

#[test]
fn what_is_no_data_directory_is_refused() {
    assert!(check(&MemoryDisk::default()).unwrap_err().to_string().contains("could not be read"));
}
