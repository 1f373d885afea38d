//! One server: its life, and what a test does to it.

mod commands;
mod disk;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tempfile::TempDir;

use crate::choice;
use crate::error::ServerError;
use crate::port::Port;
use crate::process::{Process, ending};
use crate::program::{Flavour, Place, Program};
use crate::sentinels::Watch;
use crate::setup::Setup;
use crate::wait::until;

pub(crate) use commands::field_of;
pub use disk::Snapshot;

/// The password of the user `default` where a test asks for a user of its own; the kit rules the server with it.
const RULER: &str = "only-the-kit-knows";

/// How often a start is tried again because another program was quicker to take the port.
const STARTS: usize = 5;

/// A running server, or one that was killed and may be started again on the same port.
///
/// It is killed when this is dropped, with all that it kept. While the thread panics, the end of what it printed goes to
/// standard error then.
#[derive(Debug)]
pub struct Server {
    program: Program,
    setup: Setup,
    args: Vec<String>,
    port: Port,
    /// The port of the cluster's bus.
    bus: Option<Port>,
    /// The process of now. A plain lock: held to read or replace the pointer, never while waiting.
    process: Mutex<Arc<Process>>,
    /// Last, so that the processes end before their folder goes.
    folder: TempDir,
}

impl Server {
    /// Starts a server of the program that the environment names, and returns when it answers.
    ///
    /// # Errors
    ///
    /// Fails with [`NotApplicable`](crate::NotApplicable) where that program can not be set up so; otherwise where it is
    /// missing, ends by itself or does not answer in time, with what it printed.
    pub async fn start(setup: Setup) -> Result<Self, ServerError> {
        let program = choice::program(&setup.describe())?;
        Self::start_program(&program, &setup).await
    }

    /// Starts a server of a program.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_program(program: &Program, setup: &Setup) -> Result<Self, ServerError> {
        Self::start_as(program, setup, None).await
    }

    /// Starts a server, or a Sentinel that watches others.
    pub(crate) async fn start_as(
        program: &Program,
        setup: &Setup,
        watch: Option<&Watch>,
    ) -> Result<Self, ServerError> {
        let mut starts = 0;
        loop {
            starts += 1;
            let server = Self::spawn(program, setup, watch)?;
            match server.answers().await {
                Ok(()) => return Ok(server),
                Err(ServerError::Ended { output, .. })
                    if starts < STARTS && output.contains("Address already in use") => {}
                Err(ServerError::Ended { output, .. }) if lacks_tls(program, setup, &output) => {
                    return Err(program.not_applicable(&setup.describe(), "it was built without TLS"));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn spawn(program: &Program, setup: &Setup, watch: Option<&Watch>) -> Result<Self, ServerError> {
        let failed = "making the folder of a server";
        let folder = tempfile::Builder::new().prefix("uc-server-").tempdir();
        let folder = folder.map_err(ServerError::system(failed))?;
        let port = Port::take()?;
        let bus = if setup.cluster { Some(Port::take()?) } else { None };
        let at = |name: &str| folder.path().join(name);
        let (data, socket, users) = (at("data"), at("socket"), at("users.acl"));
        let bus_number = bus.as_ref().map_or(0, Port::number);
        let place =
            Place { port: port.number(), bus: bus_number, data: &data, socket: &socket, users: &users };
        std::fs::create_dir(&data).map_err(ServerError::system(failed))?;
        let args = match watch {
            None => program.args(setup, &place)?,
            Some(watch) => watch.args(&place)?,
        };
        if let Some(text) = acl(setup) {
            std::fs::write(&users, text).map_err(ServerError::system(failed))?;
        }
        let process = Process::start(program.path(), &args, folder.path(), at("output"))?;
        let process = Mutex::new(Arc::new(process));
        let (program, setup) = (program.clone(), setup.clone());
        Ok(Self { program, setup, args, port, bus, process, folder })
    }

    /// Returns what it is.
    pub fn flavour(&self) -> Flavour {
        self.program.flavour()
    }

    /// Returns its program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Returns its port on `127.0.0.1`, the same over restarts.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Returns the port of its cluster's bus.
    pub(crate) fn bus(&self) -> Option<u16> {
        self.bus.as_ref().map(Port::number)
    }

    /// Returns its process id of now.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// Returns the end of what it printed, over restarts.
    pub fn printed(&self) -> String {
        self.process().printed()
    }

    /// Returns its URL with the credentials that a user of it needs, at its own port.
    pub fn url(&self) -> String {
        self.url_at(self.port())
    }

    /// Returns its URL with another port: that of a proxy before it.
    pub fn url_at(&self, port: u16) -> String {
        format!("{}://{}127.0.0.1:{port}", self.scheme(), self.credentials())
    }

    /// Returns the URL of something that is found by way of others, with the credentials that a user of it needs.
    pub(crate) fn url_by(&self, way: &str, places: &[String]) -> String {
        format!("{}+{way}://{}{}", self.scheme(), self.credentials(), places.join(","))
    }

    fn scheme(&self) -> &'static str {
        if self.setup.tls.is_some() { "rediss" } else { "redis" }
    }

    /// Returns what stands before the host of a URL.
    fn credentials(&self) -> String {
        let (user, password) = match &self.setup.user {
            Some(user) => (user.name.as_str(), Some(&user.password)),
            None => ("", self.setup.password.as_ref()),
        };
        let word = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        password.map(|password| format!("{}:{}@", word(user), word(password))).unwrap_or_default()
    }

    /// Returns its unix socket, if the setup asked for one.
    pub fn socket(&self) -> Option<PathBuf> {
        self.setup.unix_socket.then(|| self.folder.path().join("socket"))
    }

    /// Ends it as a power cut would (SIGKILL); returns when it is gone. Does nothing to one that has ended.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// Says whether its process runs (or stands still).
    pub fn runs(&self) -> bool {
        self.process().ended().is_none()
    }

    /// Stops it where it is (SIGSTOP): connections stay open, new ones are taken by the kernel, nothing is answered.
    ///
    /// # Errors
    ///
    /// Fails where it has ended.
    pub async fn stop(&self) -> Result<(), ServerError> {
        self.process().stop().await
    }

    /// Lets a stopped server go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// Fails where it has ended.
    pub fn go_on(&self) -> Result<(), ServerError> {
        self.process().go_on()
    }

    /// Waits until this very process answers.
    ///
    /// # Errors
    ///
    /// Fails where it ends by itself, or does not answer in time.
    pub async fn answers(&self) -> Result<(), ServerError> {
        let process = self.process();
        let answer = until("a server answers", || async {
            if let Some(status) = process.ended() {
                return Ok(Err(ServerError::Ended { status: ending(status), output: process.printed() }));
            }
            let answer = self.command::<String>(&["PING"]).await.map_err(|e| e.to_string())?;
            if answer != "PONG" {
                return Err(format!("it answers `{answer}`"));
            }
            // Not a stranger on the port that this one could not take.
            let pid = self.info("server", "process_id").await.map_err(|e| e.to_string())?;
            match pid {
                Some(pid) if pid != process.pid().to_string() => Err(format!("process {pid} has the port")),
                _ => Ok(Ok(())),
            }
        });
        match answer.await {
            Ok(Ok(())) => self.admit().await,
            Ok(Err(error)) => Err(error),
            Err(ServerError::Late { what, patience, last, .. }) => {
                Err(ServerError::Late { what, patience, last, output: process.printed() })
            }
            Err(error) => Err(error),
        }
    }

    /// Tells a Dragonfly its user, which it does not read out of a file of Redis' form.
    async fn admit(&self) -> Result<(), ServerError> {
        match &self.setup.user {
            Some(user) if self.flavour() == Flavour::Dragonfly => {
                let password = format!(">{}", user.password);
                let mut words = vec!["ACL", "SETUSER", &user.name, "ON", &password];
                words.extend(user.rules.iter().map(String::as_str));
                self.command(&words).await
            }
            _ => Ok(()),
        }
    }

    fn process(&self) -> Arc<Process> {
        Arc::clone(&self.process.lock())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A closed standard error has nobody to tell.
            let _ =
                writeln!(std::io::stderr(), "{} on port {}:\n{}", self.program, self.port(), self.printed());
        }
    }
}

/// Returns the password with which the kit rules the server.
pub(crate) fn ruler(setup: &Setup) -> Option<&str> {
    let given = setup.password.as_deref();
    if setup.user.is_some() { Some(given.unwrap_or(RULER)) } else { given }
}

/// Returns the file of users: the kit's, who may do everything, and the test's.
fn acl(setup: &Setup) -> Option<String> {
    let user = setup.user.as_ref()?;
    let ruler = ruler(setup).unwrap_or(RULER);
    Some(format!(
        "user default on >{ruler} ~* &* +@all\nuser {} on >{} {}\n",
        user.name,
        user.password,
        user.rules.join(" ")
    ))
}

/// Says whether a server ended because it does not know the options of TLS.
fn lacks_tls(program: &Program, setup: &Setup, output: &str) -> bool {
    let refused = ["Bad directive", "Unsupported", "without TLS", "not supported", "Missing implement"];
    program.flavour() != Flavour::Dragonfly
        && setup.tls.is_some()
        && output.to_lowercase().contains("tls")
        && refused.iter().any(|words| output.contains(words))
}
