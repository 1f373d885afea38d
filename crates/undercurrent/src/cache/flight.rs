//! One load at a time per key, and who may share it.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;
use undercurrent_types::{Incarnation, Key, Position, Token};

use super::answer::Why;
use super::entry::Entry;
use super::loader::LoadError;
use crate::ablation::{Step, skips};

/// How much a fill must do, least first. A read may share a fill that does at least what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// An entry that turns out to be valid will do.
    Fresh,
    /// What nobody vouches for must be asked for.
    Ask,
    /// The source must be asked, whoever vouches.
    Verify,
    /// The value must be loaded.
    Load,
}

/// What a read needs from a flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// The position that the load must not have begun before.
    pub(super) barrier: Token,
    /// The number of loads that had begun when the read began: with `Mode::Ask` and above, only later ones will do.
    pub(super) begun: u64,
    /// How much must be done.
    pub(super) mode: Mode,
    /// Whether the read has no barrier, so that only a load that begins after it will do.
    pub(super) later: bool,
}

/// The incarnation of what began while the store could not be asked: nothing compares with it.
pub(super) const UNKNOWN: Incarnation = Incarnation(0);

impl Need {
    /// Makes the need of a read. Where the order is not known, only what begins after the read will do.
    pub(super) fn new(barrier: Token, begun: u64, mode: Mode) -> Self {
        let mode = if barrier.inc == UNKNOWN { mode.max(Mode::Ask) } else { mode };
        Self { barrier, begun, mode, later: false }
    }

    /// Makes the need of a read that did not ask where the order stands: the load that it causes asks.
    pub(super) fn later(inc: Incarnation, begun: u64, mode: Mode) -> Self {
        Self { barrier: Token { inc, position: Position(0) }, begun, mode, later: true }
    }

    /// Says whether the store could not be asked where its order stands.
    pub(super) fn is_blind(&self) -> bool {
        self.barrier.inc == UNKNOWN
    }
}

/// The outcome of a fill, shared by all who waited.
pub(super) type Outcome = Result<(Arc<Entry>, Why), LoadError>;

/// A load that runs or waits to run.
#[derive(Debug)]
pub(super) struct Flight {
    state: Mutex<FlightState>,
    outcome: OnceLock<Outcome>,
    /// Wakes in the order in which readers came.
    landed: Notify,
}

#[derive(Debug)]
struct FlightState {
    mode: Mode,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// It will begin: after whoever joins now.
    Waiting,
    /// It is asking where the order stands: nobody can tell yet whether that is before or after a read.
    Closed,
    /// It began with this place among all loads, at this position.
    Begun(u64, Token),
}

impl Flight {
    fn new(mode: Mode) -> Self {
        let state = Mutex::new(FlightState { mode, phase: Phase::Waiting });
        Self { state, outcome: OnceLock::new(), landed: Notify::new() }
    }

    /// Joins the flight if it does what the read needs. One that waits begins after the read, and will do whatever is
    /// asked of it. In the model: `memory::flight::serves`.
    fn serves(&self, need: Need) -> bool {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Waiting => {
                state.mode = state.mode.max(need.mode);
                true
            }
            Phase::Closed => false,
            Phase::Begun(place, h) => {
                let in_order = h.inc == need.barrier.inc && h.position >= need.barrier.position;
                let asked = need.mode == Mode::Fresh && !need.later
                    || place >= need.begun
                    || skips(Step::AskAfterBegin);
                (in_order || skips(Step::JoinInOrder)) && state.mode >= need.mode && asked
            }
        }
    }

    /// Ends the waiting, before h is asked for: a read that joined later could have a barrier above h. From here on it
    /// does what it was asked until now. In the model: `memory::flight::flight`.
    pub(super) fn close(&self) -> Mode {
        let mut state = self.state.lock();
        state.phase = Phase::Closed;
        state.mode
    }

    /// Says at which place and position it began. In the model: `memory::flight::flight`.
    pub(super) fn begin(&self, place: u64, h: Token) {
        self.state.lock().phase = Phase::Begun(place, h);
    }

    /// Says whether it began before a read that counted this many loads.
    pub(super) fn began_before(&self, begun: u64) -> bool {
        matches!(self.state.lock().phase, Phase::Begun(place, _) if place < begun)
    }

    /// Waits for the outcome.
    pub(super) async fn outcome(&self) -> Outcome {
        let mut landed = std::pin::pin!(self.landed.notified());
        // Listening first, so that a landing between the look and the wait is heard.
        landed.as_mut().enable();
        if let Some(outcome) = self.outcome.get() {
            return outcome.clone();
        }
        landed.await;
        self.outcome.get().expect("the outcome is set before anybody is woken").clone()
    }
}

/// The flights of all keys: at most one that runs and one that waits for it, per key.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    by_key: HashMap<Key, Pair>,
    /// Which keys the running load of a key waits for.
    waits: HashMap<Key, Vec<Key>>,
}

#[derive(Debug)]
struct Pair {
    running: Arc<Flight>,
    next: Option<Arc<Flight>>,
}

/// What a read got from [`Flights::join`].
pub(super) struct Joined {
    pub(super) flight: Arc<Flight>,
    /// Whether the caller must start it.
    pub(super) start: bool,
}

impl Flights {
    /// Joins or makes the flight that serves a read. `waiter` is the key whose loader asks, where one does.
    /// In the model: `memory::flight::join`.
    ///
    /// # Errors
    ///
    /// Fails with the circle when the load of `key` waits, through others, for the waiter.
    pub(super) fn join(&self, key: &Key, need: Need, waiter: Option<&Key>) -> Result<Joined, LoadError> {
        let mut table = self.0.lock();
        if let Some(waiter) = waiter {
            if let Some(circle) = table.path(key, waiter) {
                return Err(LoadError::Cycle(circle));
            }
            table.waits.entry(waiter.clone()).or_default().push(key.clone());
        }
        let joined = match table.by_key.entry(key.clone()) {
            hash_map::Entry::Vacant(vacant) => {
                let flight = Arc::new(Flight::new(need.mode));
                vacant.insert(Pair { running: flight.clone(), next: None });
                Joined { flight, start: true }
            }
            hash_map::Entry::Occupied(mut occupied) => {
                let pair = occupied.get_mut();
                if pair.running.serves(need) {
                    Joined { flight: pair.running.clone(), start: false }
                } else {
                    let next = pair.next.get_or_insert_with(|| Arc::new(Flight::new(need.mode)));
                    let serves = next.serves(need);
                    debug_assert!(serves, "a flight that has not begun serves everybody");
                    Joined { flight: next.clone(), start: false }
                }
            }
        };
        Ok(joined)
    }

    /// Says whether a load of a key runs.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.0.lock().by_key.contains_key(key)
    }

    /// Forgets that a load waits for another key.
    pub(super) fn stop_waiting(&self, waiter: &Key, key: &Key) {
        let mut table = self.0.lock();
        if let Some(waits) = table.waits.get_mut(waiter) {
            if let Some(place) = waits.iter().position(|one| one == key) {
                waits.swap_remove(place);
            }
            if waits.is_empty() {
                table.waits.remove(waiter);
            }
        }
    }

    /// Ends the running flight of a key and returns the one that was waiting, which runs from now on.
    /// In the model: `memory::flight::land`.
    pub(super) fn land(&self, key: &Key, flight: &Flight, outcome: Outcome) -> Option<Arc<Flight>> {
        let next = {
            let mut table = self.0.lock();
            let next = table.by_key.get_mut(key).and_then(|pair| pair.next.take());
            match &next {
                Some(next) => {
                    let pair = Pair { running: next.clone(), next: None };
                    table.by_key.insert(key.clone(), pair);
                }
                None => {
                    table.by_key.remove(key);
                }
            }
            next
        };
        // A flight lands once: whoever lands it owns it.
        let _ = flight.outcome.set(outcome);
        flight.landed.notify_waiters();
        next
    }
}

impl Table {
    /// Finds the way from one key to another along the waiting loads.
    fn path(&self, from: &Key, to: &Key) -> Option<Vec<Key>> {
        let mut came_from: HashMap<&Key, &Key> = HashMap::new();
        let mut open = vec![from];
        while let Some(key) = open.pop() {
            if key == to {
                let mut circle = vec![to.clone(), from.clone()];
                let mut at = to;
                let mut back = Vec::new();
                while let Some(before) = came_from.get(at) {
                    back.push((*at).clone());
                    at = before;
                }
                circle.extend(back.into_iter().rev());
                return Some(circle);
            }
            for next in self.waits.get(key).into_iter().flatten() {
                if next != from && !came_from.contains_key(next) {
                    came_from.insert(next, key);
                    open.push(next);
                }
            }
        }
        None
    }
}
