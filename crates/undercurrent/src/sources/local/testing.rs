//! Faults that tests put in.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::watcher::WatchError;

/// Directories that can not be watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Arc<Mutex<HashSet<PathBuf>>>);

impl Faults {
    pub(super) fn refuse(&self, dir: &Path) {
        self.0.lock().insert(dir.to_owned());
    }

    pub(super) fn allow(&self, dir: &Path) {
        self.0.lock().remove(dir);
    }

    pub(super) fn check(&self, dir: &Path) -> Result<(), WatchError> {
        match self.0.lock().contains(dir) {
            true => Err(WatchError::Refused("the test says so".into())),
            false => Ok(()),
        }
    }
}

/// A file of this name ends the thread of the watcher that sees it.
pub(super) const KILLS_THE_WATCHER: &str = "kills-the-watcher";

/// Panics where a test wants the thread of the watcher to end.
pub(super) fn kill_by_name(event: &notify::Result<notify::Event>) {
    let paths = event.as_ref().map(|event| event.paths.as_slice()).unwrap_or_default();
    assert!(!paths.iter().any(|path| path.ends_with(KILLS_THE_WATCHER)), "a test ends this thread");
}

/// A file of this name holds the thread of the watcher that sees it, for as long as it is there.
pub(super) const HOLDS_THE_WATCHER: &str = "holds-the-watcher";

/// Waits where a test wants the thread of the watcher to hang.
pub(super) fn hold_by_name(event: &notify::Result<notify::Event>) {
    let paths = event.as_ref().map(|event| event.paths.as_slice()).unwrap_or_default();
    while paths.iter().any(|path| path.ends_with(HOLDS_THE_WATCHER) && path.exists()) {
        std::thread::yield_now();
    }
}
