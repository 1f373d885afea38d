//! One round of giving: open events that are ready first, then new ones, to the members that wait, in turn.

use undercurrent_types::wire::GroupGap;
use undercurrent_types::{Lease, Seq};

use super::GroupDelivery;
use super::look::{Found, Look, Moved, PAGE, after_cursor};
use super::state::State;
use crate::store::{Record, Store, StoreError};

/// About how many bytes of events one member is given at once.
const BYTES: usize = 1 << 20;
/// About how many bytes of events are given in one round.
const ROUND: usize = 16 << 20;
/// How many times a round follows a stream that moves on under it.
const MOVES: usize = 3;

/// What the members get that wait.
pub(super) struct Hands {
    /// One for each of them, in their order: how many events it takes, and what it is given.
    hands: Vec<(usize, Vec<GroupDelivery>)>,
    /// The one that is given to.
    current: usize,
    /// The bytes that it was given, and those of all.
    bytes: usize,
    all_bytes: usize,
    /// What the group has missed.
    pub(super) gaps: Vec<GroupGap>,
}

impl Hands {
    pub(super) fn new(wanted: impl IntoIterator<Item = usize>) -> Self {
        let hands = wanted.into_iter().map(|most| (most, Vec::new())).collect();
        Self { hands, current: 0, bytes: 0, all_bytes: 0, gaps: Vec::new() }
    }

    /// Returns what each member is given.
    pub(super) fn into_each(self) -> impl Iterator<Item = Vec<GroupDelivery>> {
        self.hands.into_iter().map(|(_, given)| given)
    }

    /// Returns how many more events are taken.
    fn room(&self) -> usize {
        if self.all_bytes >= ROUND {
            return 0;
        }
        self.hands[self.current..].iter().map(|(most, given)| most - given.len()).sum()
    }

    fn give(&mut self, delivery: GroupDelivery) {
        let bytes = delivery.record.json.len();
        let (most, given) = &mut self.hands[self.current];
        given.push(delivery);
        (self.bytes, self.all_bytes) = (self.bytes + bytes, self.all_bytes + bytes);
        if given.len() >= *most || self.bytes >= BYTES {
            (self.current, self.bytes) = (self.current + 1, 0);
        }
    }
}

/// Gives what can be given now.
pub(super) async fn serve(
    store: &dyn Store,
    state: &mut State,
    hands: &mut Hands,
    now: u64,
) -> Result<(), StoreError> {
    let generation = state.generation + 1;
    for _ in 0..MOVES {
        let moved = match give_ready(store, state, hands, generation, now).await? {
            None => give_new(store, state, hands, generation, now).await?,
            moved => moved,
        };
        let Some(Moved { oldest, reason }) = moved else { break };
        hands.gaps.extend(state.go_on(oldest, reason));
    }
    Ok(())
}

async fn give_ready(
    store: &dyn Store,
    state: &mut State,
    hands: &mut Hands,
    generation: u64,
    now: u64,
) -> Result<Option<Moved>, StoreError> {
    let ready = state.ready(now, hands.room());
    let stream = state.settings.stream.clone();
    let mut look = Look::new(store, &stream, state.scanned.epoch);
    for (i, seq) in ready.iter().enumerate() {
        if hands.room() == 0 {
            break;
        }
        match look.first(&ready[i..]).await? {
            Found::Record(record) => give(state, hands, record, generation, now),
            Found::Gone => hands.gaps.push(state.lose(*seq)),
            Found::Moved(moved) => return Ok(Some(moved)),
        }
    }
    Ok(None)
}

async fn give_new(
    store: &dyn Store,
    state: &mut State,
    hands: &mut Hands,
    generation: u64,
    now: u64,
) -> Result<Option<Moved>, StoreError> {
    let stream = state.settings.stream.clone();
    let mut subjects = state.subjects();
    loop {
        let limit = hands.room().min(state.room()).min(PAGE);
        if limit == 0 {
            return Ok(None);
        }
        let records = match after_cursor(store, &stream, state.scanned, limit).await? {
            Ok(records) => records,
            Err(moved) => return Ok(Some(moved)),
        };
        if records.is_empty() {
            return Ok(None);
        }
        for record in records {
            if hands.room() == 0 {
                return Ok(None);
            }
            if state.admit(record.cursor, record.subject.as_deref(), &mut subjects) {
                give(state, hands, record, generation, now);
            }
        }
    }
}

fn give(state: &mut State, hands: &mut Hands, record: Record, generation: u64, now: u64) {
    let seq: Seq = record.cursor.seq;
    if let Some(deliveries) = state.give(seq, generation, now) {
        let lease_ms = state.settings.lease_ms;
        hands.give(GroupDelivery { lease: Lease { seq, generation }, deliveries, lease_ms, record });
    }
}
