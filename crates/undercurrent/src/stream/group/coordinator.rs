//! The task of one group: takes what its members say, decides on the state it knows, writes that in one commit for all
//! of them, and answers after it.
//!
//! While a commit is under way the next one gathers, so many members share one sync. On a shared store several nodes may
//! run a coordinator of the same group: the row is written only over the revision that was read, and who comes second
//! reads it again and decides anew. An event of the stream, a time that has come, or another node's commit wakes it;
//! the last is looked for once a second while members wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use undercurrent_types::wire::GroupOptions;
use undercurrent_types::{Cursor, GroupName, Lease, Position, Seq};

use super::error::GroupError;
use super::look::{Found, Look};
use super::op::{Given, Op, Reply, Waiting};
use super::serve::{Hands, serve};
use super::state::{State, Verdict};
use super::{Fetched, QUEUE, TABLE, WAITING, dead_letter, read_row, unread};
use crate::store::{Batch, NewEvent, PublishError, Record, RowWrite, Store};

/// How many of the waiting operations one commit takes.
const AT_ONCE: usize = 1024;
/// How often the row is looked at while members wait: another node may have written it.
const LOOK_EVERY: u64 = 1000;
/// How long after an error the coordinator does by itself what is due.
const PAUSE: u64 = 1000;
/// How long a coordinator of a group with nothing open stays that nobody asks, in milliseconds.
const IDLE: u64 = 60_000;
/// How many dead letters one commit writes, and about how many bytes of them.
const LETTERS: usize = 256;
const LETTER_BYTES: usize = 4 << 20;

/// The state as it was last read or written.
struct Known {
    state: State,
    revision: Position,
}

pub(super) struct Coordinator {
    group: GroupName,
    store: Arc<dyn Store>,
    ops_rx: mpsc::Receiver<Op>,
    /// Weak, so that the queue ends with those who ask.
    ops_tx: mpsc::WeakSender<Op>,
    /// Members that wait; at most [`WAITING`], more are refused.
    waiting: VecDeque<Waiting>,
    known: Option<Known>,
    /// The row may be another than is known.
    is_doubtful: bool,
    /// The live ring of the stream, while members wait and there is room.
    live: Option<broadcast::Receiver<Record>>,
    begun: Instant,
    looked_at: u64,
    paused_until: u64,
}

/// What one step is about.
#[derive(Default)]
struct Step {
    settles: Vec<(Vec<Lease>, Verdict, Reply<()>)>,
    changes: Vec<(Box<GroupOptions>, Reply<()>)>,
    given_back: Vec<Lease>,
}

/// What becomes of the answers of one step.
struct Decided {
    settles: Vec<Result<(), GroupError>>,
    changes: Vec<Result<(), GroupError>>,
    hands: Hands,
}

impl Coordinator {
    /// Makes the coordinator of a group, and the queue that it is asked by.
    pub(super) fn new(group: GroupName, store: Arc<dyn Store>) -> (Self, mpsc::Sender<Op>) {
        let (ops_tx, ops_rx) = mpsc::channel(QUEUE);
        let coordinator = Self {
            group,
            store,
            ops_rx,
            ops_tx: ops_tx.downgrade(),
            waiting: VecDeque::new(),
            known: None,
            is_doubtful: true,
            live: None,
            begun: Instant::now(),
            looked_at: 0,
            paused_until: 0,
        };
        (coordinator, ops_tx)
    }

    /// Runs until nobody can ask any more, the group is gone, or it has had nothing to do for a while.
    pub(super) async fn run(mut self) {
        while let Some(ops) = self.next_ops().await {
            let mut step = self.sort(ops);
            if let Err(error) = self.take(&mut step).await {
                self.fail(step, &error);
                if matches!(error, GroupError::NoGroup { .. }) {
                    self.ops_rx.close();
                }
                self.is_doubtful = true;
                self.paused_until = self.now() + PAUSE;
            }
        }
    }

    /// Waits for something to do; `None` at the end.
    async fn next_ops(&mut self) -> Option<Vec<Op>> {
        let mut ops = Vec::new();
        let now = self.now();
        let due = self.due();
        let until = self.begun + Duration::from_millis(due.unwrap_or(now + IDLE));
        let live = self.live.as_mut().filter(|_| self.paused_until <= now);
        tokio::select! {
            biased;
            taken = self.ops_rx.recv_many(&mut ops, AT_ONCE) => {
                if taken == 0 {
                    return None;
                }
            }
            () = tokio::time::sleep_until(until) => {
                if due.is_none() && self.known.as_ref().is_none_or(|known| known.state.open.is_empty()) {
                    // What was sent until here is done; who comes later starts another one.
                    self.ops_rx.close();
                }
            }
            () = woken(live) => {}
        }
        Some(ops)
    }

    /// Returns when there is something to do although nobody asks.
    fn due(&self) -> Option<u64> {
        let mut due: Vec<u64> = Vec::new();
        if let Some(Known { state, .. }) = &self.known {
            due.extend(state.next_doom().map(|at| at.max(self.paused_until)));
            if !self.waiting.is_empty() {
                due.extend(state.next_ready().map(|at| at.max(self.paused_until)));
            }
        }
        if !self.waiting.is_empty() {
            due.push(self.looked_at + LOOK_EVERY);
            due.extend(self.waiting.iter().map(|one| self.at(one.until)).min());
        }
        due.into_iter().min()
    }

    /// Sorts what was asked: members that want events wait, the rest belongs to this step.
    fn sort(&mut self, ops: Vec<Op>) -> Step {
        let mut step = Step::default();
        for op in ops {
            match op {
                Op::Fetch(one) if self.waiting.len() < WAITING => self.waiting.push_back(one),
                Op::Fetch(one) => {
                    // Who has stopped waiting needs no answer; the same below.
                    let _ = one.reply.send(Err(GroupError::Busy { group: self.group.clone() }));
                }
                Op::Settle { leases, verdict, reply } => step.settles.push((leases, verdict, reply)),
                Op::Change { options, reply } => step.changes.push((options, reply)),
                Op::GiveBack(leases) => step.given_back.extend(leases),
                Op::Reread => self.is_doubtful = true,
            }
        }
        self.waiting.retain(|one| !one.reply.is_closed());
        step
    }

    /// Decides, writes, answers; decides anew where another node was first.
    async fn take(&mut self, step: &mut Step) -> Result<(), GroupError> {
        loop {
            let Known { state: before, revision } = self.read().await?;
            let (mut next, revision, now) = (before.clone(), *revision, self.now());
            let mut decided = self.settle(&mut next, step, now);
            let events = self.bury(&mut next, now).await?;
            if self.live.is_none() && self.waiting.iter().any(|one| self.at(one.until) > now) {
                // Before the stream is read, so that nothing falls between the two.
                self.live = Some(self.store.follow(&next.settings.stream));
            }
            serve(&*self.store, &mut next, &mut decided.hands, now).await.map_err(unread)?;
            match self.write(&next, revision, events).await {
                Ok(revision) => self.known = Some(Known { state: next, revision }),
                Err(PublishError::RowConflict { actual, .. }) => {
                    if let Some(at) = actual {
                        self.store.settled(at).await;
                    }
                    tokio::task::yield_now().await;
                    self.is_doubtful = true;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            self.answer(step, decided);
            return Ok(());
        }
    }

    /// Returns the state: as it is known, or read anew.
    async fn read(&mut self) -> Result<&Known, GroupError> {
        let now = self.now();
        let is_old = !self.waiting.is_empty() && now >= self.looked_at + LOOK_EVERY;
        if self.is_doubtful || is_old || self.known.is_none() {
            let row = read_row(&*self.store, &self.group).await?;
            let row = row.ok_or_else(|| GroupError::NoGroup { group: self.group.clone() })?;
            let before = self.known.as_ref().map(|known| &known.state);
            let state = State::decode(&self.group, &row.value, before, now)?;
            self.known = Some(Known { state, revision: row.revision });
            (self.looked_at, self.is_doubtful) = (now, false);
        }
        Ok(self.known.as_ref().expect("it was read just now, or is known"))
    }

    /// Writes what was decided, if it is anything; returns the revision of the row then.
    async fn write(
        &self,
        next: &State,
        revision: Position,
        events: Vec<NewEvent>,
    ) -> Result<Position, PublishError> {
        if self.known.as_ref().is_some_and(|known| known.state == *next) {
            return Ok(revision);
        }
        let row = RowWrite {
            table: TABLE,
            id: self.group.to_string(),
            expected: Some(Some(revision)),
            value: Some(next.encode()),
        };
        let published = self.store.publish(Batch { events, rows: vec![row], ..Batch::default() }).await?;
        Ok(published.token.position)
    }

    /// Takes in what members say, and what has become of callers that were gone.
    fn settle(&self, next: &mut State, step: &Step, now: u64) -> Decided {
        for lease in &step.given_back {
            // It may have run out and been given to another meanwhile.
            let _ = next.settle(*lease, &Verdict::Release, now);
        }
        let changes = step.changes.iter().map(|(options, _)| {
            next.settings = next.settings.changed(&self.group, options)?;
            Ok(())
        });
        let changes = changes.collect();
        let settles = step.settles.iter().map(|(leases, verdict, _)| {
            let refused =
                leases.iter().filter_map(|lease| Some((*lease, next.settle(*lease, verdict, now).err()?)));
            let refused: Vec<_> = refused.collect();
            if refused.is_empty() {
                return Ok(());
            }
            Err(GroupError::Refused { group: self.group.clone(), named: leases.len(), refused })
        });
        let settles = settles.collect();
        Decided { settles, changes, hands: Hands::new(self.waiting.iter().map(|one| one.most)) }
    }

    /// Makes dead letters of what has to become one.
    async fn bury(&self, next: &mut State, now: u64) -> Result<Vec<NewEvent>, GroupError> {
        next.doom_overdue(now);
        let doomed: Vec<Seq> = next.doomed().take(LETTERS).collect();
        let stream = next.settings.stream.clone();
        let epoch = next.scanned.epoch;
        let mut look = Look::new(&*self.store, &stream, epoch);
        let (mut events, mut bytes) = (Vec::new(), 0);
        for (i, seq) in doomed.iter().enumerate() {
            if bytes >= LETTER_BYTES {
                break;
            }
            let original = match look.first(&doomed[i..]).await.map_err(unread)? {
                Found::Record(record) => Some(record),
                Found::Gone | Found::Moved(_) => None,
            };
            bytes += original.as_ref().map_or(0, |record| record.json.len());
            if let Some(open) = next.bury(*seq) {
                let (settings, at) = (&next.settings, Cursor { epoch, seq: *seq });
                let (generation, durability) = (next.generation, self.store.strongest());
                let original = original.as_ref();
                let letter =
                    dead_letter::of(&self.group, settings, at, generation, &open, original, durability);
                events.push(letter);
            }
        }
        Ok(events)
    }

    /// Answers after the commit.
    fn answer(&mut self, step: &mut Step, decided: Decided) {
        let now = self.now();
        for ((_, _, reply), result) in step.settles.drain(..).zip(decided.settles) {
            let _ = reply.send(result);
        }
        for ((_, reply), result) in step.changes.drain(..).zip(decided.changes) {
            let _ = reply.send(result);
        }
        let full = self.known.as_ref().is_some_and(|known| known.state.room() == 0);
        let mut hands = decided.hands;
        let mut gaps = std::mem::take(&mut hands.gaps);
        let waiting = std::mem::take(&mut self.waiting);
        for (one, deliveries) in waiting.into_iter().zip(hands.into_each()) {
            if deliveries.is_empty() && gaps.is_empty() && self.at(one.until) > now {
                self.waiting.push_back(one);
                continue;
            }
            let full = full && deliveries.is_empty();
            let fetched = Fetched { deliveries, gaps: std::mem::take(&mut gaps), full };
            let _ = one.reply.send(Ok(Given::new(fetched, self.ops_tx.clone())));
        }
        if self.waiting.is_empty() || full {
            self.live = None;
        }
    }

    /// Tells everybody that it went wrong.
    fn fail(&mut self, step: Step, error: &GroupError) {
        for (_, _, reply) in step.settles {
            let _ = reply.send(Err(error.clone()));
        }
        for (_, reply) in step.changes {
            let _ = reply.send(Err(error.clone()));
        }
        for one in self.waiting.drain(..) {
            let _ = one.reply.send(Err(error.clone()));
        }
        self.live = None;
    }

    fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.begun).as_millis() as u64
    }
}

/// Waits for a sign that the stream has more; for ever where there is no ring.
async fn woken(live: Option<&mut broadcast::Receiver<Record>>) {
    match live {
        Some(live) => {
            if let Err(broadcast::error::RecvError::Closed) = live.recv().await {
                std::future::pending::<()>().await;
            }
            // One sign is as good as many.
            while !matches!(
                live.try_recv(),
                Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed)
            ) {}
        }
        None => std::future::pending().await,
    }
}
