//! The connection that requests go through, made anew with CLAIM before it when it is lost.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use redis::{Cmd, RedisError, ServerErrorKind, Value};
use tokio::sync::Mutex;
use undercurrent_types::{Incarnation, Position, Token};

use super::claim::{Claimed, Mark, claim, incarnation_text, random};
use super::clock::Clock;
use super::connect::{ConnectError, Connector};
use super::keys::Keys;
use super::options::SharedStoreOptions;
use super::order::{Known, Order};
use super::reply::{Malformed, Reply};
use super::scripts::{LAPSE, LAST, Script};
use super::server::{REPLICATION, Server};
use super::url::Place;
use crate::ablation::{Step, skips};
use crate::store::{Moment, StoreError};

/// How long a failed attempt to connect answers for others, so that a storm of reads is not one of connections.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a request is sent again because its connection is no longer the right one.
const TRIES: usize = 4;

/// The way to the server.
pub(super) struct Link {
    pub(super) options: SharedStoreOptions,
    pub(super) keys: Keys,
    pub(super) order: Order,
    /// The server's clock as of the last answer. A mutex held for a copy.
    clock: parking_lot::Mutex<Option<Clock>>,
    connector: Connector,
    /// Read by every request, written when a connection was made.
    current: RwLock<Arc<Connection>>,
    /// Held over the making of a connection, so that one is made for all who wait. With the last failure.
    making: Mutex<Option<(Instant, ConnectError)>>,
}

/// One claimed connection.
pub(super) struct Connection {
    claimed: Claimed,
    /// Set when it is not to be used any more.
    lost: AtomicBool,
}

/// Why a request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Nothing was done.
    #[error("{0}")]
    Unavailable(String),
    /// It was sent, and nobody knows what became of it.
    #[error("{0}")]
    Unknown(String),
}

/// What became of a request on one connection.
enum Outcome {
    Done(Answer),
    /// Nothing was done: it is not the right connection any more.
    Elsewhere,
    /// Nothing was done: first has to be put in doubt what nobody vouched for in time.
    Overdue,
}

/// A request: a script with its keys and arguments, behind those that all scripts have.
pub(super) struct Call<'a> {
    script: &'static Script,
    keys: Vec<String>,
    args: Vec<Cow<'a, [u8]>>,
}

/// The answer of a script.
pub(super) struct Answer {
    /// The position at its end.
    pub(super) at: Mark,
    /// The position up to which the order had been applied when the request was sent; it was found to stand.
    pub(super) since: Mark,
    /// The server's time, in milliseconds.
    pub(super) time_ms: u64,
    /// What else it says.
    pub(super) rest: Reply,
}

impl<'a> Call<'a> {
    pub(super) fn of(script: &'static Script) -> Self {
        Self { script, keys: Vec::new(), args: Vec::new() }
    }

    pub(super) fn key(mut self, key: String) -> Self {
        self.keys.push(key);
        self
    }

    pub(super) fn push_key(&mut self, key: String) {
        self.keys.push(key);
    }

    pub(super) fn arg(mut self, arg: impl Into<Cow<'a, str>>) -> Self {
        self.push(arg);
        self
    }

    pub(super) fn number(self, number: u64) -> Self {
        self.arg(number.to_string())
    }

    pub(super) fn push(&mut self, arg: impl Into<Cow<'a, str>>) {
        self.args.push(match arg.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        });
    }

    pub(super) fn push_bytes(&mut self, arg: impl Into<Cow<'a, [u8]>>) {
        self.args.push(arg.into());
    }

    fn command(&self, keys: &Keys, connection: &Connection, known: &Known, with_text: bool) -> Cmd {
        let mut command = Cmd::new();
        match self.script.ablated() {
            Some(text) => command.arg("EVAL").arg(text),
            None if with_text => command.arg("EVAL").arg(&self.script.text),
            None => command.arg("EVALSHA").arg(&self.script.sha),
        };
        command.arg(keys.order.len() + self.keys.len()).arg(&keys.order).arg(&self.keys);
        command.arg(incarnation_text(connection.inc())).arg(random());
        for mark in [&known.applied, &known.seen] {
            command.arg(mark.at.position.0).arg(&*mark.nonce);
        }
        self.args.iter().for_each(|arg| {
            command.arg(&**arg);
        });
        command
    }
}

impl Connection {
    fn new(claimed: Claimed) -> Arc<Self> {
        Arc::new(Self { claimed, lost: AtomicBool::new(false) })
    }

    pub(super) fn server(&self) -> &Server {
        &self.claimed.server
    }

    pub(super) fn inc(&self) -> Incarnation {
        self.claimed.begun.at.inc
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Lets nobody use it any more. In the model: `shared::claim::cut_one`.
    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Sends commands at once, and returns an answer for each, which may be an error.
    async fn send_all(&self, commands: impl Iterator<Item = Cmd>) -> Result<Vec<Value>, RedisError> {
        let mut all = redis::Pipeline::new();
        commands.for_each(|command| {
            all.add_command(command);
        });
        let sent = self.claimed.wire.redis.clone().send_packed_commands(&all, 0, all.len()).await;
        if sent.as_ref().is_err_and(is_of_connection) {
            self.lose();
        }
        sent
    }
}

impl Link {
    /// Makes the first connection.
    pub(super) async fn open(options: SharedStoreOptions) -> Result<Self, ConnectError> {
        let alone = !matches!(options.url.place, Place::Cluster { .. }) && options.namespace == "default";
        if options.plain_keys.is_some() && !alone {
            let reason = "plain keys need a server that stands alone and the namespace `default`";
            return Err(ConnectError::Unfit(reason.to_owned()));
        }
        let connector = Connector::new(options.clone())?;
        let keys = Keys::new(&options.prefix, &options.namespace, &options.workspace);
        let claimed = claim(&connector, &options, &keys, None).await?;
        let order = Order::starting_at(claimed.begun.clone());
        let current = RwLock::new(Connection::new(claimed));
        let (clock, making) = (parking_lot::Mutex::default(), Mutex::default());
        Ok(Self { options, keys, order, clock, connector, current, making })
    }

    /// Returns what the server was like when the connection to it began.
    pub(super) fn server(&self) -> Server {
        self.current.read().server().clone()
    }

    /// Says why the server can not be asked now, where it was found that it can not.
    pub(super) fn failure(&self) -> Option<String> {
        let failure = self.making.try_lock().ok()?;
        failure.as_ref().map(|(_, error)| error.to_string())
    }

    /// Returns a connection that is not known to be lost, and makes one if there is none.
    async fn connection(&self) -> Result<Arc<Connection>, Failed> {
        let usable = || Some(self.current.read().clone()).filter(|connection| !connection.is_lost());
        if let Some(connection) = usable() {
            return Ok(connection);
        }
        let mut failure = self.making.lock().await;
        if let Some(connection) = usable() {
            return Ok(connection);
        }
        if let Some((at, error)) = &*failure
            && at.elapsed() < PAUSE
        {
            return Err(Failed::Unavailable(error.to_string()));
        }
        let current = self.current.read().clone();
        let made = if skips(Step::ConnectionClaimed) {
            let wire = self.connector.connect(Some(self.options.response_timeout)).await;
            wire.map(|wire| current.claimed.over(wire))
        } else {
            self.claimed_connection().await
        };
        match made {
            Ok(claimed) => {
                let connection = Connection::new(claimed);
                *self.current.write() = connection.clone();
                *failure = None;
                Ok(connection)
            }
            Err(error) => {
                let reason = error.to_string();
                *failure = Some((Instant::now(), error));
                Err(Failed::Unavailable(reason))
            }
        }
    }

    /// Makes a connection and claims it: the one that requests share, or one for somebody who needs one of their own.
    pub(super) async fn claimed_connection(&self) -> Result<Claimed, ConnectError> {
        for _ in 0..TRIES {
            let claimed = claim(&self.connector, &self.options, &self.keys, Some(&self.order)).await?;
            if self.order.claimed(&claimed.begun) {
                return Ok(claimed);
            }
        }
        let reason = "it went back again and again while it was claimed".to_owned();
        Err(ConnectError::Unreachable { address: self.options.url.to_string(), reason })
    }

    /// Makes a connection on which a request may wait as long as it likes.
    pub(super) async fn blocking_connection(&self) -> Result<super::connect::Wire, ConnectError> {
        self.connector.connect(None).await
    }

    /// Runs a script where it is proven to run in the incarnation that is believed.
    ///
    /// An answer that comes is of that incarnation, and its position has been noted. The request is sent again while
    /// it is certain that nothing was done.
    pub(super) async fn run(&self, call: &Call<'_>) -> Result<Answer, Failed> {
        for _ in 0..TRIES {
            let connection = self.connection().await?;
            match self.run_on(&connection, call).await? {
                Outcome::Done(answer) => return Ok(answer),
                Outcome::Overdue => {
                    self.run_on(&connection, &Call::of(&LAPSE)).await?;
                }
                Outcome::Elsewhere => connection.lose(),
            }
        }
        Err(Failed::Unavailable("the server changes again and again".to_owned()))
    }

    /// Runs a script that may be run again where nobody knows what became of it.
    pub(super) async fn ask(&self, call: &Call<'_>) -> Result<Answer, StoreError> {
        let answer = match self.run(call).await {
            Err(Failed::Unknown(_)) => self.run(call).await,
            answer => answer,
        };
        answer.map_err(|failed| self.unavailable(failed))
    }

    /// Returns the server's clock as of its last answer; where there was none yet, it is asked.
    pub(super) async fn clock(&self) -> Result<Clock, StoreError> {
        let seen = *self.clock.lock();
        match seen {
            Some(clock) => Ok(clock),
            None => {
                let time_ms = self.ask(&Call::of(&LAST)).await?.time_ms;
                Ok(Clock { server_ms: time_ms, at: Moment::now() })
            }
        }
    }

    pub(super) fn unavailable(&self, failed: Failed) -> StoreError {
        let (Failed::Unavailable(reason) | Failed::Unknown(reason)) = failed;
        StoreError::Unavailable { place: self.options.url.to_string(), reason }
    }

    pub(super) fn malformed(&self, e: &Malformed) -> StoreError {
        self.unavailable(Failed::Unavailable(e.to_string()))
    }

    /// Runs a script on one connection.
    /// In the model: `shared::scripts::prove`.
    async fn run_on(&self, connection: &Connection, call: &Call<'_>) -> Result<Outcome, Failed> {
        let known = self.order.known();
        if connection.inc() != known.seen.at.inc && !skips(Step::IncarnationCompared) {
            return Ok(Outcome::Elsewhere);
        }
        let with = |with_text| vec![call.command(&self.keys, connection, &known, with_text)];
        let name = call.script.name;
        let mut sent = self.proven(connection, with(false)).await.and_then(only);
        if sent.as_ref().is_err_and(|e| e.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript)) {
            sent = self.proven(connection, with(true)).await.and_then(only);
        }
        let value = self.sort(connection, name, sent)?;
        let read = || {
            let mut rest = Reply::open(value)?;
            match &*rest.text()? {
                "claim" => return Ok(Outcome::Elsewhere),
                "overdue" => return Ok(Outcome::Overdue),
                _ => {}
            }
            let at = Token { inc: connection.inc(), position: Position(rest.parse()?) };
            let at = Mark { at, nonce: rest.text()?.into() };
            Ok(Outcome::Done(Answer { at, since: known.applied.clone(), time_ms: rest.parse()?, rest }))
        };
        let outcome = read().map_err(|e: Malformed| Failed::Unknown(format!("{name}: {e}")))?;
        if let Outcome::Done(answer) = &outcome {
            self.order.note(&answer.at);
            *self.clock.lock() = Some(Clock { server_ms: answer.time_ms, at: Moment::now() });
        }
        Ok(outcome)
    }

    /// Sends commands, and behind them the question whether the server is still the one that was claimed.
    ///
    /// A connection can outlive a demotion and a promotion back, and the answer would be one of another history.
    /// In the model: `shared::scripts::counts`.
    async fn proven(&self, connection: &Connection, commands: Vec<Cmd>) -> Result<Vec<Value>, RedisError> {
        let mut sent = connection.send_all(commands.into_iter().chain([REPLICATION.clone()])).await?;
        let told = sent.pop().and_then(|value| value.extract_error().ok());
        if told.is_some_and(|told| connection.server().is_told_by(&told)) || skips(Step::WriteProof) {
            return Ok(sent);
        }
        connection.lose();
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())
    }

    /// Sends commands of which none changes the order, and returns their answers with the connection that gave them.
    pub(super) async fn step(
        &self,
        name: &'static str,
        commands: impl FnOnce(&Server) -> Vec<Cmd>,
    ) -> Result<(Arc<Connection>, Vec<Value>), Failed> {
        let connection = self.connection().await?;
        let sent = self.proven(&connection, commands(connection.server())).await;
        let sent = sent.and_then(|values| values.into_iter().map(Value::extract_error).collect());
        let values = self.sort(&connection, name, sent)?;
        Ok((connection, values))
    }

    /// Puts in doubt what nobody vouched for in time.
    pub(super) async fn lapse(&self) -> Result<(), Failed> {
        self.run(&Call::of(&LAPSE)).await.map(|_| ())
    }

    /// Tells errors that leave nothing behind from those that say nothing.
    fn sort<T>(&self, connection: &Connection, name: &str, sent: Result<T, RedisError>) -> Result<T, Failed> {
        let error = match sent {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if is_of_connection(&error) {
            connection.lose();
            return Err(Failed::Unknown(format!("the connection was lost during `{name}`: {error}")));
        }
        // Inside a script a Dragonfly loses the prefix of the code, so it is looked for in the whole text. They are
        // all answers to the first write, which is the proof, or come before the script runs.
        let text = format!("{} {error}", error.code().unwrap_or_default());
        let refused = |codes: &[&str]| codes.iter().any(|code| text.contains(code));
        if refused(&["READONLY", "MOVED", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"]) {
            connection.lose();
            return Err(Failed::Unavailable(format!("the server does not take `{name}`: {text}")));
        }
        if refused(&["OOM", "MISCONF", "NOREPLICAS", "NOPERM", "BUSY", "out of memory", "Out of memory"]) {
            return Err(Failed::Unavailable(format!("the server refuses `{name}`: {text}")));
        }
        Err(Failed::Unknown(format!("`{name}` failed: {text}")))
    }
}

/// Takes the one answer to one command.
fn only(mut values: Vec<Value>) -> Result<Value, RedisError> {
    values.pop().unwrap_or_default().extract_error()
}

fn is_of_connection(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
}
