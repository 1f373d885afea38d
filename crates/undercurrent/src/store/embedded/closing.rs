//! Telling a thread that waits for its next turn that there is none.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Said once, and waited for by one thread.
#[derive(Default)]
pub(super) struct Closing {
    closing: Mutex<bool>,
    changed: Condvar,
}

impl Closing {
    pub(super) fn say(&self) {
        *self.closing.lock() = true;
        self.changed.notify_all();
    }

    /// Waits for so long, or until it is said; says whether it was.
    pub(super) fn wait(&self, at_most: Duration) -> bool {
        let mut closing = self.closing.lock();
        match Instant::now().checked_add(at_most) {
            Some(until) => {
                self.changed.wait_while_until(&mut closing, |closing| !*closing, until);
            }
            None => self.changed.wait_while(&mut closing, |closing| !*closing),
        }
        *closing
    }
}
