//! A TCP proxy between a node and a server, which does to the bytes what a bad network does.
//!
//! Both directions of every connection can be delayed, held, swallowed and cut, at a place in the bytes that the test
//! names; new connections can be refused. What a call here forbids does not happen after it has returned: the decision and
//! the write are under one lock. Bytes are never changed and never change places within a connection; connections change
//! places with each other where one is held and another is not.
//!
//! A direction of a connection keeps at most [`CHUNKS`] pieces of [`CHUNK`] bytes. When they are full the proxy reads no
//! more and the sender notices, as with a slow network.

mod link;
mod point;
mod pump;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::ServerError;
use crate::port::Port;

pub use link::{Link, Snare};
pub use point::Point;
use state::{Connection, Gate, Mode, Shared, State};

/// The most bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// The most pieces that wait in one direction of one connection.
const CHUNKS: usize = 64;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From the client: what it asks.
    ToServer,
    /// From the server: what it answers.
    ToClient,
}

/// A proxy on a loopback port of its own. Its connections end when it is dropped.
///
/// It runs on the runtime that started it.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy before a loopback port.
    ///
    /// # Errors
    ///
    /// Fails where no port can be had.
    pub async fn start(target: u16) -> Result<Self, ServerError> {
        let port = Port::take()?;
        let state = State {
            target,
            wanted: true,
            listening: false,
            to_server: Gate::default(),
            to_client: Gate::default(),
            connections: BTreeMap::new(),
            next: 0,
            triggers: BTreeMap::new(),
            next_trigger: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed_tx: watch::Sender::new(()) });
        let accepting = tokio::spawn(pump::accept(port.number(), Arc::clone(&shared)));
        let proxy = Self { port, shared, accepting };
        proxy.accept().await?;
        Ok(proxy)
    }

    /// Returns its port on `127.0.0.1`.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Makes new connections to another loopback port; those that are there stay.
    pub fn direct(&self, target: u16) {
        self.shared.change(|state| state.target = target);
    }

    /// Holds what goes in a direction, on all connections and on those to come.
    pub fn hold(&self, direction: Direction) {
        self.set(direction, |gate| gate.mode = Mode::Held);
    }

    /// Loses what goes in a direction, on all connections and on those to come, which stay open: half-open.
    pub fn swallow(&self, direction: Direction) {
        self.set(direction, |gate| gate.mode = Mode::Swallowed);
    }

    /// Lets pass what goes in a direction, first of all what was held; what was swallowed is lost.
    pub fn release(&self, direction: Direction) {
        self.set(direction, |gate| gate.mode = Mode::Open);
    }

    /// Lets everything in a direction take so much longer from now on. Zero takes it back.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.set(direction, |gate| gate.delay = delay);
    }

    fn set(&self, direction: Direction, set: impl Fn(&mut Gate)) {
        self.shared.change(|state| {
            set(match direction {
                Direction::ToServer => &mut state.to_server,
                Direction::ToClient => &mut state.to_client,
            });
            state.connections.values_mut().for_each(|connection| set(connection.gate(direction)));
        });
    }

    /// Resets all connections; what was under way is lost. New ones are welcome.
    pub fn cut(&self) {
        self.shared.change(|state| state.connections.values_mut().for_each(|it| it.cut = true));
    }

    /// Refuses new connections; returns when that is so. Those that are there stay.
    ///
    /// # Errors
    ///
    /// Fails where the listener is not closed in time.
    pub async fn refuse(&self) -> Result<(), ServerError> {
        self.shared.change(|state| state.wanted = false);
        self.shared.until("a proxy refuses connections", |state| (!state.listening).then_some(())).await
    }

    /// Takes new connections again; returns when that is so.
    ///
    /// # Errors
    ///
    /// Fails where there is no listener in time.
    pub async fn accept(&self) -> Result<(), ServerError> {
        self.shared.change(|state| state.wanted = true);
        self.shared.until("a proxy takes connections", |state| state.listening.then_some(())).await
    }

    /// Returns the connections that are open, in the order in which they came.
    pub fn links(&self) -> Vec<Link> {
        let state = self.shared.state.lock();
        state.connections.keys().map(|&number| self.link(number)).collect()
    }

    /// Waits until bytes wait behind a hold of a direction, and returns the oldest connection on which some do.
    ///
    /// # Errors
    ///
    /// Fails where nothing arrives in time.
    pub async fn waits(&self, direction: Direction) -> Result<Link, ServerError> {
        let look = |state: &mut State| {
            let waits = |it: &mut Connection| it.gate(direction).waits();
            state.connections.iter_mut().find_map(|(&number, it)| waits(it).then_some(number))
        };
        self.shared.until("bytes wait in a proxy", look).await.map(|number| self.link(number))
    }

    /// Sets a snare for all connections, also those to come: the first that reaches the point is held there.
    ///
    /// It is the only one that is held. Where several snares are set, each catches for itself.
    ///
    /// # Panics
    ///
    /// Panics if the pattern is empty or has more than 256 bytes.
    pub fn snare(&self, direction: Direction, point: Point) -> Snare {
        Snare::set(&self.shared, direction, None, point)
    }

    fn link(&self, number: u64) -> Link {
        Link { number, shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The tasks of the connections are its children and end with it.
        self.accepting.abort();
    }
}
