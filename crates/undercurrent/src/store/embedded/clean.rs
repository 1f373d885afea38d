//! Retention: what streams need not keep goes, and the room it took is given back.
//!
//! A pass raises the oldest event of each stream, then gives room back in two ways. A segment at the beginning of the log
//! in which no event is kept is removed. Another one in which less than half is kept is [rewritten](super::rewrite).
//! Before either, what else the log would forget is written at its end: the last state of each key and the rows that lie
//! there, and, before a removal, the streams that are named there. So the log that is left says all that the whole one
//! said, and no other file is needed to know it.
//!
//! The newest segments are left alone: invalidations are looked up there. So are commits whose ids are still remembered.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use undercurrent_types::{Epoch, Key, Position, StreamName};

use super::checkpoint::{self, Checkpoint, Reach};
use super::closing::Turn;
use super::commit::{CommitView, EventView};
use super::control::{Change, decode, encode};
use super::file::Disk;
use super::frame::{FRAME, Frame, Kind};
use super::ids::WINDOW;
use super::index::{Dropped, range_of};
use super::log::now_ms;
use super::manage::{Done, wait};
use super::rewrite::{Hole, for_each_record, rewrite, take_out};
use super::segment::Segment;
use super::shared::{Order, Shared};
use super::streams::Stream;

/// How many of the newest segments are left alone: the one that is written, and those whose invalidations are known.
const NEWEST: usize = 3;
/// Making a checkpoint reads and writes about its own size, so it is made when the log has grown by twice that.
const CHECKPOINT_COST: u64 = 2;
/// About how many bytes a control record has at most.
const CONTROL: usize = 1 << 20;

/// Gives room back. One for each store.
pub(super) struct Cleaner {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// What was let go when a segment was last looked at: while that is so, it would look the same.
    looked: HashMap<u64, (u64, Epoch)>,
    /// How often streams let events go.
    trims: u64,
    /// For how long a commit stays although no event of it is kept, so that after a restart its ids are still known.
    pub(super) ids_known: Duration,
    /// How many times its own size the log has to grow before another checkpoint is made.
    pub(super) checkpoint_cost: u64,
}

/// A fact or a row that has to outlive its commit.
enum Kept {
    Fact { key: Key, stream: StreamName, epoch: Epoch, at: Position, value: Option<Bytes> },
    Row { table: String, id: String, at: Position, value: Bytes },
}

/// What a segment holds.
#[derive(Default)]
struct Look {
    /// How many bytes of records have to stay where they are, and how many there are.
    kept: u64,
    all: u64,
    /// Whether one of them is a commit.
    has_commits: bool,
    /// Whether there are commits whose ids are still remembered.
    is_young: bool,
    holes: Vec<Hole>,
    /// What the dropped commits have to leave behind.
    left: Vec<Kept>,
    /// What the others would.
    left_by_control: Vec<Kept>,
    streams: BTreeSet<StreamName>,
}

impl Cleaner {
    pub(super) fn new(shared: Arc<Shared>, disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self {
            shared,
            disk,
            dir,
            looked: HashMap::new(),
            trims: 0,
            ids_known: WINDOW,
            checkpoint_cost: CHECKPOINT_COST,
        }
    }

    /// Makes a pass every so often and a checkpoint when segments were sealed, until the store is closed.
    pub(super) fn run(mut self, every: Duration) {
        let mut turn = Turn::Woken;
        let mut next_pass = Instant::now().checked_add(every);
        while turn != Turn::Closing {
            let done = match turn {
                Turn::Due => {
                    next_pass = Instant::now().checked_add(every);
                    self.pass()
                }
                _ => self.make_checkpoint(),
            };
            if let Err(e) = done {
                tracing::warn!(reason = %e, "the log could not be tidied, which is tried again");
            }
            turn = self.shared.closing.wait(next_pass);
        }
    }

    /// Makes a checkpoint of what was sealed, if that is more than making one costs.
    pub(super) fn make_checkpoint(&self) -> io::Result<()> {
        self.advance_checkpoint(&mut self.shared.tidying.lock())
    }

    fn advance_checkpoint(&self, reach: &mut Reach) -> io::Result<()> {
        let all = self.shared.segments.all_but(0);
        let Some(current) = all.last() else { return Ok(()) };
        if current.header.base <= reach.to.saturating_add(self.checkpoint_cost * reach.len) {
            return Ok(());
        }
        let loaded = Checkpoint::load(&*self.disk, &self.dir, &all);
        let mut checkpoint = loaded.unwrap_or_else(|| Checkpoint::empty(&all));
        if checkpoint.next + 1 < all.len() {
            checkpoint.advance(&all)?;
            checkpoint.save(&*self.disk, &self.dir, &all)?;
        }
        *reach = checkpoint.reach(&all);
        Ok(())
    }

    /// Changes the checkpoint before records are dropped that it has places of. The new places are right before, too.
    fn drop_from_checkpoint(&self, dropped: &[Dropped], reach: &mut Reach) -> io::Result<()> {
        if reach.to > 0 && dropped.iter().all(|range| range.start >= reach.to) {
            return Ok(());
        }
        let all = self.shared.segments.all_but(0);
        let Some(mut checkpoint) = Checkpoint::load(&*self.disk, &self.dir, &all) else {
            // If one is there all the same, it must not be believed later.
            *reach = Reach::default();
            return checkpoint::remove(&*self.disk, &self.dir);
        };
        checkpoint.replay.drop_within(dropped);
        checkpoint.save(&*self.disk, &self.dir, &all)?;
        *reach = checkpoint.reach(&all);
        Ok(())
    }

    /// Lets go what streams need not keep, and looks at segments: removes all that it can, and rewrites at most one.
    pub(super) fn pass(&mut self) -> io::Result<()> {
        let shared = self.shared.clone();
        let reach = &mut *shared.tidying.lock();
        self.advance_checkpoint(reach)?;
        self.trim()?;
        let now = (self.trims, self.shared.epoch());
        let sealed = self.shared.segments.all_but(NEWEST);
        self.looked.retain(|base, _| sealed.iter().any(|segment| segment.header.base == *base));
        let mut is_first = true;
        for segment in sealed {
            let base = segment.header.base;
            if self.is_young(segment.header.created_ms) {
                return Ok(());
            }
            if self.looked.get(&base) != Some(&now) {
                let look = self.look(&segment, is_first)?;
                if is_first && !look.has_commits {
                    self.remove(&segment, look)?;
                    continue;
                }
                if !look.is_young {
                    self.looked.insert(base, now);
                }
                if 2 * look.kept < look.all && !look.holes.is_empty() {
                    return self.rewrite(&segment, &look, reach);
                }
            }
            is_first = false;
        }
        Ok(())
    }

    /// Raises the oldest event of each stream, and has the log say so.
    fn trim(&mut self) -> io::Result<()> {
        let now = now_ms();
        let trimmed: Vec<_> = self.shared.streams.all().into_iter().filter(|one| one.trim(now)).collect();
        if trimmed.is_empty() {
            return Ok(());
        }
        self.trims += 1;
        let shared = self.shared.clone();
        let order = shared.order.lock();
        let done = self.push(&order, trimmed.iter().map(|stream| stream.change()));
        drop(order);
        done.into_iter().try_for_each(wait)
    }

    fn look(&self, segment: &Arc<Segment>, is_first: bool) -> io::Result<Look> {
        let mut look = Look::default();
        for_each_record(segment, |frame, payload| {
            let to = frame.next(payload);
            let len = (FRAME + payload.len()) as u64;
            match frame.kind {
                Kind::Dropped => {
                    take_out(&mut look.holes, frame, to);
                    return Ok(());
                }
                Kind::Control => self.look_at_control(&mut look, payload)?,
                kind if kind.is_commit() => {
                    let view = CommitView::parse(payload).map_err(|_| unreadable(frame))?;
                    if !self.look_at_commit(&mut look, frame, payload, view, is_first)? {
                        take_out(&mut look.holes, frame, to);
                        look.all += len;
                        return Ok(());
                    }
                }
                _ => {}
            }
            look.kept += len;
            look.all += len;
            Ok(())
        })?;
        Ok(look)
    }

    /// Says whether a commit has to stay; if not, notes what it leaves behind.
    fn look_at_commit(
        &self,
        look: &mut Look,
        frame: &Frame,
        payload: &[u8],
        view: CommitView<'_>,
        is_first: bool,
    ) -> io::Result<bool> {
        let events: Vec<_> = view.events().collect::<Result<_, _>>().map_err(|_| unreadable(frame))?;
        look.streams.extend(events.iter().filter_map(|event| event.stream.parse().ok()));
        // The deletion of a row has to stay while the row may lie before it.
        let deletes = !is_first && view.rows().any(|row| row.value.is_none());
        let is_young = self.is_young(frame.time_ms);
        look.is_young |= is_young;
        if deletes || events.iter().any(|event| self.is_kept(event, is_young)) {
            look.has_commits = true;
            return Ok(true);
        }
        let at = Position(frame.position);
        for event in &events {
            let Some((key, value)) = &event.latest else { continue };
            let (Ok(key), Ok(stream)) = (Key::parse(key), event.stream.parse()) else { continue };
            if self.shared.latest.at(&key) == Some(at) {
                let value = value.clone().map(|range| Bytes::copy_from_slice(&payload[range]));
                look.left.push(Kept::Fact { key, stream, epoch: event.cursor.epoch, at, value });
            }
        }
        for row in view.rows() {
            let Some(value) = row.value.filter(|_| self.shared.tables.is_newest(row.table, row.id, at))
            else {
                continue;
            };
            let (table, id) = (row.table.to_owned(), row.id.to_owned());
            look.left.push(Kept::Row { table, id, at, value: Bytes::copy_from_slice(value) });
        }
        Ok(false)
    }

    fn is_young(&self, time_ms: u64) -> bool {
        now_ms().saturating_sub(time_ms) < self.ids_known.as_millis() as u64
    }

    fn is_kept(&self, event: &EventView<'_>, is_young: bool) -> bool {
        let stream = event.stream.parse().ok().and_then(|name| self.shared.streams.get(&name));
        stream.is_some_and(|stream| {
            event.cursor.epoch >= stream.born && (is_young || event.cursor.seq >= stream.oldest())
        })
    }

    fn look_at_control(&self, look: &mut Look, payload: &[u8]) -> io::Result<()> {
        let changes = decode(payload).map_err(|_| io::Error::other("a control record can not be read"))?;
        for change in changes {
            match change {
                Change::Stream { name, .. } => look.streams.extend(name.parse().ok()),
                Change::Fact { key, stream, epoch, at, value } => {
                    let (Ok(key), Ok(stream)) = (Key::parse(key), stream.parse()) else { continue };
                    let value = value.map(Bytes::copy_from_slice);
                    look.left_by_control.push(Kept::Fact { key, stream, epoch, at, value });
                }
                Change::Row { table, id, at, value } => {
                    let (table, id) = (table.to_owned(), id.to_owned());
                    look.left_by_control.push(Kept::Row {
                        table,
                        id,
                        at,
                        value: Bytes::copy_from_slice(value),
                    });
                }
                Change::Deleted { .. } | Change::Base { .. } => {}
            }
        }
        Ok(())
    }

    /// Removes the first segment.
    fn remove(&mut self, segment: &Segment, look: Look) -> io::Result<()> {
        let from = segment.end();
        let kept: Vec<_> = look.left.into_iter().chain(look.left_by_control).collect();
        let streams: Vec<_> = look.streams.iter().filter_map(|name| self.shared.streams.get(name)).collect();
        self.leave(&kept, &streams, from)?;
        let shared = &self.shared;
        shared.forget_before(from);
        self.disk.remove(&segment.path)?;
        // Before the next one goes: a log has no segment missing between others.
        self.disk.sync_dir(&self.dir)?;
        self.looked.remove(&segment.header.base);
        Ok(())
    }

    fn rewrite(&self, segment: &Arc<Segment>, look: &Look, reach: &mut Reach) -> io::Result<()> {
        self.leave(&look.left, &[], self.shared.segments.oldest())?;
        let dropped: Vec<_> = look.holes.iter().map(Hole::range).collect();
        // The first record of a hole is there in both files, so first the places are set, then the files are changed.
        self.drop_from_checkpoint(&dropped, reach)?;
        self.shared.drop_within(&dropped);
        let rewritten = rewrite(&*self.disk, &self.dir, segment, &look.holes, &|kept| Cow::Borrowed(kept))?;
        self.shared.segments.insert(Arc::new(rewritten));
        Ok(())
    }

    /// Writes at the end of the log what has to outlive what is about to go, and waits until it is on disk: so is then
    /// whatever had taken its place by now.
    fn leave(&self, kept: &[Kept], streams: &[Arc<Stream>], from: u64) -> io::Result<()> {
        let shared = self.shared.clone();
        let order = shared.order.lock();
        let base = Change::Base {
            from,
            epoch: shared.epoch(),
            unclean: shared.unclean_epoch,
            reserved: order.asked,
        };
        let kept = kept.iter().filter(|one| self.is_current(one)).map(Kept::change);
        let changes = std::iter::once(base).chain(streams.iter().map(|stream| stream.change())).chain(kept);
        let done = self.push(&order, changes);
        drop(order);
        done.into_iter().try_for_each(wait)
    }

    fn is_current(&self, kept: &Kept) -> bool {
        match kept {
            Kept::Fact { key, at, .. } => self.shared.latest.at(key) == Some(*at),
            Kept::Row { table, id, at, .. } => self.shared.tables.is_newest(table, id, *at),
        }
    }

    fn push<'a>(&self, order: &Order, changes: impl Iterator<Item = Change<'a>>) -> Vec<Done> {
        let (mut done, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
        for change in changes {
            bytes += change.size();
            batch.push(change);
            if bytes >= CONTROL {
                done.push(self.shared.push_control(order, encode(&batch), false));
                (batch, bytes) = (Vec::new(), 0);
            }
        }
        if !batch.is_empty() {
            done.push(self.shared.push_control(order, encode(&batch), false));
        }
        done
    }
}

impl Kept {
    fn change(&self) -> Change<'_> {
        match self {
            Self::Fact { key, stream, epoch, at, value } => Change::Fact {
                key: key.as_str(),
                stream: stream.as_str(),
                epoch: *epoch,
                at: *at,
                value: value.as_deref(),
            },
            Self::Row { table, id, at, value } => Change::Row { table, id, at: *at, value },
        }
    }
}

fn unreadable(frame: &Frame) -> io::Error {
    io::Error::other(format!("the commit at position {} can not be read", frame.position))
}

impl Shared {
    /// Forgets that there was log before the segment at `base`.
    fn forget_before(&self, base: u64) {
        self.streams.all().iter().for_each(|stream| stream.cut(base));
        self.places.cut(base);
        self.history.lock().forget(|offset| offset < base);
        self.segments.remove_before(base);
    }

    fn drop_within(&self, dropped: &[Dropped]) {
        self.streams.all().iter().for_each(|stream| stream.drop_within(dropped));
        self.places.drop_within(dropped);
        self.history.lock().forget(|offset| range_of(dropped, offset).is_some());
    }
}
