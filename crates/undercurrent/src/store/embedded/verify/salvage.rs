//! Taking the events out of a log that can not be opened.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use bytes::Bytes;
use undercurrent_types::{Epoch, Position, Token};

use super::super::commit::CommitView;
use super::super::control::{Change, decode};
use super::super::error::OpenStoreError;
use super::super::file::{Disk, RealDisk};
use super::super::frame::{Frame, Kind};
use super::super::take_lock;
use super::damage::whole_records;
use super::open_whole;
use crate::store::Record;

/// Hands on every event that lies in a whole record of a log, in order, whatever is damaged around it, and returns how
/// many they were. Nothing is changed.
///
/// What was let go and is still there comes too; what deleted streams had does not, where the log still says that they
/// were.
///
/// # Errors
///
/// Fails when another process has the directory open, it can not be read, or whoever takes the events fails.
pub fn salvage(dir: &Path, each: impl FnMut(Record) -> io::Result<()>) -> Result<u64, OpenStoreError> {
    salvage_on(&RealDisk, dir, each)
}

pub(in crate::store::embedded) fn salvage_on(
    disk: &dyn Disk,
    dir: &Path,
    mut each: impl FnMut(Record) -> io::Result<()>,
) -> Result<u64, OpenStoreError> {
    let log_dir = dir.join("log");
    let names = disk.list(&log_dir).map_err(OpenStoreError::io(&log_dir, "listed"))?;
    let _lock = take_lock(disk, dir)?;
    let (all, _) = open_whole(disk, &log_dir, &names)?;
    let mut deleted = HashMap::new();
    for segment in &all {
        let looked = whole_records(segment, |frame, payload| {
            note_deleted(frame, payload, &mut deleted);
            Ok(())
        });
        looked.map_err(OpenStoreError::io(&segment.path, "read"))?;
    }
    let mut count = 0;
    for segment in &all {
        let inc = segment.header.incarnation;
        let taken = whole_records(segment, |frame, payload| {
            let token = Token { inc, position: Position(frame.position) };
            for record in events(frame, payload, token, &deleted) {
                each(record)?;
                count += 1;
            }
            Ok(())
        });
        taken.map_err(OpenStoreError::io(&segment.path, "read, or what is in it be handed on"))?;
    }
    Ok(count)
}

/// Notes from which epoch on a stream of a name is one that was not deleted.
fn note_deleted(frame: &Frame, payload: &[u8], deleted: &mut HashMap<String, Epoch>) {
    if frame.kind != Kind::Control {
        return;
    }
    for change in decode(payload).into_iter().flatten() {
        if let Change::Deleted { name, epoch } = change {
            deleted.insert(name.to_owned(), epoch);
        }
    }
}

fn events(frame: &Frame, payload: &[u8], token: Token, deleted: &HashMap<String, Epoch>) -> Vec<Record> {
    if !frame.kind.is_commit() {
        return Vec::new();
    }
    let payload = Bytes::copy_from_slice(payload);
    let views = CommitView::parse(&payload).into_iter().flat_map(CommitView::events).flatten();
    let kept = views.filter(|event| deleted.get(event.stream).is_none_or(|from| event.cursor.epoch >= *from));
    kept.filter_map(|event| Some(event.record(&payload, event.stream.parse().ok()?, event.cursor, token)))
        .collect()
}
