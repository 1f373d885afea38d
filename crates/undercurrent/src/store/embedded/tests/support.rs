//! Stores to test, in directories and in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tempfile::TempDir;
use undercurrent_types::{Cursor, Durability, Name, Position, StreamName};

use super::disk::MemoryDisk;
use crate::store::contract::{Subject, batch, new};
use crate::store::embedded::clean::Cleaner;
use crate::store::embedded::frame::{FRAME, Found, Frame, find};
use crate::store::embedded::segment::{HEADER, SegmentHeader};
use crate::store::embedded::{EmbeddedStore, OpenStoreError, StoreOptions};
use crate::store::{NewEvent, Published, Row, Store, StoreError, StreamState};

/// Small segments, so that tests go through many of them.
pub(super) fn small() -> StoreOptions {
    StoreOptions {
        segment_bytes: 64 << 10,
        first_segment_bytes: 16 << 10,
        clean_every: None,
        ..StoreOptions::default()
    }
}

/// A store in a directory of its own.
pub(super) struct InDirectory {
    dir: TempDir,
    store: Option<Arc<EmbeddedStore>>,
}

impl InDirectory {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Some(Arc::new(EmbeddedStore::open(dir.path(), small()).unwrap()));
        Self { dir, store }
    }
}

impl Subject for InDirectory {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().unwrap()
    }

    fn restart(&mut self) -> BoxFuture<'_, ()> {
        async {
            self.store.take().unwrap().close().await;
            self.store = Some(Arc::new(EmbeddedStore::open(self.dir.path(), small()).unwrap()));
        }
        .boxed()
    }
}

const DIR: &str = "/data";

/// Has streams let go what they need not keep, and gives room back, as if it were later.
pub(super) async fn clean(store: &EmbeddedStore, disk: &MemoryDisk) {
    clean_before(store, disk, Duration::ZERO).await;
}

/// The same, without what is not that old yet.
pub(super) async fn clean_before(store: &EmbeddedStore, disk: &MemoryDisk, ids_known: Duration) {
    let mut cleaner = Cleaner::new(store.shared.clone(), Arc::new(disk.clone()), log());
    (cleaner.ids_known, cleaner.checkpoint_cost) = (ids_known, 0);
    // Each pass rewrites one segment at most.
    let passes = move || (0..40).for_each(|_| cleaner.pass().unwrap());
    tokio::task::spawn_blocking(passes).await.unwrap();
}

/// The directory of the log.
pub(super) fn log() -> PathBuf {
    Path::new(DIR).join("log")
}

/// The path of the segment with a base.
pub(super) fn segment(base: u64) -> PathBuf {
    log().join(format!("{base:016x}.seg"))
}

pub(super) fn segments(disk: &MemoryDisk) -> Vec<String> {
    disk.names(&log()).into_iter().filter(|name| name.ends_with(".seg")).collect()
}

pub(super) fn open(disk: &MemoryDisk) -> EmbeddedStore {
    try_open(disk).unwrap()
}

pub(super) fn try_open(disk: &MemoryDisk) -> Result<EmbeddedStore, OpenStoreError> {
    open_with(disk, small())
}

pub(super) fn open_with(disk: &MemoryDisk, options: StoreOptions) -> Result<EmbeddedStore, OpenStoreError> {
    EmbeddedStore::open_on(Arc::new(disk.clone()), Path::new(DIR), options)
}

/// An event for a stream of some durability.
pub(super) fn lasting(durability: Durability, to: &str, id: &str) -> NewEvent {
    NewEvent { durability, ..new(to, id) }
}

pub(super) async fn publish_as(
    store: &EmbeddedStore,
    durability: Durability,
    to: &str,
    id: &str,
) -> Published {
    store.publish(batch(vec![lasting(durability, to, id)])).await.unwrap()
}

/// Returns the records of the first segment, with where each ends.
pub(super) fn frames(bytes: &[u8]) -> Vec<(Frame, usize)> {
    let header = SegmentHeader::decode(bytes).unwrap();
    let mut at = HEADER as usize;
    let mut frames = Vec::new();
    while let Found::Record(frame, payload) = find(&bytes[at..], header.base + at as u64, header.salt) {
        at += FRAME + payload.len();
        frames.push((frame, at));
    }
    frames
}

/// What an embedded store knows at once.
impl EmbeddedStore {
    pub(super) fn last_now(&self, name: &Name) -> (Option<Position>, bool) {
        let known = at_once(self.last(std::slice::from_ref(name)));
        (known[0].position, known[0].in_doubt)
    }

    pub(super) fn row_now(&self, table: &str, id: &str) -> Option<Row> {
        at_once(self.row(table, id))
    }

    pub(super) fn rows_now(&self, table: &str) -> Vec<(String, Row)> {
        at_once(self.rows(table))
    }

    pub(super) fn tail_now(&self, stream: &StreamName) -> Cursor {
        at_once(self.tail(stream))
    }

    pub(super) fn streams_now(&self) -> Vec<StreamState> {
        at_once(self.streams())
    }
}

fn at_once<T>(answer: BoxFuture<'_, Result<T, StoreError>>) -> T {
    answer.now_or_never().expect("it waits for nothing").unwrap()
}
