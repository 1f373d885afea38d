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
    /// It is closed.
    Closed,
    /// The process dies: what is in its files by then is gone on with.
    Crash,
}

/// All plans. A seed of the first fails again, since nothing of it waits for another thread; one of the others does most
/// of the time.
pub const PLANS: [Plan; 5] = [
    Plan { name: "memory", over: Over::Store, durability: Durability::Memory, ends: Ends::Closed, threads: false },
    Plan { name: "durable", over: Over::Store, durability: Durability::Durable, ends: Ends::Closed, threads: false },
    Plan { name: "crash", over: Over::Store, durability: Durability::Durable, ends: Ends::Crash, threads: false },
    Plan { name: "threads", over: Over::Store, durability: Durability::Durable, ends: Ends::Crash, threads: true },
    Plan { name: "http", over: Over::Http, durability: Durability::Durable, ends: Ends::Closed, threads: true },
];
