//! A user with a home, a project and the binary.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The longest that any condition is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A user of the machine: what one leaves behind, another does not see.
pub(crate) struct User {
    home: TempDir,
    /// A project, with all links followed.
    pub(crate) project: PathBuf,
}

impl User {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let project = home.path().canonicalize().unwrap().join("project");
        fs::create_dir(&project).unwrap();
        Self { home, project }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn write(&self, relative: &str, bytes: impl AsRef<[u8]>) {
        let path = self.project.join(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Prepares a command in the project, without anything from outside.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_undercurrent"));
        command.args(words).current_dir(&self.project).env_clear().stdin(Stdio::null());
        command.env("HOME", self.home()).env("XDG_STATE_HOME", self.home().join("state")).env("USER", "me");
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words).output().unwrap())
    }

    pub(crate) fn run_with_input(&self, words: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let ran = Ran::of(child.wait_with_output().unwrap());
        writing.join().unwrap();
        ran
    }

    /// Starts a daemon of the project on a port of its own.
    pub(crate) fn serve(&self) -> Running {
        self.serve_with(&[".", "--listen", "127.0.0.1:0"])
    }

    pub(crate) fn serve_with(&self, words: &[&str]) -> Running {
        let mut daemon = self.start(&[&["serve"], words].concat());
        let line = daemon.until("undercurrent");
        daemon.url = line.split_whitespace().last().unwrap().to_owned();
        // It is found from its directory once it has said what to try.
        daemon.until("try in another terminal:");
        daemon
    }

    /// Starts a command that goes on.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        Running::start(self.command(words))
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let Output { status, stdout, stderr } = output;
        Self {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
            bytes: stdout,
        }
    }

    /// Returns the JSON of a command that was done.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the lines of a command that was done.
    pub(crate) fn lines(&self) -> Vec<&str> {
        assert_eq!(self.code, 0, "{self:?}");
        self.out.lines().collect()
    }

    #[track_caller]
    pub(crate) fn failed(&self, code: i32, message: &str) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        assert!(self.err.contains(message), "{self:?}");
    }
}

/// A process that goes on; ended when it is dropped.
pub(crate) struct Running {
    pub(crate) url: String,
    child: Child,
    out_rx: Receiver<String>,
    err_rx: Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out_rx = lines_of(child.stdout.take().unwrap());
        let err_rx = lines_of(child.stderr.take().unwrap());
        Self { url: String::new(), child, out_rx, err_rx }
    }

    /// Waits for a line of stdout that begins so.
    pub(crate) fn until(&mut self, beginning: &str) -> String {
        wait_for(&self.out_rx, |line| line.starts_with(beginning)).unwrap_or_else(|| {
            panic!(
                "no line begins with `{beginning}`; stderr: {:?}",
                self.err_rx.try_iter().collect::<Vec<_>>()
            )
        })
    }

    /// Waits for a line of stdout that contains this.
    pub(crate) fn until_event(&mut self, part: &str) -> String {
        wait_for(&self.out_rx, |line| line.contains(part))
            .unwrap_or_else(|| panic!("nothing was said of `{part}`"))
    }

    /// Waits for a line of stderr that contains this.
    pub(crate) fn until_told(&mut self, part: &str) -> String {
        wait_for(&self.err_rx, |line| line.contains(part))
            .unwrap_or_else(|| panic!("nothing told of `{part}`"))
    }

    /// Waits for the next line of stdout; `None` at its end.
    pub(crate) fn line(&mut self) -> Option<String> {
        wait_for(&self.out_rx, |_| true)
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as an operator does, and returns the exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        self.send(Signal::TERM);
        self.wait()
    }

    /// Ends it as an operator does, and returns all that it said and nobody has asked for, on both streams.
    pub(crate) fn end_and_tell(mut self) -> String {
        self.send(Signal::TERM);
        let mut said = Vec::new();
        for lines_rx in [&self.err_rx, &self.out_rx] {
            while let Some(line) = wait_for(lines_rx, |_| true) {
                said.push(line);
            }
        }
        self.child.wait().unwrap();
        said.join("\n")
    }

    /// Ends it as a crash does.
    pub(crate) fn crash(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended by itself, and returns the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        // Both streams end with the process.
        while wait_for(&self.out_rx, |_| true).is_some() {}
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines on a thread, so that a wait for one can have an end.
fn lines_of(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (lines_tx, lines_rx) = sync_channel(1 << 16);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            if line.is_err() || lines_tx.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    lines_rx
}

fn wait_for(lines_rx: &Receiver<String>, is_it: impl Fn(&str) -> bool) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        match lines_rx.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if is_it(&line) => return Some(line),
            Ok(_) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("it did not happen in time"),
        }
    }
}

/// A command whose ends are held by the test.
pub(crate) struct Piped {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: BufReader<ChildStdout>,
}

impl Piped {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }
}

/// Writes a path as the text of an argument.
pub(crate) fn text(path: impl AsRef<OsStr>) -> String {
    path.as_ref().to_str().unwrap().to_owned()
}
