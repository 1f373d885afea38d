//! Looking at a data directory without opening it: every record is read, and nothing is changed.

use std::path::Path;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use undercurrent_types::{Cursor, Durability, Position, Seq, StreamName};

use super::checkpoint::{CHECKPOINT, Checkpoint};
use super::error::OpenStoreError;
use super::file::{Disk, RealDisk};
use super::log::now_ms;
use super::recover::{Stop, check_begin, is_unfinished, open_segments, read_all};
use super::replay::Replay;
use super::segment::{FORMAT, Segment};
use super::take_lock;

/// What a data directory holds, and what is noteworthy about it.
#[derive(Clone, Debug, Serialize)]
pub struct Checkup {
    /// The version of the format that its files have at most.
    pub format: u32,
    /// How many files the log has, and the bytes that they span.
    pub segments: usize,
    /// The bytes of the log, holes included.
    pub bytes: u64,
    /// How often it was opened.
    pub starts: u64,
    /// The highest position that may have been given.
    pub position: Position,
    /// Whether the last to have it open closed it.
    pub closed: bool,
    /// Every stream, by name.
    pub streams: Vec<StreamCheckup>,
    /// What is noteworthy, with what becomes of it. Nothing of it loses what was acknowledged.
    pub findings: Vec<String>,
}

/// One stream of a data directory.
#[derive(Clone, Debug, Serialize)]
pub struct StreamCheckup {
    /// Its name.
    pub stream: StreamName,
    /// What its acknowledgements promise.
    pub durability: Durability,
    /// Its last event.
    #[serde(serialize_with = "as_text")]
    pub tail: Cursor,
    /// Its oldest event; one behind the last where there is none.
    pub oldest: Seq,
}

/// Reads every record of the log in a data directory, and changes nothing.
///
/// # Errors
///
/// Fails when there is no log, another process has it open, a newer version wrote it, or something that was once safely
/// on disk is damaged: the error says where.
pub fn verify(dir: &Path) -> Result<Checkup, OpenStoreError> {
    verify_on(&RealDisk, dir)
}

pub(super) fn verify_on(disk: &dyn Disk, dir: &Path) -> Result<Checkup, OpenStoreError> {
    let log_dir = dir.join("log");
    let names = disk.list(&log_dir).map_err(OpenStoreError::io(&log_dir, "listed"))?;
    let _lock = take_lock(disk, dir)?;
    let all = open_segments(disk, &log_dir, &names)?;
    let Some(first) = all.first() else {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no segment in it");
        return Err(OpenStoreError::io(&log_dir, "read")(missing));
    };
    let mut replay = Replay::new(now_ms(), first.header.base, u64::MAX);
    let (last, stop) = read_all(&all, &mut replay)?;
    check_begin(first, &replay)?;
    let mut findings = findings(disk, &log_dir, &names, &all);
    findings.extend(torn(&all[last], &stop));
    Ok(checkup(&all, replay, findings))
}

fn findings(disk: &dyn Disk, log_dir: &Path, names: &[String], all: &[Arc<Segment>]) -> Vec<String> {
    let unfinished = names.iter().filter(|name| is_unfinished(name));
    let unneeded = |name| format!("`{name}` was being made and is not needed: opening removes it");
    let mut findings: Vec<_> = unfinished.map(unneeded).collect();
    if names.iter().any(|name| name == CHECKPOINT) && Checkpoint::load(disk, log_dir, all).is_none() {
        findings.push(format!(
            "`{CHECKPOINT}` is damaged, or of another log or version: opening reads the whole log and makes another"
        ));
    }
    findings
}

fn torn(segment: &Segment, stop: &Stop) -> Option<String> {
    match stop {
        Stop::Ended { at, reason, dirty_to } if dirty_to > at => Some(format!(
            "`{}` has a torn end, bytes {} to {} ({reason}), which nobody was told of: opening cuts it",
            segment.path.display(),
            segment.place(*at),
            segment.place(*dirty_to),
        )),
        _ => None,
    }
}

fn checkup(all: &[Arc<Segment>], mut replay: Replay, mut findings: Vec<String>) -> Checkup {
    let closed = replay.closed_at.is_some();
    if !closed {
        let reason = "the last to have it open did not close it: streams that are `memory` or `page` go on in a new epoch";
        findings.push(reason.to_owned());
    }
    let position = replay.closed_at.unwrap_or(replay.reserved);
    let unchanged = replay.volatile_epoch;
    let mut streams: Vec<_> = replay
        .streams(unchanged)
        .into_iter()
        .map(|known| StreamCheckup {
            stream: known.name,
            durability: known.durability,
            tail: Cursor { epoch: known.epoch, seq: known.tail },
            oldest: known.oldest,
        })
        .collect();
    streams.sort_by(|a, b| a.stream.cmp(&b.stream));
    Checkup {
        format: FORMAT,
        segments: all.len(),
        bytes: all.iter().map(|segment| segment.header.size).sum(),
        starts: replay.start,
        position,
        closed,
        streams,
        findings,
    }
}

fn as_text<S: Serializer>(cursor: &Cursor, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cursor)
}
