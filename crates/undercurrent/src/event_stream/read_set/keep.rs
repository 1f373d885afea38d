//! Read sets in the table `read_set`: loaded at the start, flushed once a second and at the end.
//!
//! On a shared store the rows of each node begin with its name and `/`, so that nodes never write each other's: a session
//! belongs to the node it was read through. What a node left that did not come back is removed by one that starts.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use undercurrent_types::SessionName;

use super::set::{Head, SHARDS, Set, Unsure};
use super::{ReadSets, Sets, UNUSED_MS, now_ms};
use crate::store::{Batch, PublishError, Row, RowWrite, StoreError};

const TABLE: &str = "read_set";
/// The row that is there while a process keeps the sets: who finds it follows one that did not end in order.
/// It says when something was written last.
const OPEN: &str = "#open";
/// How long after its last write the rows of another node are those of one that is gone, in milliseconds.
const GONE_MS: u64 = 2 * UNUSED_MS;
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
    /// Loads the sets and begins to keep them, as those of a node where the store has several. What a process before
    /// this one did not flush makes every set unsure.
    pub(in crate::event_stream) async fn keep(self: &Arc<Self>, node: Option<&str>) {
        // It is kept once; a second call keeps the first name.
        let _ = self.node.set(node.map(|node| format!("{node}/")).unwrap_or_default());
        if let Err(error) = self.load().await {
            tracing::warn!(%error, "read sets of before can not be loaded");
        }
        if let Err(error) = self.write(vec![open(now_ms())]).await {
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
        let node = self.node();
        let rows = self.store.rows(TABLE).await?;
        let (own, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(id, _)| id.starts_with(node));
        {
            let mut sets = self.sets.lock();
            let own = || own.iter().map(|(id, row)| (&id[node.len()..], row));
            // A head sorts before its shards.
            for (id, row) in own() {
                sets.restore(id, &row.value);
            }
            if own().any(|(id, _)| id == OPEN) {
                sets.by_name.values_mut().for_each(|set| set.doubt(Unsure::Crash));
            }
        }
        if let Err(error) = self.store_rows(of_the_gone(others, now_ms())).await {
            tracing::debug!(%error, "what other nodes left is removed later");
        }
        Ok(())
    }

    /// Writes what has changed since the last time.
    pub(super) async fn flush(&self) -> Result<(), PublishError> {
        let now_ms = now_ms();
        let Dirty { mut rows, changed, left } = self.sets.lock().take_dirty(now_ms);
        if !rows.is_empty() {
            // In the same step, since a node that starts may have taken this one for gone.
            rows.insert(0, open(now_ms));
        }
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

    fn node(&self) -> &str {
        self.node.get().map_or("", String::as_str)
    }

    /// Writes rows of this node.
    async fn write(&self, mut rows: Vec<RowWrite>) -> Result<(), PublishError> {
        let node = self.node();
        rows.iter_mut().for_each(|row| row.id.insert_str(0, node));
        self.store_rows(rows).await
    }

    async fn store_rows(&self, rows: Vec<RowWrite>) -> Result<(), PublishError> {
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

/// Returns the deletion of what was left by nodes that have written nothing for long, unless they do so meanwhile.
fn of_the_gone(others: Vec<(String, Row)>, now_ms: u64) -> Vec<RowWrite> {
    let node = |id: &str| id.split_once('/').map(|(node, _)| node.to_owned());
    let written = |row: &Row| std::str::from_utf8(&row.value).ok()?.parse::<u64>().ok();
    let standing: HashSet<_> = others
        .iter()
        .filter(|(id, row)| id.ends_with(OPEN) && written(row).is_some_and(|at| at + GONE_MS >= now_ms))
        .filter_map(|(id, _)| node(id))
        .chain(
            others
                .iter()
                .filter(|(id, row)| head_used(id, row) + GONE_MS >= now_ms)
                .filter_map(|(id, _)| node(id)),
        )
        .collect();
    let gone = others.into_iter().filter(|(id, _)| node(id).is_some_and(|node| !standing.contains(&node)));
    gone.map(|(id, found)| RowWrite { expected: Some(Some(found.revision)), ..row(id, None) }).collect()
}

/// Returns when the set of a head was used last; of other rows, never.
fn head_used(id: &str, row: &Row) -> u64 {
    let head = (!id.contains('#')).then(|| serde_json::from_slice::<Head>(&row.value).ok()).flatten();
    head.map_or(0, |head| head.used_ms)
}

/// Returns the row that says that a process keeps the sets.
fn open(now_ms: u64) -> RowWrite {
    row(OPEN.to_owned(), Some(Bytes::from(now_ms.to_string())))
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
    use undercurrent_types::{Key, Position, Version};

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
    fn what_a_node_left_that_is_gone_is_removed_and_nothing_of_another() {
        let found = |id: &str, value: &str| {
            (id.to_owned(), Row { revision: Position(1), value: Bytes::copy_from_slice(value.as_bytes()) })
        };
        let (now, then) = (10 * GONE_MS, 10 * GONE_MS - GONE_MS - 1);
        let rows = vec![
            found("gone/#open", &then.to_string()),
            found("gone/s", &format!(r#"{{"used_ms":{then}}}"#)),
            found("gone/s#03", "x"),
            found("here/#open", &now.to_string()),
            found("here/s", &format!(r#"{{"used_ms":{then}}}"#)),
            found("used/s", &format!(r#"{{"used_ms":{now}}}"#)),
            found("of no node", "x"),
        ];
        let removed: Vec<_> = of_the_gone(rows, now).into_iter().map(|row| (row.id, row.expected)).collect();
        let expected = ["gone/#open", "gone/s", "gone/s#03"];
        assert_eq!(removed, expected.map(|id| (id.to_owned(), Some(Some(Position(1))))));
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
