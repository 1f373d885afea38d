//! Taking a secret out of everything that is kept.
//!
//! The secret is overwritten with marks of the same length, so every record keeps its place and its length, and every seq
//! its event. Each segment that has it is [written anew](super::rewrite). The segment that is written is ended first, and
//! the newest events leave memory, so that they are read from the files. The checkpoint is derived, and goes.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;
use undercurrent_types::{Key, Name};

use super::checkpoint::{self, Reach};
use super::commit::CommitView;
use super::control::{Change, decode};
use super::file::Disk;
use super::frame::{Frame, Kind};
use super::manage::wait;
use super::queue::{Item, Needs};
use super::rewrite::{for_each_record, rewrite};
use super::segment::Segment;
use super::shared::Shared;
use crate::store::{Scrubbed, Secret};

/// A secret on its way out of a log.
pub(super) struct Scrub<'a> {
    pub(super) shared: &'a Shared,
    pub(super) disk: &'a dyn Disk,
    pub(super) dir: &'a Path,
    pub(super) secret: &'a Secret,
}

impl Scrub<'_> {
    /// Does it. For threads that may wait for the disk.
    pub(super) fn run(&self) -> io::Result<(Scrubbed, Vec<Name>)> {
        let mut reach = self.shared.tidying.lock();
        self.end_segment()?;
        checkpoint::remove(self.disk, self.dir)?;
        // So another one is made next.
        *reach = Reach::default();
        let mut scrubbed = Scrubbed::default();
        let mut names = Vec::new();
        for segment in self.shared.segments.all_but(1) {
            let found = self.look(&segment, &mut names)?;
            if found.commits > 0 {
                scrubbed.times += found.times;
                scrubbed.commits += found.commits;
                scrubbed.segments += 1;
                let rewritten =
                    rewrite(self.disk, self.dir, &segment, &[], &|payload| self.secret.take_out(payload).0)?;
                self.shared.segments.insert(Arc::new(rewritten));
            }
        }
        self.shared.tables.scrub(self.secret);
        names.extend(self.shared.latest.scrub(self.secret).iter().map(Name::from));
        names.sort();
        names.dedup();
        Ok((scrubbed, names))
    }

    /// Has everything so far be in sealed segments, and nowhere else.
    fn end_segment(&self) -> io::Result<()> {
        let (waiter, done_rx) = oneshot::channel();
        let item = Item { ends_segment: true, needs: Needs::Sync, waiter: Some(waiter), ..Item::default() };
        self.shared.queue.push(item);
        wait(done_rx)
    }

    /// Counts what a segment has, and notes the keys whose states have it. Refuses what would not be the same without.
    fn look(&self, segment: &Arc<Segment>, names: &mut Vec<Name>) -> io::Result<Scrubbed> {
        let mut found = Scrubbed::default();
        for_each_record(segment, |frame, payload| {
            let (without, times) = self.secret.take_out(payload);
            if times > 0 {
                found.times += times;
                found.commits += 1;
                let told = check_same(frame, payload, &without).ok_or_else(|| refusal(frame))?;
                names.extend(told.into_iter().map(Name::from));
            }
            Ok(())
        })?;
        Ok(found)
    }
}

fn refusal(frame: &Frame) -> io::Error {
    io::Error::other(format!(
        "the secret is part of the name of a stream or table, or of the form of an event, at position {}: delete the stream",
        frame.position
    ))
}

/// Returns the keys whose states a record tells, if it says the same but for texts and values.
fn check_same(frame: &Frame, before: &[u8], after: &[u8]) -> Option<Vec<Key>> {
    match frame.kind {
        Kind::Commit | Kind::CommitRows => {
            let [before_view, after_view] = [CommitView::parse(before).ok()?, CommitView::parse(after).ok()?];
            if before_view.rows().map(|row| row.table).ne(after_view.rows().map(|row| row.table)) {
                return None;
            }
            let mut keys = Vec::new();
            for (one, other) in before_view.events().zip(after_view.events()) {
                let (one, other) = (one.ok()?, other.ok()?);
                let same = (one.stream, one.cursor, one.hash, one.durability, &one.json)
                    == (other.stream, other.cursor, other.hash, other.durability, &other.json);
                let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&after[other.json]).is_ok();
                if !same || !is_json {
                    return None;
                }
                keys.extend(one.latest.and_then(|(key, _)| Key::parse(key).ok()));
            }
            Some(keys)
        }
        Kind::Control => {
            let [before, after] = [decode(before).ok()?, decode(after).ok()?];
            let mut keys = Vec::new();
            for (one, other) in before.iter().zip(&after) {
                match (one, other) {
                    (Change::Fact { key, stream, .. }, Change::Fact { stream: same, .. })
                        if stream == same =>
                    {
                        keys.extend(Key::parse(key).ok());
                    }
                    (Change::Row { table, .. }, Change::Row { table: same, .. }) if table == same => {}
                    (one, other) if one == other => {}
                    _ => return None,
                }
            }
            Some(keys)
        }
        _ => None,
    }
}
