//! Telling a thread that waits for its next turn that it has come, or that there is none.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Waited for by one thread.
#[derive(Default)]
pub(super) struct Closing {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Default)]
struct Said {
    closing: bool,
    woken: bool,
    due: bool,
}

/// Why the waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Somebody woke the thread.
    Woken,
    /// The time has come, or somebody said so.
    Due,
    /// There is no next turn.
    Closing,
}

impl Closing {
    pub(super) fn say(&self) {
        self.said.lock().closing = true;
        self.changed.notify_all();
    }

    /// Has the thread take a turn now.
    pub(super) fn wake(&self) {
        self.said.lock().woken = true;
        self.changed.notify_all();
    }

    /// Has the thread do now what it does from time to time.
    pub(super) fn hurry(&self) {
        self.said.lock().due = true;
        self.changed.notify_all();
    }

    /// Waits until it is said, somebody wakes the thread, or a time has come; without one, for ever.
    pub(super) fn wait(&self, until: Option<Instant>) -> Turn {
        let mut said = self.said.lock();
        let waits = |said: &mut Said| !said.closing && !said.woken && !said.due;
        match until {
            Some(until) => {
                self.changed.wait_while_until(&mut said, waits, until);
            }
            None => self.changed.wait_while(&mut said, waits),
        }
        if said.closing {
            return Turn::Closing;
        }
        let woken = std::mem::take(&mut said.woken);
        if std::mem::take(&mut said.due) || !woken { Turn::Due } else { Turn::Woken }
    }
}
