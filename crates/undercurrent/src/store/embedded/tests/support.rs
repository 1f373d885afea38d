//! Stores in temporary directories.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tempfile::TempDir;

use crate::store::Store;
use crate::store::contract::Subject;
use crate::store::embedded::{EmbeddedStore, StoreOptions};

/// Small segments, so that tests go through many of them.
pub(super) fn small() -> StoreOptions {
    StoreOptions { segment_bytes: 64 << 10, first_segment_bytes: 16 << 10, ..StoreOptions::default() }
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
