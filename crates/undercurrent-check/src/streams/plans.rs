//! Over what histories of streams are recorded.

use undercurrent::Durability;

/// What a workload runs over.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Its name.
    pub name: &'static str,
    /// Over what.
    pub over: Over,
    /// What its streams promise.
    pub durability: Durability,
    /// What ends the store meanwhile.
    pub ends: Ends,
    /// Whether it runs on many threads.
    pub threads: bool,
}

/// Over what a workload runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A store in this process.
    Store,
    /// A daemon, asked over HTTP.
    Http,
}

/// How a store ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Not before the workload does.
    Never,
    /// It is closed.
    Closed,
    /// The process dies: what is in its files by then is gone on with.
    Crash,
}

/// All plans. A seed of the first fails again, since nothing of it waits for another thread or for the disk; one of the
/// others does most of the time.
pub const PLANS: [Plan; 6] = [
    plan("memory", Durability::Memory, Ends::Never),
    plan("closed", Durability::Page, Ends::Closed),
    plan("durable", Durability::Durable, Ends::Closed),
    plan("crash", Durability::Durable, Ends::Crash),
    Plan { threads: true, ..plan("threads", Durability::Durable, Ends::Crash) },
    Plan { threads: true, over: Over::Http, ..plan("http", Durability::Durable, Ends::Closed) },
];

/// Returns a plan over a store, on one thread.
const fn plan(name: &'static str, durability: Durability, ends: Ends) -> Plan {
    Plan { name, over: Over::Store, durability, ends, threads: false }
}
