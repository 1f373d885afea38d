//! The tasks of a proxy: one that takes connections, and one per connection that moves its bytes.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustix::net::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::point::{LONGEST, Point};
use super::state::{Connection, Mode, Shared, State, Trigger};
use super::{CHUNK, CHUNKS, Direction};

/// Bytes and the moment before which they are not passed on.
type Piece = (Instant, Vec<u8>);

/// Takes connections as long as they are wanted.
pub(super) async fn accept(port: u16, shared: Arc<Shared>) {
    let mut changed_rx = shared.changed_tx.subscribe();
    let mut listener: Option<TcpListener> = None;
    let mut connections = JoinSet::new();
    loop {
        changed_rx.mark_unchanged();
        let wanted = shared.state.lock().wanted;
        if wanted != listener.is_some() {
            if let Some(listener) = &listener {
                // A process that is being started has a copy of it for a moment, so dropping it is not enough. Fails
                // only on one that is gone.
                let _ = rustix::net::shutdown(listener, Shutdown::Both);
            }
            // Fails only if a stranger took the port; whoever waits for the listener learns it by the time.
            listener = if wanted { TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.ok() } else { None };
            let listening = listener.is_some();
            shared.change(|state| state.listening = listening);
        }
        let next = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            next = next => {
                if let Ok((client, address)) = next {
                    let (number, target) = shared.change(|state| enter(state, address));
                    connections.spawn(serve(client, target, number, Arc::clone(&shared)));
                }
            }
            _ = changed_rx.changed() => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Takes note of a connection; returns its number and where it leads.
fn enter(state: &mut State, client: SocketAddr) -> (u64, u16) {
    let number = state.next;
    state.next += 1;
    let (to_server, to_client) = (state.to_server.clone(), state.to_client.clone());
    state.connections.insert(number, Connection { client, to_server, to_client, cut: false });
    (number, state.target)
}

async fn serve(client: TcpStream, target: u16, number: u64, shared: Arc<Shared>) {
    let one = One { number, shared: &shared };
    match TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
        Ok(server) => {
            // Fails only on a connection that is gone.
            let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
            one.run(&client, &server).await;
            if one.is_cut() {
                let _ = server.set_zero_linger();
                let _ = client.set_zero_linger();
            }
        }
        // As if the server had not taken it; nearer to that a proxy can not come.
        Err(_) => drop(client.set_zero_linger()),
    }
    drop(client);
    shared.change(|state| state.connections.remove(&number));
}

/// What a writer does next.
enum Next {
    /// It is over.
    Done,
    /// Nothing, until somebody changes something.
    Change,
    /// Waits for bytes.
    Read,
    /// Waits until the receiver can take more.
    Writable,
    /// Goes on at once.
    Again,
}

/// One connection.
#[derive(Clone, Copy)]
struct One<'a> {
    number: u64,
    shared: &'a Shared,
}

impl One<'_> {
    async fn run(self, client: &TcpStream, server: &TcpStream) {
        let (up_tx, up_rx) = channel(CHUNKS);
        let (down_tx, down_rx) = channel(CHUNKS);
        tokio::join!(
            self.read(client, Direction::ToServer, up_tx),
            self.write(server, Direction::ToServer, up_rx),
            self.read(server, Direction::ToClient, down_tx),
            self.write(client, Direction::ToClient, down_rx),
        );
    }

    fn is_cut(self) -> bool {
        self.shared.state.lock().connections.get(&self.number).is_none_or(|it| it.cut)
    }

    /// Reads until the end, or as long as there is room.
    async fn read(self, from: &TcpStream, direction: Direction, pieces_tx: Sender<Piece>) {
        let mut changed_rx = self.shared.changed_tx.subscribe();
        let mut buffer = vec![0; CHUNK];
        loop {
            changed_rx.mark_unchanged();
            if self.is_cut() {
                return;
            }
            let ready = async {
                let room = pieces_tx.reserve().await.ok()?;
                from.readable().await.ok()?;
                Some(room)
            };
            let room = tokio::select! {
                room = ready => room,
                _ = changed_rx.changed() => continue,
            };
            let Some(room) = room else { return self.close(direction, true) };
            match from.try_read(&mut buffer) {
                Ok(0) => return self.close(direction, false),
                Ok(bytes) => room.send((self.arrived(direction, bytes), buffer[..bytes].to_vec())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return self.close(direction, true),
            }
        }
    }

    /// Takes note of bytes; returns when they are due.
    fn arrived(self, direction: Direction, bytes: usize) -> Instant {
        self.shared.change(|state| {
            let now = Instant::now();
            let Some(connection) = state.connections.get_mut(&self.number) else { return now };
            let gate = connection.gate(direction);
            gate.arrived += bytes as u64;
            now + gate.delay
        })
    }

    /// The sender has closed the connection, or reset it. A reset goes further at once, unless what is sent gets lost on
    /// the way; an end comes behind what was sent before.
    fn close(self, direction: Direction, reset: bool) {
        self.shared.change(|state| {
            let Some(connection) = state.connections.get_mut(&self.number) else { return };
            let gate = connection.gate(direction);
            gate.closed = true;
            let lost = gate.mode == Mode::Swallowed;
            connection.cut |= reset && !lost;
        });
    }

    /// Passes on what may pass, when it is due.
    async fn write(self, to: &TcpStream, direction: Direction, mut pieces_rx: Receiver<Piece>) {
        let mut changed_rx = self.shared.changed_tx.subscribe();
        let mut waiting = Vec::new();
        // One that was taken out of the queue and is not due yet.
        let mut early: Option<Piece> = None;
        let mut ended = false;
        loop {
            changed_rx.mark_unchanged();
            match self.pass(to, direction, &mut waiting, ended) {
                Next::Done => return,
                Next::Again => {}
                Next::Change => drop(changed_rx.changed().await),
                Next::Writable => tokio::select! {
                    // An error shows when it is written to.
                    _ = to.writable() => {}
                    _ = changed_rx.changed() => {}
                },
                Next::Read => {
                    let next = async {
                        if early.is_none() {
                            early = pieces_rx.recv().await;
                        }
                        if let Some((due, _)) = &early {
                            sleep_until(*due).await;
                        }
                    };
                    tokio::select! {
                        () = next => match early.take() {
                            Some((_, bytes)) => waiting.extend(bytes),
                            None => ended = true,
                        },
                        _ = changed_rx.changed() => {}
                    }
                }
            }
        }
    }

    /// Decides and writes, under the lock.
    fn pass(self, to: &TcpStream, direction: Direction, waiting: &mut Vec<u8>, ended: bool) -> Next {
        let mut state = self.shared.state.lock();
        let State { connections, triggers, .. } = &mut *state;
        let Some(connection) = connections.get_mut(&self.number).filter(|it| !it.cut) else {
            return Next::Done;
        };
        let gate = connection.gate(direction);
        match gate.mode {
            Mode::Swallowed => {
                gate.lost += waiting.len() as u64;
                waiting.clear();
                return if ended { Next::Change } else { Next::Read };
            }
            Mode::Held if waiting.is_empty() && !ended => return Next::Read,
            Mode::Held => return Next::Change,
            Mode::Open if waiting.is_empty() && !ended => return Next::Read,
            Mode::Open if waiting.is_empty() => {
                // Fails only on a connection that is gone.
                let _ = rustix::net::shutdown(to, Shutdown::Write);
                return Next::Done;
            }
            Mode::Open => {}
        }
        let (mut bytes, reached) = nearest(triggers, self.number, direction, &gate.last, waiting);
        if ended && reached.is_empty() {
            // What might have been the beginning of a pattern is none.
            bytes = waiting.len();
        }
        if bytes == 0 && reached.is_empty() {
            return Next::Read;
        }
        let written = if bytes == 0 { Ok(0) } else { to.try_write(&waiting[..bytes]) };
        let written = match written {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Writable,
            Err(_) => {
                connection.cut = true;
                drop(state);
                self.shared.changed_tx.send_replace(());
                return Next::Done;
            }
        };
        gate.passed += written as u64;
        gate.last.extend(waiting.drain(..written));
        let superfluous = gate.last.len().saturating_sub(LONGEST);
        gate.last.drain(..superfluous);
        for it in triggers.values_mut().filter(|it| it.concerns(self.number, direction)) {
            if matches!(it.point, Point::AfterBytes(_)) {
                it.points.entry(self.number).or_insert_with(|| it.point.clone()).passed(written);
            }
        }
        if written == bytes && !reached.is_empty() {
            gate.mode = Mode::Held;
            for id in reached {
                triggers.get_mut(&id).expect("nobody removes it meanwhile").caught = Some(self.number);
            }
            drop(state);
            self.shared.changed_tx.send_replace(());
        }
        Next::Again
    }
}

impl Trigger {
    fn concerns(&self, number: u64, direction: Direction) -> bool {
        self.caught.is_none() && self.direction == direction && self.only.is_none_or(|only| only == number)
    }
}

/// Returns how many bytes may pass up to the nearest point, and the snares that are reached there.
fn nearest(
    triggers: &BTreeMap<u64, Trigger>,
    number: u64,
    direction: Direction,
    last: &[u8],
    waiting: &[u8],
) -> (usize, Vec<u64>) {
    let mut bytes = waiting.len();
    let mut reached = Vec::new();
    for (id, it) in triggers.iter().filter(|(_, it)| it.concerns(number, direction)) {
        let pass = it.points.get(&number).unwrap_or(&it.point).decide(last, waiting);
        if pass.bytes < bytes {
            (bytes, reached) = (pass.bytes, Vec::new());
        }
        if pass.bytes == bytes && pass.reached {
            reached.push(*id);
        }
    }
    (bytes, reached)
}
