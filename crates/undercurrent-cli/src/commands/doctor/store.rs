//! `doctor` of a shared store, and the choice between that and a data directory.

use std::process::ExitCode;

use undercurrent::OpenError;
use undercurrent::store::dragonfly::{SharedCheckup, SharedStoreOptions, examine};
use undercurrent_server::ServeError;
use undercurrent_types::ErrorCode;

use crate::args::{Doctor, Global, Serve};
use crate::commands::operate::bytes;
use crate::failure::Failure;
use crate::{output, settings};

/// Looks at what is named: by a flag, by the environment, or by a configuration.
pub(crate) async fn run(args: &Doctor, global: &Global) -> Result<ExitCode, Failure> {
    if let Some(data) = &args.data {
        return super::run(data, args, global.json);
    }
    let told = |name| std::env::var(name).ok();
    let named = Serve {
        config: args.config.clone(),
        store: args.store.clone().or_else(|| told("UNDERCURRENT_STORE")),
        data: told("UNDERCURRENT_DATA").map(Into::into),
        ..Serve::default()
    };
    let engine = settings::read(&named, global.namespace.as_deref())?.engine;
    match (engine.shared, engine.data) {
        (Some(shared), _) => {
            look(SharedStoreOptions { namespace: engine.namespace, ..shared }, global.json).await
        }
        (None, Some(data)) => super::run(&data, args, global.json),
        (None, None) => {
            Err(Failure::usage("name what to look at: `--data DIR`, `--store URL`, or `--config FILE`"))
        }
    }
}

async fn look(options: SharedStoreOptions, json: bool) -> Result<ExitCode, Failure> {
    let namespace = options.namespace.clone();
    let checkup = examine(options).await;
    let checkup = checkup.map_err(|error| ServeError::from(OpenError::Shared(error)).body())?;
    if json {
        output::json(&checkup)?;
    } else {
        print(&checkup, &namespace)?;
    }
    match checkup.refused {
        Some(reason) => Err(Failure::new(ErrorCode::StoreFailed, reason)),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn print(checkup: &SharedCheckup, namespace: &str) -> Result<(), Failure> {
    let say = |head: &str, text: String| output::line(&format!("{head:11}  {text}"));
    let SharedCheckup { latency, memory, persistence, replication, .. } = checkup;
    say("server", format!("{} at {}, found by {}", checkup.product, checkup.address, checkup.found_by))?;
    let ms = |us: u64| us as f64 / 1000.0;
    let (p50, p99) = (ms(latency.p50_us), ms(latency.p99_us));
    say("latency", format!("p50 {p50:.2} ms, p99 {p99:.2} ms of {} round trips", latency.round_trips))?;
    let policy = memory.policy.as_deref().unwrap_or("policy unknown");
    let limit = if memory.limit == 0 { "no limit".to_owned() } else { bytes(memory.limit) };
    say("memory", format!("{policy}, {} used of {limit}", bytes(memory.used)))?;
    let file = match (persistence.append_only, &persistence.append_fsync) {
        (false, _) => "no append-only file".to_owned(),
        (true, Some(fsync)) => format!("append-only file, appendfsync {fsync}"),
        (true, None) => "append-only file".to_owned(),
    };
    let strongest = persistence.strongest.as_ref().map(|it| format!(", at most `{it}`")).unwrap_or_default();
    say("persistence", format!("{file}{strongest}"))?;
    let id = replication.id.as_deref().unwrap_or("unknown");
    say(
        "replication",
        format!("{}, {} replicas, history {id}", replication.role, replication.replicas.len()),
    )?;
    for replica in &replication.replicas {
        let number = |it: Option<u64>| it.map_or_else(|| "?".to_owned(), |it| it.to_string());
        let (behind, lag) = (number(replica.behind), number(replica.lag_s));
        let text = format!("{} {}, {behind} bytes behind, heard {lag} s ago", replica.address, replica.state);
        say("replica", text)?;
    }
    let user = if checkup.denied.is_empty() {
        "all that a node does".to_owned()
    } else {
        format!("all but {}", checkup.denied.join(", "))
    };
    say("user", format!("may do {user}"))?;
    match &checkup.namespace {
        None => say("namespace", format!("{namespace}, of which nothing is there"))?,
        Some(found) => {
            let rules = found.rules.as_deref().unwrap_or("none");
            let (format, inc, position) = (&found.format, &found.incarnation, found.position);
            let text = format!(
                "{namespace}, format {format}, incarnation {inc}, position {position}, rules {rules}"
            );
            say("namespace", text)?;
        }
    }
    for part in &checkup.parts {
        let size = part.bytes.map(bytes).unwrap_or_default();
        let text = format!("{:8} {:>8} keys {:>10} entries  {size}", part.part, part.keys, part.entries);
        say("part", text.trim_end().to_owned())?;
    }
    checkup.meaning.iter().try_for_each(|one| say("means", format!("{}: {}", one.about, one.says)))
}
