//! Over what a workload runs: another store is one line.

use std::path::Path;
use std::sync::Arc;

use undercurrent::store::Store;
use undercurrent::store::embedded::{EmbeddedStore, StoreOptions};

use crate::remote::Remote;
use crate::site::Finding;

/// What a workload runs over.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Its name.
    pub name: &'static str,
    /// What holds the order.
    pub over: Over,
    /// Whether there are events and projections, which the flusher's thread makes visible.
    pub events: bool,
    /// Whether it runs on many threads.
    pub threads: bool,
}

/// What holds the order.
#[derive(Clone, Copy)]
pub enum Over {
    /// An empty store in this process, which remembers so many names.
    Process(fn(&Path, usize) -> Arc<dyn Store>),
    /// A real server that several nodes share.
    Server {
        /// Whether it and the ways to it are disturbed.
        disturbed: bool,
        /// How the nodes find it.
        finding: Finding,
    },
}

/// All plans in one process: first those whose seeds fail again.
pub const PLANS: [Plan; 5] = [
    Plan { name: "embedded", over: Over::Process(embedded), events: false, threads: false },
    Plan { name: "remote", over: Over::Process(remote), events: false, threads: false },
    Plan { name: "events", over: Over::Process(embedded), events: true, threads: false },
    Plan { name: "threads", over: Over::Process(embedded), events: true, threads: true },
    Plan { name: "remote-threads", over: Over::Process(remote), events: true, threads: true },
];

/// Several nodes over one server.
pub const SHARED: [Plan; 4] = [
    Plan { events: true, ..over("shared", false, Finding::Address) },
    // Events may be lost with what holds them, so there are none.
    over("disturbed", true, Finding::Address),
    over("cluster", true, Finding::Cluster),
    over("sentinels", true, Finding::Sentinels),
];

const fn over(name: &'static str, disturbed: bool, finding: Finding) -> Plan {
    Plan { name, over: Over::Server { disturbed, finding }, events: false, threads: false }
}

impl Plan {
    /// Says whether time is the machine's.
    pub(crate) fn is_real(&self) -> bool {
        self.threads || matches!(self.over, Over::Server { .. })
    }
}

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
