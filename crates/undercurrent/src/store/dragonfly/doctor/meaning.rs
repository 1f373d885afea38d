//! What is found, said as what it means for the promises.

use std::time::Duration;

use super::{Meaning, SharedCheckup};

/// Above this share of its limit memory is called nearly full.
const NEARLY_FULL: f64 = 0.9;
/// A replica that said nothing for this many seconds is behind.
const LAG_S: u64 = 2;

/// Says what a checkup means. Where the server is refused, that is said and nothing is promised.
pub(super) fn of(checkup: &SharedCheckup, unseen: &[String]) -> Vec<Meaning> {
    let mut all = Vec::new();
    let mut say = |about, says: String| all.push(Meaning { about, says });
    let usable = checkup.refused.is_none();
    let took = Duration::from_micros(checkup.latency.p50_us);
    say(
        "latency",
        format!("a `fresh` read that others share, and an event published, take about {took:?} each"),
    );
    durability(checkup, usable, &mut say);
    memory(checkup, &mut say);
    match &checkup.namespace {
        _ if !usable => {}
        None => say("namespace", "nothing of it is there: the first node makes it".to_owned()),
        Some(found) if found.begins_anew => say(
            "namespace",
            "positions may have been lost (a restart, a failover, or keys that went): the next connection begins a new incarnation, values are loaded again, and readers of streams get a `gap`"
                .to_owned(),
        ),
        Some(_) => say("namespace", "it stands: a node that connects goes on in this incarnation".to_owned()),
    }
    for what in unseen {
        let less = match &**what {
            "CONFIG GET" => {
                "whether every command is synced can not be seen, so acknowledgements never say `durable`"
            }
            "SCAN" => "what each part takes can not be shown",
            _ => "bytes can not be shown, numbers are",
        };
        say("user", format!("`{what}` is not allowed: {less}"));
    }
    if !checkup.parts_complete && !unseen.iter().any(|what| what == "SCAN") {
        say(
            "parts",
            "the server has too many keys to look at all of them: the sizes are those of a part".to_owned(),
        );
    }
    all
}

fn durability(checkup: &SharedCheckup, usable: bool, say: &mut impl FnMut(&'static str, String)) {
    let (persistence, replication) = (&checkup.persistence, &checkup.replication);
    if let Some(primary) = &replication.primary {
        say(
            "replication",
            format!("a replica, which refuses every write: connect to its primary, `{primary}`"),
        );
    }
    if usable {
        let fsync = persistence.append_fsync.as_deref();
        say(
            "persistence",
            match (persistence.append_only, fsync) {
                (true, Some("always")) => "every command is synced before it is answered: acknowledgements say `durable`".to_owned(),
                (true, fsync) => format!(
                    "an append-only file, synced {}: acknowledgements say `page`; an end of the process loses nothing, an end of the machine its last second or more",
                    fsync.unwrap_or("at times that the user may not ask for"),
                ),
                (false, _) => "no append-only file: acknowledgements say `memory`; what came after the last snapshot is lost with the process".to_owned(),
            },
        );
        say(
            "replication",
            match replication.replicas.len() {
                0 => "no replicas: `replicated` can not be given, and a stream that asks for it is refused"
                    .to_owned(),
                n => format!("{n} replicas: `replicated` can be given, each batch waits for one of them"),
            },
        );
        for replica in &replication.replicas {
            if replica.state != "online" || replica.lag_s.is_some_and(|lag| lag > LAG_S) {
                let address = &replica.address;
                say(
                    "replication",
                    format!(
                        "`{address}` is behind: promoted now, it would begin a new incarnation and lose events"
                    ),
                );
            }
        }
    }
    if persistence.snapshot_failed {
        say(
            "persistence",
            "the last snapshot failed, and the server may refuse every write (MISCONF): see its log"
                .to_owned(),
        );
    }
}

fn memory(checkup: &SharedCheckup, say: &mut impl FnMut(&'static str, String)) {
    let memory = &checkup.memory;
    let policy = memory.policy.as_deref().unwrap_or("of no name");
    say(
        "memory",
        match (memory.limit, policy) {
            (0, _) => "no limit: nothing is ever evicted, and retention alone keeps it small".to_owned(),
            (_, policy) if policy.starts_with("allkeys") => {
                format!("{policy}: keys that carry the order could be evicted, so a node refuses the server")
            }
            (_, policy) if policy.starts_with("volatile") => format!(
                "{policy}: when it is full values of context go first and are loaded again, and ids of events may go before their ten minutes"
            ),
            (_, policy) => format!(
                "{policy}: when it is full publishing is refused with an error that can be tried again"
            ),
        },
    );
    if memory.limit > 0 && memory.used as f64 > memory.limit as f64 * NEARLY_FULL {
        say("memory", "nearly full: give it more, or keep less".to_owned());
    }
}
