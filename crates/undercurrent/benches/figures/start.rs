//! From nothing to ready, with little and with much in the log.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use undercurrent::{Config, Durability, EventStream};

use crate::{beside_the_program, message};

const BATCH: u64 = 250;
/// What the bench is told when it runs as the process that opens.
const OPENS: &str = "--opens";

pub(crate) fn run(events: u64, streams: u64) {
    let dir = beside_the_program();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!("| start to ready, empty | {} | | | < 50 ms |", opened(&dir.path().join("empty")));
    let full = dir.path().join("full");
    runtime.block_on(fill(&full, events, streams));
    println!(
        "| start to ready, {events} events in {streams} streams | {} | | | < 1 s, < 200 MiB |",
        opened(&full)
    );
}

/// Opens a store in a process of its own, three times, and returns what the last said.
fn opened(data: &Path) -> String {
    let program = std::env::current_exe().expect("a path");
    let open = || Command::new(&program).arg(OPENS).arg(data).output().expect("it runs").stdout;
    open();
    open();
    String::from_utf8_lossy(&open()).trim().to_owned()
}

/// Opens a store in a process of its own and returns the bytes that it takes then.
pub(crate) fn memory_when_opened(data: &Path) -> u64 {
    let said = opened(data);
    let mib = said.split(", ").nth(1).and_then(|now| now.strip_suffix(" MiB now")?.parse::<f64>().ok());
    (mib.expect("it says its memory") * f64::from(1 << 20)) as u64
}

/// Opens the store that the arguments name and says how long that took, if they name one.
pub(crate) fn open_if_told() -> bool {
    let Some(data) = std::env::args().skip_while(|argument| argument != OPENS).nth(1) else { return false };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let start = Instant::now();
        let config = Config { data: Some(data.into()), ..Config::default() };
        let events = EventStream::open(config).await.expect("an engine");
        let took = start.elapsed().as_secs_f64() * 1000.0;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let of = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok());
            kib.unwrap_or_default() / 1024.0
        };
        println!("{took:.1} ms, {:.1} MiB now, {:.1} MiB at most", of("VmRSS"), of("VmHWM"));
        events.close().await;
    });
    true
}

async fn fill(data: &Path, events: u64, streams: u64) {
    let config = Config { data: Some(data.to_owned()), ..Config::default() };
    let engine = EventStream::open(config).await.expect("an engine");
    for batch in 0..events / BATCH {
        let stream = |n| format!("sessions/{}", (batch * BATCH + n) % streams);
        let messages = (0..BATCH).map(|n| message(&stream(n), 120, Durability::Page)).collect();
        engine.publish_with(messages, Vec::new(), "").await.expect("an acknowledgement");
    }
    engine.close().await;
}
