//! The bounds within which the protocol is looked at: small ones for every build, large ones for long runs.

use crate::dependencies::{self, Dependencies, Graph, Key};
use crate::memory::{self, Memory};
use crate::order;
use crate::shared::{self, Shared};

/// A log that keeps this many records.
pub const fn keeping(records: usize) -> order::Steps {
    order::Steps { records, ..order::Steps::ALL }
}

/// An invalidation of something that nothing is made from.
pub const NOISE: [u8; 4] = [0, 1, 0, 0];

/// Returns what is looked at of the memory of a node.
pub fn memory(large: bool) -> Vec<(&'static str, Memory)> {
    use memory::{Bounds, Steps};
    let run = |name, bounds| (name, Memory { bounds, steps: Steps::ALL });
    let trimmed = |name, bounds, records| {
        (name, Memory { bounds, steps: Steps { order: keeping(records), ..Steps::ALL } })
    };
    let small = Bounds { noise: 1, ..Bounds::SMALL };
    let own = Bounds { own: 1, ..Bounds::SMALL };
    let other = Bounds { changes: 1, remote: 1, expiries: 1, reads: 1, ..small };
    if !large {
        return vec![
            run("a neighbour in the slot", small),
            run("own publishes", own),
            trimmed("a log of one record", small, 1),
            run("another node that loads", other),
        ];
    }
    vec![
        run("two invalidations", Bounds { invalidations: 2, ..small }),
        run("three readers", Bounds { readers: 3, reads: 1, ..small }),
        run("own publishes and a neighbour", Bounds { noise: 1, ..own }),
        trimmed("own publishes, a log of two records", Bounds { noise: 1, ..own }, 2),
        trimmed("two invalidations, a log of one record", Bounds { invalidations: 2, ..small }, 1),
        run("another node that loads, two reads", Bounds { reads: 2, expiries: 0, ..other }),
        run("another node that loads twice", Bounds { remote: 2, ..other }),
        trimmed(
            "another node that loads, and a log of one record",
            Bounds { changes: 1, remote: 1, noise: 3, invalidations: 0, ..Bounds::SMALL },
            1,
        ),
    ]
}

/// Returns what is looked at of values made from values.
pub fn dependencies(large: bool) -> Vec<(&'static str, Dependencies)> {
    use dependencies::{Bounds, Steps};
    let run = |name, bounds| (name, Dependencies { bounds, steps: Steps::ALL });
    let trimmed = |name, bounds, records| {
        (name, Dependencies { bounds, steps: Steps { order: keeping(records), ..Steps::ALL } })
    };
    let small = Bounds::SMALL;
    let tag = Bounds { changes: [1, 0, 1], ..small };
    let diamond = Bounds { graph: Graph::Diamond, changes: [1, 0, 0], expiries: 1, ..small };
    let dynamic = Bounds { graph: Graph::Dynamic, changes: [1, 1, 0], ..small };
    let verified =
        Bounds { verified: true, keys: &[Key::A, Key::K], changes: [1, 0, 0], needless: NOISE, ..small };
    let doubt = Bounds { doubts: 1, keys: &[Key::A, Key::K], changes: [1, 0, 0], ..small };
    if !large {
        return vec![
            run("a chain", tag),
            run(
                "a chain that is kept already",
                Bounds { warm: true, changes: [2, 0, 1], keys: &[Key::K], ..small },
            ),
            run("a diamond", diamond),
            run("inputs that depend on inputs", dynamic),
            run("a verified read that meets a change", verified),
            run("a scope in doubt", doubt),
            trimmed("a log of one record", Bounds { reads: 2, warm: true, keys: &[Key::K], ..tag }, 1),
            trimmed(
                "a scope in doubt and a log of one record",
                Bounds { warm: true, keys: &[Key::K], ..doubt },
                1,
            ),
        ];
    }
    let again = Bounds { reads: 2, ..small };
    vec![
        run("a chain, read twice", Bounds { changes: [2, 0, 1], ..again }),
        run("a chain, three readers", Bounds { processes: 3, ..tag }),
        run("a diamond, two changes", Bounds { changes: [2, 0, 0], ..diamond }),
        run(
            "a diamond with a tag, read twice",
            Bounds { reads: 2, changes: [1, 0, 1], expiries: 0, ..diamond },
        ),
        run("inputs that depend on inputs, read twice", Bounds { reads: 2, ..dynamic }),
        run(
            "inputs that depend on inputs, with expiry",
            Bounds { expiries: 1, changes: [1, 1, 1], ..dynamic },
        ),
        run("verified reads in a diamond", Bounds { graph: Graph::Diamond, ..verified }),
        run("verified reads, twice", Bounds { reads: 2, needless: [0; 4], ..verified }),
        run("a scope in doubt, read twice", Bounds { reads: 2, warm: true, ..doubt }),
        run("a scope in doubt, three readers", Bounds { processes: 3, warm: true, keys: &[Key::K], ..doubt }),
        trimmed("a log of one record, read twice", Bounds { reads: 2, ..tag }, 1),
        trimmed("a log of two records", Bounds { reads: 2, needless: NOISE, ..tag }, 2),
        trimmed(
            "a scope in doubt, noise and a log of one record",
            Bounds { warm: true, needless: NOISE, ..doubt },
            1,
        ),
    ]
}

/// Returns what is looked at of a store that nodes share.
pub fn shared(large: bool) -> Vec<(&'static str, Shared)> {
    use shared::{Bounds, Kind, Old, Snapshot, Steps};
    let run = |name, bounds| (name, Shared { bounds, steps: Steps::ALL });
    let trimmed = |name, bounds, records| {
        (name, Shared { bounds, steps: Steps { order: keeping(records), ..Steps::ALL } })
    };
    let small = Bounds::SMALL;
    let one = Bounds { nodes: 1, reads: 2, ..small };
    let stays = Bounds { promotions: 0, noise: 1, ..one };
    let back = Bounds { promotions: 2, ..one };
    let dragonfly = Bounds { kind: Kind::Dragonfly, ..back };
    let publishing = Bounds { nodes_publish: true, noise: 1, ..one };
    let lease = Bounds { lease: true, ticks: 1, outages: 1, ..one };
    if !large {
        return vec![
            run("a promotion", Bounds { warm: false, reads: 1, ..small }),
            run("a promotion, and nodes that publish", publishing),
            run("a promotion back", Bounds { slow_claims: true, ..back }),
            run("a Dragonfly promoted back", Bounds { warm: false, ..dragonfly }),
            run(
                "a Dragonfly promoted back, and a node that publishes",
                Bounds { kind: Kind::Dragonfly, promotions: 2, ..publishing },
            ),
            run("a Dragonfly promoted back, and two readers", Bounds { readers: 2, reads: 1, ..dragonfly }),
            trimmed(
                "a Dragonfly promoted back, and a log of one record",
                Bounds { noise: 1, ..dragonfly },
                1,
            ),
            run("two primaries", Bounds { old: Old::Primary, ..dragonfly }),
            run("a server that begins with nothing", Bounds { restarts: 1, ..stays }),
            run("an older snapshot", Bounds { restarts: 1, snapshot: Snapshot::Older, ..stays }),
            run("a flush, and two readers", Bounds { flushes: 1, readers: 2, reads: 1, ..stays }),
            run("evictions", Bounds { evictions: [1, 1], ..stays }),
            trimmed("a log of one record", Bounds { promotions: 1, ..stays }, 1),
            run("a name retired", Bounds { retirements: 1, ..stays }),
            run("a lease", Bounds { promotions: 0, noise: 1, ..lease }),
            run("a lease, and a promotion", Bounds { ticks: 0, reads: 1, ..lease }),
            run(
                "a lease, and a renewal that is long on the way",
                Bounds { promotions: 0, delays: 1, ..lease },
            ),
            run("a lease, and a flush", Bounds { promotions: 0, flushes: 1, reads: 1, ..lease }),
        ];
    }
    vec![
        run("two primaries, two nodes", Bounds { old: Old::Primary, nodes: 2, reads: 1, ..dragonfly }),
        run("flushes and evictions", Bounds { flushes: 1, evictions: [1, 1], changes: 2, ..stays }),
        trimmed("a log of two records, two nodes", Bounds { noise: 2, ..small }, 2),
        run("a lease, a promotion, read twice", Bounds { noise: 1, ..lease }),
        run("a lease, two outages and a late renewal", Bounds { outages: 2, ticks: 2, delays: 1, ..lease }),
        run("a lease, a promotion and two outages", Bounds { outages: 2, ..lease }),
        run("a promotion, two nodes that read twice", Bounds { reads: 2, noise: 1, ..small }),
        run("a promotion, three reads", Bounds { reads: 3, changes: 2, noise: 1, ..one }),
        run("a promotion back, read once by two", Bounds { nodes: 2, reads: 1, ..back }),
        run("promotions, a flush and cuts", Bounds { flushes: 1, cuts: 1, slow_claims: true, ..back }),
        run(
            "a promotion that kills the old one, and two readers",
            Bounds { old: Old::Down, readers: 2, noise: 1, ..one },
        ),
        run("a Dragonfly promoted back, two nodes", Bounds { nodes: 2, reads: 1, ..dragonfly }),
        run("a Dragonfly promoted back, two readers", Bounds { readers: 2, noise: 1, ..dragonfly }),
        run(
            "a Dragonfly promoted back, and a node that publishes twice",
            Bounds { kind: Kind::Dragonfly, promotions: 2, noise: 2, ..publishing },
        ),
    ]
}
