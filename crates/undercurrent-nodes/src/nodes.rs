//! The processes: started, killed, stopped.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A node as a process of its own. It is killed when this is dropped, and ends by itself when the coordinator is gone.
pub(crate) struct Node {
    child: Child,
}

/// What a node is told when it is started.
#[derive(Clone)]
pub(crate) struct Start<'a> {
    pub(crate) seed: u64,
    /// How often it was started before.
    pub(crate) start: u64,
    pub(crate) node: usize,
    pub(crate) nodes: usize,
    pub(crate) place: (String, String),
    pub(crate) dir: &'a Path,
    pub(crate) disturbed: bool,
    pub(crate) without: Option<&'a str>,
}

impl Node {
    pub(crate) fn start(told: &Start<'_>) -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("node");
        let (node, nodes) = (told.node as u64, told.nodes as u64);
        let numbers = [("--seed", told.seed), ("--start", told.start), ("--node", node), ("--nodes", nodes)];
        for (name, number) in numbers {
            command.arg(name).arg(number.to_string());
        }
        command.arg("--url").arg(&told.place.0).arg("--prefix").arg(&told.place.1).arg("--dir").arg(told.dir);
        if told.disturbed {
            command.arg("--disturbed");
        }
        if let Some(step) = told.without {
            command.arg("--without").arg(step);
        }
        // Its panics are those of its loaders, which are meant; any other ends it, and that is found.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: command.spawn()? })
    }

    /// Says whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_some())
    }

    /// Kills it, and returns when it is gone: only then may another one take over what it writes.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it where it is, or lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        // It has not been waited for, so its id is nobody else's.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ends this process when the one that started it is gone, whatever becomes of that.
pub(crate) fn end_with_the_coordinator() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
}
