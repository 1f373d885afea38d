//! Read sets in the table `read_set`: loaded at the start, flushed once a second and at the end.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use undercurrent_types::SessionName;

use super::set::{Head, SHARDS, Set, Unsure};
use super::{ReadSets, Sets, UNUSED_MS, now_ms};
use crate::store::{Batch, PublishError, RowWrite, StoreError};

const TABLE: &str = "read_set";
/// The row that is there while a process keeps the sets: who finds it follows one that did not end in order.
const OPEN: &str = "#open";
/// How often what has changed is written.
const EVERY: Duration = Duration::from_secs(1);
/// About how many bytes one commit of rows has.
const COMMIT: usize = 4 << 20;

/// The task that flushes.
pub(super) struct Keeper {
    /// Dropped or sent to, it has the task flush once more and end.
    end_tx: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl ReadSets {
    /// Loads the sets and begins to keep them. What a process before this one did not flush makes every set unsure.
    pub(in crate::event_stream) async fn keep(self: &Arc<Self>) {
        if let Err(error) = self.load().await {
            tracing::warn!(%error, "read sets of before can not be loaded");
        }
        if let Err(error) = self.write(vec![row(OPEN.to_owned(), Some(Bytes::new()))]).await {
            tracing::warn!(%error, "read sets will not survive a restart");
        }
        let (end_tx, end_rx) = oneshot::channel();
        let task = tokio::spawn(run(Arc::downgrade(self), end_rx));
        *self.keeper.lock() = Some(Keeper { end_tx, task });
    }

    /// Flushes, and says that the end was in order.
    pub(in crate::event_stream) async fn end(&self) {
        let Some(Keeper { end_tx, task }) = self.keeper.lock().take() else { return };
        drop(end_tx);
        // The task holds nothing that has to be awaited for more than its end.
        let _ = task.await;
        let flushed = self.flush().await;
        if let Err(error) = match flushed {
            Ok(()) => self.write(vec![row(OPEN.to_owned(), None)]).await,
            failed => failed,
        } {
            tracing::warn!(%error, "the read sets could not be flushed");
        }
    }

    async fn load(&self) -> Result<(), StoreError> {
        let rows = self.store.rows(TABLE).await?;
        let mut sets = self.sets.lock();
        let unclean = rows.iter().any(|(id, _)| id == OPEN);
        // A head sorts before its shards.
        for (id, row) in &rows {
            sets.restore(id, &row.value);
        }
        if unclean {
            sets.by_name.values_mut().for_each(|set| set.doubt(Unsure::Crash));
        }
        Ok(())
    }

    /// Writes what has changed since the last time.
    pub(super) async fn flush(&self) -> Result<(), PublishError> {
        let Dirty { rows, changed, left } = self.sets.lock().take_dirty(now_ms());
        let result = self.write(rows).await;
        if result.is_err() {
            let mut sets = self.sets.lock();
            for name in changed {
                sets.by_name.entry(name).and_modify(Set::soil);
            }
            sets.left.extend(left);
        }
        result
    }

    async fn write(&self, rows: Vec<RowWrite>) -> Result<(), PublishError> {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let mut bytes = 0;
            let mut part = Vec::new();
            while let Some(row) = rows.next_if(|_| bytes < COMMIT) {
                bytes += row.id.len() + row.value.as_ref().map_or(0, Bytes::len);
                part.push(row);
            }
            self.store.publish(Batch::writing(part)).await?;
        }
        Ok(())
    }
}

async fn run(sets: Weak<ReadSets>, mut end_rx: oneshot::Receiver<()>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = &mut end_rx => return,
            _ = ticks.tick() => {}
        }
        let Some(sets) = sets.upgrade() else { return };
        let flushed = sets.flush().await;
        if let Err(error) = &flushed
            && !failing
        {
            tracing::warn!(%error, "read sets are not flushed");
        }
        failing = flushed.is_err();
    }
}

/// What has to be written.
struct Dirty {
    rows: Vec<RowWrite>,
    /// The sets that the rows belong to.
    changed: Vec<SessionName>,
    /// The sets that the rows delete.
    left: Vec<SessionName>,
}

impl Sets {
    /// Takes in one row: a set's head, or one of its shards.
    fn restore(&mut self, id: &str, value: &[u8]) {
        let (name, is_head) = id.split_once('#').map_or((id, true), |(name, _)| (name, false));
        let Ok(name) = name.parse::<SessionName>() else { return };
        if is_head {
            if let Ok(head) = serde_json::from_slice::<Head>(value) {
                self.by_name.insert(name, Set::restored(&head));
            }
            return;
        }
        let Some(set) = self.by_name.get_mut(&name) else { return };
        let before = set.bytes();
        let last = set.restore(value);
        self.bytes += set.bytes() - before;
        self.clock = self.clock.max(last);
    }

    /// Lets sets go that nobody uses, and returns the rows that have to be written.
    fn take_dirty(&mut self, now_ms: u64) -> Dirty {
        let unused = self.by_name.iter().filter(|(_, set)| set.used_ms() + UNUSED_MS < now_ms);
        for name in unused.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.leave(&name);
        }
        let mut rows = Vec::new();
        let left = std::mem::take(&mut self.left);
        for name in &left {
            rows.push(row(name.to_string(), None));
            rows.extend((0..SHARDS).map(|n| row(shard_id(name, n), None)));
        }
        let mut changed = Vec::new();
        for (name, set) in &mut self.by_name {
            let (head, shards) = set.take_dirty();
            if head.is_none() && shards.is_empty() {
                continue;
            }
            changed.push(name.clone());
            let head = head.and_then(|head| serde_json::to_vec(&head).ok());
            rows.extend(head.map(|head| row(name.to_string(), Some(head.into()))));
            rows.extend(shards.into_iter().map(|(n, shard)| row(shard_id(name, n), shard.map(Bytes::from))));
        }
        Dirty { rows, changed, left }
    }
}

fn row(id: String, value: Option<Bytes>) -> RowWrite {
    RowWrite { table: TABLE, id, expected: None, value }
}

fn shard_id(name: &SessionName, shard: usize) -> String {
    format!("{name}#{shard:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use undercurrent_types::{Key, Version};

    fn noted(sets: &mut Sets, name: &str, at: u64, now_ms: u64) {
        let set = sets.by_name.entry(name.parse().unwrap()).or_default();
        set.note(&Key::parse("state:a").unwrap(), Version::of(None), at, now_ms);
    }

    #[test]
    fn a_set_that_nobody_uses_for_a_day_leaves_with_its_rows() {
        let mut sets = Sets::default();
        noted(&mut sets, "old", 1, 100_000);
        noted(&mut sets, "new", 2, 100_000 + UNUSED_MS);
        sets.bytes = sets.by_name.values().map(Set::bytes).sum();
        let one = sets.bytes / 2;
        assert_eq!(sets.take_dirty(100_000 + UNUSED_MS).rows.len(), 4);
        let Dirty { rows, changed, .. } = sets.take_dirty(100_001 + UNUSED_MS);
        assert!(rows.len() == 1 + SHARDS && rows.iter().all(|row| row.value.is_none()));
        assert!(changed.is_empty() && sets.by_name.len() == 1 && sets.bytes == one);
    }

    #[test]
    fn the_least_used_set_makes_room() {
        let mut sets = Sets::default();
        noted(&mut sets, "a", 3, 1);
        noted(&mut sets, "b", 2, 1);
        sets.bytes = sets.by_name.values().map(Set::bytes).sum();
        sets.leave_least_used();
        assert_eq!(sets.left, ["b".parse().unwrap()]);
    }
}
