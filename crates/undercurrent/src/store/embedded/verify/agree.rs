//! Whether what a checkpoint leads to is what the log says, and every place that it names is there.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use undercurrent_types::{Epoch, Seq};

use super::super::commit::CommitView;
use super::super::control::{Change, decode};
use super::super::frame::{Found, Kind};
use super::super::latest::State;
use super::super::replay::Replay;
use super::super::segment::{HEADER, Segment};
use super::super::window::Window;

/// How much is read where one record is looked at.
const CHUNK: usize = 4096;
/// How many differences are told.
const TOLD: usize = 10;

/// Returns how what is known by way of a checkpoint differs from what the whole log says; the first few.
///
/// Ids are compared where both have them, since the window moves on while they are read.
pub(super) fn differences(
    by_checkpoint: &Replay,
    by_log: &Replay,
    all: &[Arc<Segment>],
) -> io::Result<Vec<String>> {
    let mut told = Vec::new();
    let ids: BTreeMap<_, _> = by_log.ids.all().collect();
    for (key, given) in by_checkpoint.ids.all() {
        if ids.get(&key).is_some_and(|known| *known != given) {
            told.push(format!("an id belongs to seq {} of its stream, and to another by the log", given.seq));
        }
    }
    places(by_checkpoint, all, &mut told)?;
    let [said, known] = [by_checkpoint, by_log].map(facts);
    for (what, value) in &known {
        match said.get(what) {
            None => told.push(format!("it does not have {what}")),
            Some(other) if other != value => told.push(format!("{what} is {other}, and {value} by the log")),
            Some(_) => {}
        }
    }
    let unknown = said.keys().filter(|what| !known.contains_key(*what));
    told.extend(unknown.map(|what| format!("it has {what}, of which the log says nothing")));
    told.truncate(TOLD);
    Ok(told)
}

/// Writes down everything that the log is asked for, one line each. A value is told by its hash.
fn facts(replay: &Replay) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let hash = |value: &[u8]| blake3::hash(value).to_hex()[..12].to_owned();
    for (key, at, stream, state) in replay.latest.all() {
        let state = match state {
            State::Deleted => "deleted".to_owned(),
            State::Value(value) => hash(&value),
            State::InLog { offset, event } => format!("event {event} of offset {offset}"),
        };
        facts.insert(format!("the state of `{key}`"), format!("{state} from `{stream}` at position {at}"));
    }
    for (table, id, row) in replay.tables.everything() {
        let value = format!("{} at revision {}", hash(&row.value), row.revision);
        facts.insert(format!("row `{id}` of table `{table}`"), value);
    }
    let ends = [replay.start, replay.reserved.0, replay.closed_at.map_or(0, |at| at.0), replay.epoch.0];
    facts.insert("the end of the log".to_owned(), format!("{ends:?}"));
    for known in replay.streams.values() {
        // As where the log is opened: no event is left.
        let oldest = known.index.find(known.tail).map_or(known.tail.next(), |_| known.oldest);
        let (Epoch(epoch), Epoch(born)) = (known.epoch, known.born);
        let value = format!(
            "{} in epoch {epoch} from epoch {born} on, events {oldest} to {}, {:?}",
            known.durability, known.tail, known.retention
        );
        facts.insert(format!("stream `{}`", known.name), value);
    }
    facts
}

/// Looks at every place of the log that indexes name.
fn places(replay: &Replay, all: &[Arc<Segment>], told: &mut Vec<String>) -> io::Result<()> {
    for (name, known) in &replay.streams {
        for (seq, offset) in known.index.places() {
            if !holds(all, offset, |kind, payload| has_event(kind, payload, name, seq))? {
                told.push(format!(
                    "its index has event {seq} of stream `{name}` at offset {offset}, where it is not"
                ));
            }
        }
    }
    for (position, offset) in replay.places.all() {
        if !holds(all, offset, |_, _| true)? {
            told.push(format!("its index has position {position} at offset {offset}, where no record is"));
        }
    }
    for (key, _, _, state) in replay.latest.all() {
        let State::InLog { offset, event } = state else { continue };
        if !holds(all, offset, |kind, payload| has_state(kind, payload, event))? {
            told.push(format!("the state of `{key}` is said to be at offset {offset}, where it is not"));
        }
    }
    Ok(())
}

/// Says whether a whole record with something stands at an offset. Where records were let go, a record says so; the
/// beginning of a log that was cut stands for all that it does not have any more.
fn holds(all: &[Arc<Segment>], offset: u64, has: impl FnOnce(Kind, &[u8]) -> bool) -> io::Result<bool> {
    let Some(segment) = all.iter().find(|one| (one.header.base..one.end()).contains(&offset)) else {
        return Ok(false);
    };
    let is_begin = offset == all[0].header.base + HEADER;
    match Window::over(segment.clone(), CHUNK).find(offset)? {
        Found::Record(frame, _) if frame.kind == Kind::Dropped || is_begin => Ok(true),
        Found::Record(frame, payload) => Ok(has(frame.kind, payload)),
        _ => Ok(false),
    }
}

fn has_event(kind: Kind, payload: &[u8], stream: &str, seq: Seq) -> bool {
    let view = kind.is_commit().then(|| CommitView::parse(payload).ok()).flatten();
    let mut events = view.into_iter().flat_map(CommitView::events).flatten();
    events.any(|event| event.stream == stream && event.cursor.seq == seq)
}

fn has_state(kind: Kind, payload: &[u8], place: usize) -> bool {
    if kind == Kind::Control {
        let change = decode(payload).ok().and_then(|changes| changes.get(place).copied());
        return matches!(change, Some(Change::Fact { .. }));
    }
    let event = CommitView::parse(payload).ok().and_then(|view| view.events().nth(place)?.ok());
    event.is_some_and(|event| event.latest.is_some())
}
