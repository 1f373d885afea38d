//! Over what a workload runs: another store is one line.

use std::path::Path;
use std::sync::Arc;

use undercurrent::store::Store;
use undercurrent::store::embedded::{EmbeddedStore, StoreOptions};

use crate::remote::Remote;

/// What a workload runs over.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Its name.
    pub name: &'static str,
    /// Opens an empty store that remembers so many names.
    pub open: fn(&Path, usize) -> Arc<dyn Store>,
    /// Whether there are events and projections, which the flusher's thread makes visible.
    pub events: bool,
    /// Whether it runs on many threads.
    pub threads: bool,
}

/// All plans: first those whose seeds fail again.
pub const PLANS: [Plan; 5] = [
    Plan { name: "embedded", open: embedded, events: false, threads: false },
    Plan { name: "remote", open: remote, events: false, threads: false },
    Plan { name: "events", open: embedded, events: true, threads: false },
    Plan { name: "threads", open: embedded, events: true, threads: true },
    Plan { name: "remote-threads", open: remote, events: true, threads: true },
];

fn embedded(dir: &Path, names: usize) -> Arc<dyn Store> {
    // Little is written, and many run at once: small files, so that making them is not what takes the time.
    let options = StoreOptions {
        names,
        segment_bytes: 1 << 20,
        first_segment_bytes: 256 << 10,
        ..StoreOptions::default()
    };
    Arc::new(EmbeddedStore::open(dir, options).expect("a store in an empty directory"))
}

fn remote(dir: &Path, names: usize) -> Arc<dyn Store> {
    Arc::new(Remote::new(embedded(dir, names)))
}
