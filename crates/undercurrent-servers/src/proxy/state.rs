//! What a proxy knows and is told, all of it under one lock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Direction, Point};
use crate::error::ServerError;
use crate::wait::PATIENCE;

/// What becomes of bytes that arrive.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Mode {
    #[default]
    Open,
    /// They wait, and so does the end of the connection.
    Held,
    /// They are lost, and so is the end of the connection: who sent them learns nothing.
    Swallowed,
}

/// One direction of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    pub(super) mode: Mode,
    pub(super) delay: Duration,
    /// The sender has closed or reset the connection.
    pub(super) closed: bool,
    /// Bytes that the sender has sent.
    pub(super) arrived: u64,
    /// Bytes that the receiver was given.
    pub(super) passed: u64,
    /// Bytes that nobody was given.
    pub(super) lost: u64,
    /// The last of those that passed, as many as a pattern may have.
    pub(super) last: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: SocketAddr,
    pub(super) to_server: Gate,
    pub(super) to_client: Gate,
    pub(super) cut: bool,
}

impl Connection {
    pub(super) fn gate(&mut self, direction: Direction) -> &mut Gate {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

/// A point at which the first connection that reaches it is held.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) direction: Direction,
    /// The point for one connection alone, or what every connection begins with.
    pub(super) only: Option<u64>,
    pub(super) point: Point,
    /// The points of the connections that have passed something, where that changes them.
    pub(super) points: BTreeMap<u64, Point>,
    pub(super) caught: Option<u64>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The port that new connections are made to.
    pub(super) target: u16,
    /// Whether new connections are wanted, and whether a listener is there.
    pub(super) wanted: bool,
    pub(super) listening: bool,
    /// What new connections begin with.
    pub(super) to_server: Gate,
    pub(super) to_client: Gate,
    /// By their number in the order in which they came. Those that have ended are taken out.
    pub(super) connections: BTreeMap<u64, Connection>,
    pub(super) next: u64,
    pub(super) triggers: BTreeMap<u64, Trigger>,
    pub(super) next_trigger: u64,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// One lock for all: it is held for decisions and for writes that do not wait, so that what is forbidden under it does
    /// not happen after it.
    pub(super) state: Mutex<State>,
    /// Says that the state has changed. A watch: nobody misses a change, and many changes are one.
    pub(super) changed_tx: watch::Sender<()>,
}

impl Shared {
    /// Changes the state and wakes everybody who waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let it = change(&mut self.state.lock());
        self.changed_tx.send_replace(());
        it
    }

    /// Waits until a look at the state gives something.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, ServerError> {
        let mut changed_rx = self.changed_tx.subscribe();
        let waiting = async {
            loop {
                changed_rx.mark_unchanged();
                if let Some(it) = look(&mut self.state.lock()) {
                    return it;
                }
                changed_rx.changed().await.expect("the sender lives in here");
            }
        };
        timeout(PATIENCE, waiting).await.map_err(|_| ServerError::Late {
            what: what.to_owned(),
            patience: PATIENCE,
            last: format!("{:?}", self.state.lock()),
            output: String::new(),
        })
    }
}

impl Gate {
    pub(super) fn waits(&self) -> bool {
        self.mode == Mode::Held && self.arrived > self.passed + self.lost
    }
}
