//! The live rings: one blocking read of the log, while somebody listens.
//!
//! Everything here is a hint. A record that comes raises floors and is handed to the rings; where one is missing, the
//! rings say so by an event that does not follow, and their readers read on from the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::sync::{Notify, broadcast, watch};
use undercurrent_types::{Position, StreamName, Token};

use super::claim::incarnation;
use super::connect::Wire;
use super::log::Entry;
use super::names::Workspaces;
use super::reply::{Malformed, Reply};
use super::shared::Shared;
use crate::store::Record;

/// How many events a ring keeps for all of its readers.
const RING: usize = 1024;
/// How long one read of the log waits.
const BLOCK: Duration = Duration::from_secs(5);
/// How many records one read returns at most.
const RECORDS: usize = 128;
/// How far memory may fall behind the log while nobody reads.
const BEHIND: u64 = 256;
/// How long it takes until a lost connection is made anew.
const PAUSE: Duration = Duration::from_millis(200);

/// Who listens. A mutex held for the time of a look.
pub(super) struct Rings {
    listeners: Mutex<Option<Listeners>>,
    visible_tx: watch::Sender<u64>,
    /// Rung when somebody begins to listen, and when the store ends.
    begun: Notify,
    ended_tx: watch::Sender<bool>,
}

struct Listeners {
    by_stream: HashMap<StreamName, broadcast::Sender<Record>>,
    all: broadcast::Sender<Record>,
    /// The position from which records are handed on, while somebody listens.
    from: Option<Position>,
}

impl Rings {
    pub(super) fn new() -> Self {
        let (all, _) = broadcast::channel(RING);
        Self {
            listeners: Mutex::new(Some(Listeners { by_stream: HashMap::new(), all, from: None })),
            visible_tx: watch::Sender::new(0),
            begun: Notify::new(),
            ended_tx: watch::Sender::new(false),
        }
    }

    /// Returns the ring of a stream, or of all, that gets what is published after the call.
    ///
    /// `seen` is a position that is not above any that is given from here on.
    pub(super) fn join(&self, stream: Option<&StreamName>, seen: Position) -> broadcast::Receiver<Record> {
        let mut listeners = self.listeners.lock();
        let Some(listeners) = listeners.as_mut() else { return broadcast::channel(1).1 };
        listeners.from.get_or_insert(seen);
        let ring_rx = match stream {
            None => listeners.all.subscribe(),
            Some(stream) => match listeners.by_stream.get(stream) {
                Some(ring_tx) => ring_tx.subscribe(),
                None => {
                    listeners.by_stream.retain(|_, ring_tx| ring_tx.receiver_count() > 0);
                    let (ring_tx, ring_rx) = broadcast::channel(RING);
                    listeners.by_stream.insert(stream.clone(), ring_tx);
                    ring_rx
                }
            },
        };
        self.begun.notify_one();
        ring_rx
    }

    /// Returns what tells of new positions.
    pub(super) fn watch(&self, seen: Position) -> watch::Receiver<u64> {
        if let Some(listeners) = self.listeners.lock().as_mut() {
            listeners.from.get_or_insert(seen);
        }
        let visible_rx = self.visible_tx.subscribe();
        self.begun.notify_one();
        visible_rx
    }

    /// Returns where to follow from; none while nobody listens.
    fn from(&self) -> Option<Position> {
        let mut listeners = self.listeners.lock();
        let listeners = listeners.as_mut()?;
        listeners.by_stream.retain(|_, ring_tx| ring_tx.receiver_count() > 0);
        let nobody = listeners.by_stream.is_empty()
            && listeners.all.receiver_count() == 0
            && self.visible_tx.receiver_count() == 0;
        if nobody {
            listeners.from = None;
        }
        listeners.from
    }

    fn went_to(&self, position: Position) {
        if let Some(listeners) = self.listeners.lock().as_mut() {
            listeners.from = Some(position);
        }
        self.visible_tx.send_if_modified(|visible| {
            let more = position.0 > *visible;
            *visible = position.0.max(*visible);
            more
        });
    }

    /// Says whether anybody listens to events of a stream.
    fn wants(&self, stream: &StreamName) -> bool {
        let listeners = self.listeners.lock();
        listeners.as_ref().is_some_and(|listeners| {
            listeners.all.receiver_count() > 0
                || listeners.by_stream.get(stream).is_some_and(|ring_tx| ring_tx.receiver_count() > 0)
        })
    }

    fn hand_on(&self, record: &Record, to_all: bool) {
        if let Some(listeners) = self.listeners.lock().as_ref() {
            // Nobody listening is nothing lost: it is in the log.
            if let Some(ring_tx) = listeners.by_stream.get(&record.stream) {
                let _ = ring_tx.send(record.clone());
            }
            if to_all {
                let _ = listeners.all.send(record.clone());
            }
        }
    }

    fn followed(&self) -> Vec<StreamName> {
        let listeners = self.listeners.lock();
        listeners.as_ref().map(|one| one.by_stream.keys().cloned().collect()).unwrap_or_default()
    }

    /// Ends every ring.
    fn end(&self) {
        *self.listeners.lock() = None;
        self.ended_tx.send_replace(true);
    }

    /// Lets the task that follows look again.
    pub(super) fn ring(&self) {
        self.begun.notify_one();
    }

    /// Waits until every ring has ended.
    pub(super) async fn ended(&self) {
        // The sender is here, so it can not be gone.
        let _ = self.ended_tx.subscribe().wait_for(|ended| *ended).await;
    }
}

/// Follows the log while somebody listens, until the store ends.
pub(super) async fn follow(shared: Arc<Shared>) {
    let rings = &shared.rings;
    let mut wire = None;
    while !shared.is_closed() {
        let Some(from) = rings.from() else {
            wire = None;
            rings.begun.notified().await;
            continue;
        };
        let read = tokio::select! {
            read = next(&shared, &mut wire, from, Some(BLOCK)) => read,
            () = shared.closed() => continue,
        };
        match read {
            Ok(entries) => take_in(&shared, from, &entries).await,
            Err(reason) => {
                tracing::debug!(%reason, "the log can not be followed now");
                wire = None;
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = shared.closed() => {}
                }
            }
        }
    }
    // What was published before the end is handed on.
    while let Some(from) = rings.from() {
        match next(&shared, &mut wire, from, None).await {
            Ok(entries) if !entries.is_empty() => take_in(&shared, from, &entries).await,
            _ => break,
        }
    }
    rings.end();
}

/// Reads what comes after a position.
async fn next(
    shared: &Shared,
    wire: &mut Option<Wire>,
    from: Position,
    block: Option<Duration>,
) -> Result<Vec<(Token, Entry)>, String> {
    let wire = match wire {
        Some(wire) => wire,
        None => {
            let made = shared.link.blocking_connection().await.map_err(|e| e.to_string())?;
            wire.insert(made)
        }
    };
    let mut command = Cmd::new();
    command.arg("XREAD").arg("COUNT").arg(RECORDS);
    if let Some(block) = block {
        command.arg("BLOCK").arg(block.as_millis() as u64);
    }
    command.arg("STREAMS").arg(shared.link.keys.log()).arg(format!("{from}-0"));
    let patience = block.unwrap_or_default() + shared.link.options.response_timeout;
    let sent = tokio::time::timeout(patience, wire.send(&command)).await;
    let value = sent.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    read(value, &shared.link.keys.workspaces).map_err(|e| e.to_string())
}

fn read(value: Value, workspaces: &Workspaces) -> Result<Vec<(Token, Entry)>, Malformed> {
    if value == Value::Nil {
        return Ok(Vec::new());
    }
    let mut log = Reply::open(value)?.array()?;
    log.text()?;
    let mut records = log.array()?;
    let mut entries = Vec::with_capacity(records.left());
    while records.left() > 0 {
        let mut one = records.array()?;
        let id = one.text()?;
        let position = id.split_once('-').and_then(|(position, _)| position.parse().ok());
        let position = Position(position.ok_or_else(|| Malformed(id.clone()))?);
        let mut fields = one.array()?;
        let mut by_name = HashMap::new();
        while fields.left() > 0 {
            let name = fields.text()?;
            by_name.insert(name, fields.text()?);
        }
        let mut take = |name: &str| by_name.remove(name).unwrap_or_default();
        let inc = incarnation(&take("inc"))?;
        let (nonce, cause, time_ms) = (take("nonce"), take("cause"), take("time").parse().unwrap_or(0));
        let (names, events) = (take("names"), take("events"));
        let entry = Entry::of(position, nonce, time_ms, cause, (&names, &events), workspaces)?;
        entries.push((Token { inc, position }, entry));
    }
    Ok(entries)
}

/// Raises the floors of what was moved, and hands the events to the rings.
async fn take_in(shared: &Shared, mut from: Position, entries: &[(Token, Entry)]) {
    // All floors first: that needs no round trip.
    for (token, entry) in entries {
        shared.link.order.raise(entry.names.iter().map(|(name, _)| name), *token);
    }
    shared.link.order.horizon.moved().notify_waiters();
    for (token, entry) in entries {
        if token.position.0 != from.0 + 1 {
            resume(shared).await;
        }
        for run in entry.runs.iter().filter(|run| shared.rings.wants(&run.stream)) {
            match shared.link.events_of_run(entry, run, *token).await {
                Ok(records) => records.iter().for_each(|record| shared.rings.hand_on(record, true)),
                Err(_) => resume(shared).await,
            }
        }
        from = token.position;
        shared.rings.went_to(from);
    }
    // So that the next read does not have to ask about more than a barrier tells. A failure is found by whoever asks next.
    if from.0.saturating_sub(shared.link.order.horizon.applied().0) > BEHIND {
        let _ = shared.barrier().await;
    }
}

/// Lets every reader of a ring see that something is missing: an event that does not follow sends it to the log.
async fn resume(shared: &Shared) {
    for stream in shared.rings.followed() {
        let Ok(tail) = shared.link.tail(&stream).await else { continue };
        let before =
            undercurrent_types::Cursor { seq: undercurrent_types::Seq(tail.seq.0.saturating_sub(1)), ..tail };
        if let Ok(page) = shared.link.read_stream(&stream, Some(before), 1).await {
            page.records.iter().for_each(|record| shared.rings.hand_on(record, false));
        }
    }
}
