//! One process that does not outlive its test.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use crate::error::ServerError;

/// How much of what a server printed goes into a message.
const SHOWN: usize = 4000;

/// A running program, or one that has ended. What it prints goes to a file.
///
/// It is killed when this is dropped, and by the kernel when this process dies in any other way.
#[derive(Debug)]
pub(crate) struct Process {
    /// A plain lock: nobody waits while holding it, and `Child` needs one caller at a time.
    child: Mutex<Child>,
    pid: Pid,
    output: PathBuf,
}

impl Process {
    /// Starts a program in a folder; what it prints is appended to a file.
    pub(crate) fn start(
        program: &Path,
        args: &[String],
        folder: &Path,
        output: PathBuf,
    ) -> Result<Self, ServerError> {
        let failed = "starting a server";
        let printed =
            File::options().create(true).append(true).open(&output).map_err(ServerError::system(failed))?;
        let printed_too = printed.try_clone().map_err(ServerError::system(failed))?;
        // `setpriv` asks the kernel for the signal, then becomes the program: the process id is the program's.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(args).current_dir(folder);
        command.stdin(Stdio::null()).stdout(printed).stderr(printed_too);
        let child = spawn(command).map_err(ServerError::system(failed))?;
        let pid = Pid::from_child(&child);
        Ok(Self { child: Mutex::new(child), pid, output })
    }

    /// Returns its process id, which is nobody else's as long as this exists.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Returns how it ended, if it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().try_wait().expect("a child of this process can be waited for")
    }

    /// Ends it without a chance to do anything, and returns when it is gone. Does nothing to one that has ended.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock();
        // Fails only for one that has ended.
        let _ = child.kill();
        // Short: a killed process does no more work of its own.
        let _ = child.wait();
    }

    /// Stops it where it is; its connections stay open. Returns when none of its threads runs any more.
    pub(crate) async fn stop(&self) -> Result<(), ServerError> {
        self.signal(Signal::STOP)?;
        crate::wait::until("a stopped server stands still", || async {
            let states = states(self.pid());
            let still = states.iter().all(|state| *state == 'T');
            if still { Ok(()) } else { Err(format!("its threads are {states:?}")) }
        })
        .await
    }

    /// Lets a stopped one go on.
    pub(crate) fn go_on(&self) -> Result<(), ServerError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        // Under the lock, and only while it has not been waited for: the id is still its own.
        let mut child = self.child.lock();
        if let Some(status) = child.try_wait().map_err(ServerError::system("looking at a server"))? {
            return Err(ServerError::Ended { status: ending(status), output: self.printed() });
        }
        kill_process(self.pid, signal)
            .map_err(|e| ServerError::System { doing: "sending a signal", cause: e.into() })
    }

    /// Returns the end of what it printed.
    pub(crate) fn printed(&self) -> String {
        let text = std::fs::read(&self.output).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(SHOWN)..]).into_owned();
        format!("--- {}\n{text}---", self.output.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Says how a process ended.
pub(crate) fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Returns the states of all threads of a process.
fn states(pid: u32) -> Vec<char> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let state = |stat: String| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    let stats =
        threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    stats.filter_map(state).collect()
}

/// A command to run, and where its child is wanted.
type Order = (Command, SyncSender<io::Result<Child>>);

/// Takes orders on a thread of its own. The kernel ends a child when the *thread* that made it ends, and threads of tests
/// and of runtimes do. A queue of one: whoever orders waits for the answer anyway.
static SPAWNER: LazyLock<SyncSender<Order>> = LazyLock::new(|| {
    let (orders_tx, orders_rx) = sync_channel::<Order>(1);
    let work = move || {
        while let Ok((mut command, answer_tx)) = orders_rx.recv() {
            // Fails only if nobody waits for it; then the child is dropped, and ends with this process.
            let _ = answer_tx.send(command.spawn());
        }
    };
    thread::Builder::new().name("servers".to_owned()).spawn(work).expect("the system has room for a thread");
    orders_tx
});

fn spawn(command: Command) -> io::Result<Child> {
    let (answer_tx, answer_rx) = sync_channel(1);
    SPAWNER.send((command, answer_tx)).expect("the thread lives as long as the process");
    answer_rx.recv().expect("the thread answers every order")
}
