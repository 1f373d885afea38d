//! A log of many segments, some of them rewritten, cut and damaged everywhere.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::MemoryDisk;
use super::support::{clean, log, open_with, segment, segments, small};
use crate::store::contract::{ids, publish, read_all, stream};
use crate::store::embedded::checkpoint::{CHECKPOINT, Checkpoint};
use crate::store::embedded::file::Disk;
use crate::store::embedded::frame::{FRAME, Found, Frame, Kind, find};
use crate::store::embedded::recover::open_segments;
use crate::store::embedded::segment::{HEADER, SegmentHeader};
use crate::store::embedded::verify::verify_on;
use crate::store::embedded::{EmbeddedStore, OpenStoreError, StoreOptions};
use crate::store::{Retention, Store, StreamSettings};

fn tiny() -> StoreOptions {
    StoreOptions { segment_bytes: 2048, first_segment_bytes: 2048, ..small() }
}

/// A log of several segments; the events of `kept` are all there, in the order of their ids.
async fn filled(rewritten: bool) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    if rewritten {
        let retention = Retention { count: Some(1), ..Retention::UNLIMITED };
        let settings = StreamSettings { durability: undercurrent_types::Durability::Durable, retention };
        store.create_stream(&stream("let-go"), settings).await.unwrap();
    }
    for n in 0..24 {
        publish(&store, "kept", &n.to_string()).await;
        if rewritten {
            for m in 0..3 {
                publish(&store, "let-go", &format!("{n}.{m}")).await;
            }
        }
    }
    if rewritten {
        clean(&store, &disk).await;
    }
    drop(store);
    disk
}

/// The segments with their bytes, oldest first.
fn bytes(disk: &MemoryDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = segments(disk).into_iter().map(|name| log().join(name));
    paths.map(|path| (path.clone(), disk.read(&path))).collect()
}

fn holding(files: &[(PathBuf, Vec<u8>)]) -> MemoryDisk {
    let disk = MemoryDisk::default();
    files.iter().for_each(|(path, bytes)| disk.put(path, bytes.clone()));
    disk
}

async fn kept(store: &EmbeddedStore) -> Vec<u64> {
    ids(&read_all(store, "kept", 99).await).iter().map(|id| id.parse().unwrap()).collect()
}

/// Returns the records of a segment with where they begin and end in it, over what was dropped as well.
fn records(bytes: &[u8]) -> Vec<(Frame, usize, usize)> {
    let SegmentHeader { base, salt, .. } = SegmentHeader::decode(bytes).unwrap();
    let (mut at, mut records) = (HEADER, Vec::new());
    while let Found::Record(frame, payload) = find(&bytes[at as usize..], base + at, salt) {
        records.push((frame, at as usize, at as usize + FRAME + payload.len()));
        at = frame.next(payload) - base;
        if at >= bytes.len() as u64 {
            break;
        }
    }
    records
}

/// Cuts a log at every byte of its first segment, and at many of the others: what follows is gone, or only zeros.
async fn cut_everywhere(rewritten: bool) {
    let disk = filled(rewritten).await;
    let files = bytes(&disk);
    assert!(files.len() > 4, "{} segments", files.len());
    let mut fewest = 0;
    for (i, (path, whole)) in files.iter().enumerate() {
        // The commits before this segment.
        let before = kept(&open_with(&holding(&files[..=i]), tiny()).unwrap()).await.len();
        let ends: Vec<_> = records(whole).into_iter().map(|(_, _, end)| end).collect();
        let every = if i == 0 { 1 } else { 13 };
        let cuts = HEADER as usize..=*ends.last().unwrap_or(&(HEADER as usize));
        for cut in cuts.filter(|cut| cut % every == 0 || ends.contains(cut)) {
            let mut left = whole[..cut].to_vec();
            if cut % 2 == 0 {
                left.resize(whole.len(), 0);
            }
            let image = holding(&files[..i]);
            image.put(path, left);
            let store =
                open_with(&image, tiny()).unwrap_or_else(|e| panic!("{} cut at {cut}: {e}", path.display()));
            let found = kept(&store).await;
            assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>(), "cut at {cut}");
            // What is before the cut is there, and what was there at a shorter cut.
            assert!(
                found.len() >= fewest && found.len() <= before,
                "{} of {before}, cut at {cut}",
                found.len()
            );
            if ends.contains(&cut) {
                fewest = found.len();
            }
        }
        assert_eq!(fewest, before, "{}", path.display());
    }
    assert_eq!(fewest, 24);
}

#[tokio::test]
async fn a_log_of_many_segments_cut_at_any_byte_keeps_every_commit_before_the_cut() {
    cut_everywhere(false).await;
}

#[tokio::test]
async fn a_rewritten_log_cut_at_any_byte_keeps_every_commit_before_the_cut() {
    cut_everywhere(true).await;
}

#[tokio::test]
async fn damage_in_a_rewritten_segment_is_reported_with_its_place() {
    let disk = filled(true).await;
    let mut files = bytes(&disk);
    let mut damaged = 0;
    for i in 0..files.len() {
        let (path, whole) = files[i].clone();
        let found = records(&whole);
        if !found.iter().any(|(frame, ..)| frame.kind == Kind::Dropped) {
            continue;
        }
        for (_, begin, _) in found {
            for at in (begin..begin + FRAME).step_by(5) {
                files[i].1[at] ^= 4;
                let (opened, looked) = (
                    open_with(&holding(&files), tiny()).err(),
                    verify_on(&holding(&files), "/data".as_ref()).err(),
                );
                for error in [opened, looked] {
                    let Some(OpenStoreError::Corrupt { path: named, at: place, .. }) = error else {
                        panic!("{} flipped at {at}: {error:?}", path.display())
                    };
                    assert_eq!((named, place), (path.clone(), begin as u64), "flipped at {at}");
                }
                files[i].1[at] ^= 4;
                damaged += 1;
            }
        }
    }
    assert!(damaged > 20, "{damaged}");
}

#[tokio::test]
async fn a_damaged_header_is_reported_with_its_segment() {
    let files = bytes(&filled(false).await);
    for at in 0..HEADER as usize {
        let mut files = files.clone();
        files[1].1[at] ^= 4;
        let error = open_with(&holding(&files), tiny()).err().unwrap().to_string();
        assert!(error.contains(&*files[1].0.to_string_lossy()), "flipped at {at}: {error}");
    }
    assert_eq!(files[0].0, segment(0));
}

#[tokio::test]
async fn no_byte_of_a_checkpoint_can_be_cut_or_changed_unnoticed() {
    let disk = filled(true).await;
    let path = log().join(CHECKPOINT);
    let whole = disk.read(&path);
    let all: Vec<Arc<_>> = open_segments(&disk, &log(), &disk.list(&log()).unwrap()).unwrap();
    let is_used = |bytes: &[u8]| {
        disk.put(&path, bytes.to_vec());
        Checkpoint::load(&disk, &log(), &all).is_some()
    };
    assert!(is_used(&whole) && whole.len() > 300, "{} bytes", whole.len());
    for at in 0..whole.len() {
        assert!(!is_used(&whole[..at]), "cut at {at}");
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        assert!(!is_used(&flipped), "flipped at {at}");
    }
}

#[tokio::test]
async fn a_call_that_fails_while_a_log_is_opened_takes_nothing_that_is_published_later() {
    let files = bytes(&filled(false).await);
    // It ends with a seal, so that opening makes the next segment.
    let is_sealed = |bytes: &[u8]| records(bytes).last().is_some_and(|(frame, ..)| frame.kind == Kind::Seal);
    let last = files.iter().rposition(|(_, bytes)| is_sealed(bytes)).unwrap();
    let sealed = holding(&files[..=last]);
    let before = kept(&open_with(&sealed.copy(), tiny()).unwrap()).await.len() as u64;
    for failing in 0..60 {
        let disk = sealed.copy();
        disk.fail_call(failing, false);
        drop(open_with(&disk, tiny()));
        disk.mend();
        let store = open_with(&disk, tiny()).unwrap();
        publish(&store, "kept", &before.to_string()).await;
        let left = open_with(&disk.crash(|| false), tiny()).unwrap();
        assert_eq!(kept(&left).await, (0..=before).collect::<Vec<_>>(), "call {failing} failed");
    }
}
