//! Looking at a data directory without opening it: every record, every index, and what they say of each other.
//!
//! Owns no state. Promises that nothing is changed, but for what [`move_aside`] is asked to move, and that all damage is
//! named, not only the first.

mod agree;
mod damage;
mod finding;
mod salvage;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};
use undercurrent_types::{Cursor, Durability, Position, Seq, StreamName};

use self::damage::{Broken, whole_records};
use super::checkpoint::{self, CHECKPOINT, Checkpoint, Unusable};
use super::error::OpenStoreError;
use super::file::{Disk, RealDisk};
use super::log::now_ms;
use super::recover::{Stop, check_begin, is_unfinished, is_used, open_segment, read_all};
use super::replay::Replay;
use super::segment::{FORMAT, Segment, base_of, file_name};
use super::take_lock;

pub use self::finding::{Finding, FindingKind};
pub use self::salvage::salvage;
#[cfg(test)]
pub(super) use self::salvage::salvage_on;

/// What a data directory holds, and what is noteworthy about it.
#[derive(Clone, Debug, Serialize)]
pub struct Checkup {
    /// The version of the format that its files have at most.
    pub format: u32,
    /// How many files the log has.
    pub segments: usize,
    /// The bytes of the log, holes included.
    pub bytes: u64,
    /// How often it was opened.
    pub starts: u64,
    /// The highest position that may have been given.
    pub position: Position,
    /// Whether the last to have it open closed it.
    pub closed: bool,
    /// Whether nothing is damaged or wrong.
    pub sound: bool,
    /// Every stream, by name; of a damaged log as far as it could be read in order.
    pub streams: Vec<StreamCheckup>,
    /// What is noteworthy, with what becomes of it.
    pub findings: Vec<Finding>,
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

/// Reads every record of the log in a data directory and compares its checkpoint with it; changes nothing.
///
/// # Errors
///
/// Fails when there is no log, another process has it open, a newer version wrote it, or it can not be read. Damage is no
/// error but a finding.
pub fn verify(dir: &Path) -> Result<Checkup, OpenStoreError> {
    verify_on(&RealDisk, dir)
}

pub(super) fn verify_on(disk: &dyn Disk, dir: &Path) -> Result<Checkup, OpenStoreError> {
    let log_dir = dir.join("log");
    let names = disk.list(&log_dir).map_err(OpenStoreError::io(&log_dir, "listed"))?;
    let _lock = take_lock(disk, dir)?;
    let (all, mut findings) = open_whole(disk, &log_dir, &names)?;
    findings.extend(names.iter().filter(|name| is_unfinished(name)).map(|name| {
        Finding::mended(name, None, "it was being made and is not needed", "opening removes it")
    }));
    let Some(first) = all.first() else {
        if !findings.is_empty() {
            return Ok(checkup(&all, Replay::new(now_ms(), 0, u64::MAX), findings));
        }
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no segment in it");
        return Err(OpenStoreError::io(&log_dir, "read")(missing));
    };
    let examined = checkpoint::examine(disk, &log_dir, &all);
    let mut replay = Replay::new(now_ms(), first.header.base, checkpoint::history_from(&all));
    if let Ok(Some(known)) = &examined {
        replay.id_hasher = known.replay.id_hasher.clone();
    }
    let read = read_all(&all, &mut replay);
    let read = read.and_then(|(last, stop)| check_begin(first, &replay).map(|()| (last, stop)));
    // Opening begins behind what a checkpoint stands for.
    let passed_over = examined.as_ref().ok().and_then(|known| known.as_ref()).map_or(0, |known| known.next);
    match read {
        Ok((last, stop)) => {
            findings.extend(torn(&all[last], &stop));
            findings.extend(of_checkpoint(examined, &replay, &all)?);
        }
        Err(OpenStoreError::Corrupt { path, at, reason }) => {
            let more = damaged(&all, passed_over)?;
            if !more.iter().any(|one| one.file.ends_with(&name_of(&path)) && one.byte == Some(at)) {
                findings.push(Finding::damage(&name_of(&path), at, reason, STOPS));
            }
            findings.extend(more);
        }
        Err(other) => return Err(other),
    }
    Ok(checkup(&all, replay, findings))
}

/// Moves what is derived from the log and does not agree with it out of the way: the checkpoint, to a file of the data
/// directory that is returned. The log alone says everything, so the next start reads it from its beginning.
///
/// # Errors
///
/// Fails as [`verify`] does, or when the file can not be moved.
pub fn move_aside(dir: &Path) -> Result<Option<PathBuf>, OpenStoreError> {
    let checkup = verify(dir)?;
    if !checkup.findings.iter().any(|finding| finding.kind == FindingKind::Wrong) {
        return Ok(None);
    }
    let _lock = take_lock(&RealDisk, dir)?;
    let from = dir.join("log").join(CHECKPOINT);
    let free = (1..).map(|n| dir.join(format!("{CHECKPOINT}.aside.{n}"))).find(|path| !path.exists());
    let to = free.expect("there are enough numbers");
    std::fs::rename(&from, &to).map_err(OpenStoreError::io(&from, "moved aside"))?;
    Ok(Some(to))
}

const STOPS: &str = "opening stops here and changes nothing; restore the file from a copy, or take out what is whole with `--salvage`";
const PASSED_OVER: &str = "opening begins behind it, at the checkpoint, and who reads these events gets an error; restore the file from a copy, or take out what is whole with `--salvage`";

/// Opens the segments whose headers are whole, oldest first, and says which are not.
fn open_whole(
    disk: &dyn Disk,
    log_dir: &Path,
    names: &[String],
) -> Result<(Vec<Arc<Segment>>, Vec<Finding>), OpenStoreError> {
    let mut bases: Vec<_> = names.iter().filter_map(|name| base_of(name)).collect();
    bases.sort_unstable();
    let (mut all, mut findings) = (Vec::new(), Vec::new());
    for base in bases {
        match open_segment(disk, &log_dir.join(file_name(base)), base) {
            Ok(segment) => all.push(Arc::new(segment)),
            Err(OpenStoreError::Corrupt { at, reason, .. }) => {
                findings.push(Finding::damage(&file_name(base), at, reason, STOPS));
            }
            Err(other) => return Err(other),
        }
    }
    Ok((all, findings))
}

/// Names every place of a damaged log that has no whole record, though something follows it.
fn damaged(all: &[Arc<Segment>], passed_over: usize) -> Result<Vec<Finding>, OpenStoreError> {
    let mut findings = Vec::new();
    for (i, segment) in all.iter().enumerate() {
        let then = if i < passed_over { PASSED_OVER } else { STOPS };
        let is_followed =
            all[i + 1..].iter().map(|next| is_used(next)).collect::<Result<Vec<_>, _>>()?.contains(&true);
        let broken =
            whole_records(segment, |_, _| Ok(())).map_err(OpenStoreError::io(&segment.path, "read"))?;
        for Broken { from, to, reason, goes_on } in broken {
            if goes_on || is_followed {
                let what = format!("no whole record up to byte {} ({reason})", segment.place(to));
                findings.push(Finding::damage(&name_of(&segment.path), segment.place(from), what, then));
            }
        }
        if let Some(next) = all.get(i + 1).filter(|next| next.header.base != segment.end()) {
            let what = format!("the segment `{}` that follows is missing", file_name(segment.end()));
            if is_used(next)? {
                findings.push(Finding::damage(&name_of(&segment.path), segment.header.size, what, then));
            }
        }
    }
    Ok(findings)
}

fn of_checkpoint(
    examined: Result<Option<Checkpoint>, Unusable>,
    by_log: &Replay,
    all: &[Arc<Segment>],
) -> Result<Vec<Finding>, OpenStoreError> {
    const READS_ALL: &str = "opening reads the whole log and makes another";
    let checkpoint = match examined {
        Ok(None) => return Ok(Vec::new()),
        Ok(Some(checkpoint)) => checkpoint,
        Err(unusable) => return Ok(vec![Finding::mended(CHECKPOINT, None, unusable.to_string(), READS_ALL)]),
    };
    let Checkpoint { mut replay, next, .. } = checkpoint;
    match read_all(&all[next..], &mut replay) {
        Ok(_) => {}
        // The whole log can be read, so the damage is in the checkpoint.
        Err(OpenStoreError::Corrupt { reason, .. }) => return Ok(vec![Finding::wrong(CHECKPOINT, reason)]),
        Err(other) => return Err(other),
    }
    let path = all[0].path.with_file_name(CHECKPOINT);
    let told = agree::differences(&replay, by_log, all)
        .map_err(OpenStoreError::io(&path, "compared with the log"))?;
    Ok(told.into_iter().map(|what| Finding::wrong(CHECKPOINT, what)).collect())
}

fn torn(segment: &Segment, stop: &Stop) -> Option<Finding> {
    match stop {
        Stop::Ended { at, reason, dirty_to } if dirty_to > at => {
            let what = format!(
                "a torn end up to byte {} ({reason}), which nobody was told of",
                segment.place(*dirty_to)
            );
            Some(Finding::mended(&name_of(&segment.path), Some(segment.place(*at)), what, "opening cuts it"))
        }
        _ => None,
    }
}

fn checkup(all: &[Arc<Segment>], mut replay: Replay, mut findings: Vec<Finding>) -> Checkup {
    let sound = findings.iter().all(|finding| finding.kind == FindingKind::Mended);
    let closed = replay.closed_at.is_some();
    if let (false, true, Some(last)) = (closed, sound, all.last()) {
        let what = "the last to have it open did not close it";
        let then = "streams that are `memory` or `page` go on in a new epoch";
        findings.push(Finding::mended(&name_of(&last.path), None, what, then));
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
        sound,
        streams,
        findings,
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn as_text<S: Serializer>(cursor: &Cursor, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cursor)
}
