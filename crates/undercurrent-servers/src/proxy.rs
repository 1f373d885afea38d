//! A TCP proxy between a node and a server, which does to the bytes what a bad network does.
//!
//! Both directions of every connection can be delayed, held, swallowed and cut, at a place in the bytes that the test
//! names; new connections can be refused. What a call here forbids does not happen after it has returned: the decision and
//! the write are under one lock. Bytes are never changed and never change places within a connection; connections change
//! places with each other where one is held and another is not.
//!
//! A direction of a connection keeps at most [`CHUNKS`] pieces of [`CHUNK`] bytes. When they are full the proxy reads no
//! more and the sender notices, as with a slow network.

mod point;
mod pump;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::ServerError;
use crate::port::Port;
use crate::wait::PATIENCE;

pub use point::Point;

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

/// What becomes of bytes that arrive.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Mode {
    #[default]
    Open,
    /// They wait, and so does the end of the connection.
    Held,
    /// They are lost, and so is the end of the connection: who sent them learns nothing.
    Swallowed,
}

/// One direction of one connection.
#[derive(Clone, Debug, Default)]
struct Gate {
    mode: Mode,
    delay: Duration,
    /// Bytes that the sender has sent.
    arrived: u64,
    /// Bytes that the receiver was given.
    passed: u64,
    /// Bytes that nobody was given.
    lost: u64,
    /// The last of those that passed, as many as a pattern may have.
    last: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    client: SocketAddr,
    to_server: Gate,
    to_client: Gate,
    cut: bool,
}

impl Connection {
    fn gate(&mut self, direction: Direction) -> &mut Gate {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

/// A point at which the first connection that reaches it is held.
#[derive(Debug)]
struct Trigger {
    direction: Direction,
    /// The point for one connection alone, or what every connection begins with.
    only: Option<u64>,
    point: Point,
    /// The points of the connections that have passed something, where that changes them.
    points: BTreeMap<u64, Point>,
    caught: Option<u64>,
}

#[derive(Debug)]
struct State {
    /// The port that new connections are made to.
    target: u16,
    /// Whether new connections are wanted, and whether a listener is there.
    wanted: bool,
    listening: bool,
    /// What new connections begin with.
    to_server: Gate,
    to_client: Gate,
    /// By their number in the order in which they came. Those that have ended are taken out.
    connections: BTreeMap<u64, Connection>,
    next: u64,
    triggers: BTreeMap<u64, Trigger>,
    next_trigger: u64,
}

#[derive(Debug)]
struct Shared {
    /// One lock for all: it is held for decisions and for writes that do not wait, so that what is forbidden under it does
    /// not happen after it.
    state: Mutex<State>,
    /// Says that the state has changed. A watch: nobody misses a change, and many changes are one.
    changed_tx: watch::Sender<()>,
}

impl Shared {
    /// Changes the state and wakes everybody who waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let it = change(&mut self.state.lock());
        self.changed_tx.send_replace(());
        it
    }

    /// Waits until a look at the state gives something.
    async fn until<T>(
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

/// One connection through a proxy. After its end all that is done to it does nothing.
#[derive(Clone, Debug)]
pub struct Link {
    number: u64,
    shared: Arc<Shared>,
}

impl Link {
    /// Returns its number in the order in which the connections of the proxy came, from 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the address of its client; nothing after its end.
    pub fn client(&self) -> Option<SocketAddr> {
        self.shared.state.lock().connections.get(&self.number).map(|it| it.client)
    }

    /// Holds what goes in a direction.
    pub fn hold(&self, direction: Direction) {
        self.set(|it| it.gate(direction).mode = Mode::Held);
    }

    /// Loses what goes in a direction.
    pub fn swallow(&self, direction: Direction) {
        self.set(|it| it.gate(direction).mode = Mode::Swallowed);
    }

    /// Lets pass what goes in a direction, first of all what was held.
    pub fn release(&self, direction: Direction) {
        self.set(|it| it.gate(direction).mode = Mode::Open);
    }

    /// Lets everything in a direction take so much longer from now on.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.set(|it| it.gate(direction).delay = delay);
    }

    /// Resets it; what was under way is lost.
    pub fn cut(&self) {
        self.set(|it| it.cut = true);
    }

    fn set(&self, set: impl FnOnce(&mut Connection)) {
        self.shared.change(|state| state.connections.get_mut(&self.number).map(set));
    }

    /// Sets a snare for it alone.
    ///
    /// # Panics
    ///
    /// Panics if the pattern is empty or has more than 256 bytes.
    pub fn snare(&self, direction: Direction, point: Point) -> Snare {
        Snare::set(&self.shared, direction, Some(self.number), point)
    }

    /// Returns how many bytes its receiver was given in a direction; nothing after its end.
    pub fn passed(&self, direction: Direction) -> Option<u64> {
        let mut state = self.shared.state.lock();
        state.connections.get_mut(&self.number).map(|it| it.gate(direction).passed)
    }

    /// Waits until bytes wait behind a hold of a direction.
    ///
    /// # Errors
    ///
    /// Fails where nothing arrives in time.
    pub async fn waits(&self, direction: Direction) -> Result<(), ServerError> {
        let look = |state: &mut State| {
            state.connections.get_mut(&self.number)?.gate(direction).waits().then_some(())
        };
        self.shared.until("bytes wait in a proxy", look).await
    }

    /// Waits until it is closed on both sides.
    ///
    /// # Errors
    ///
    /// Fails where it is not in time.
    pub async fn ended(&self) -> Result<(), ServerError> {
        let look = |state: &mut State| (!state.connections.contains_key(&self.number)).then_some(());
        self.shared.until("a connection ends", look).await
    }
}

impl Gate {
    fn waits(&self) -> bool {
        self.mode == Mode::Held && self.arrived > self.passed + self.lost
    }
}

/// A snare that is set. It is taken away when this is dropped; what it holds by then stays held.
#[derive(Debug)]
pub struct Snare {
    number: u64,
    shared: Arc<Shared>,
}

impl Snare {
    fn set(shared: &Arc<Shared>, direction: Direction, only: Option<u64>, point: Point) -> Self {
        point.check();
        let number = shared.change(|state| {
            let number = state.next_trigger;
            state.next_trigger += 1;
            let trigger = Trigger { direction, only, point, points: BTreeMap::new(), caught: None };
            state.triggers.insert(number, trigger);
            number
        });
        Self { number, shared: Arc::clone(shared) }
    }

    /// Waits until a connection has reached the point, and returns it. It is held in that direction.
    ///
    /// # Errors
    ///
    /// Fails where none gets there in time.
    pub async fn caught(&self) -> Result<Link, ServerError> {
        let look = |state: &mut State| state.triggers.get(&self.number)?.caught;
        let number = self.shared.until("a snare catches a connection", look).await?;
        Ok(Link { number, shared: Arc::clone(&self.shared) })
    }
}

impl Drop for Snare {
    fn drop(&mut self) {
        self.shared.change(|state| state.triggers.remove(&self.number));
    }
}
