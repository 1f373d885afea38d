//! One inotify instance: what is watched, and the queue of what it says.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::{ErrorKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::signal::{CookieJar, Signal};

/// The watches of one inotify instance, which is one queue of the kernel: what is said is said in order.
///
/// Dropping it ends its thread, whereupon the queue of [`Signals`] ends.
pub(super) struct Watcher {
    inotify: Option<notify::INotifyWatcher>,
    flags: Arc<Flags>,
    #[cfg(test)]
    pub(super) faults: super::testing::Faults,
}

/// What the watcher says, in order.
pub(super) struct Signals {
    /// Bounded by [`super::LocalOptions::queue`], and filled from the watcher's thread, which must never wait: when it
    /// is full, what does not fit is dropped, `overflowed` is set, and everything is looked at anew.
    pub(super) rx: mpsc::Receiver<Signal>,
    flags: Arc<Flags>,
}

/// What the watcher's thread says beside the queue.
#[derive(Default)]
struct Flags {
    overflowed: AtomicBool,
    ended: AtomicBool,
}

/// Why a directory is not watched.
#[derive(Debug)]
pub(super) enum WatchError {
    /// It is not there any more.
    Gone,
    /// It can not be watched, with the reason.
    Refused(String),
}

impl Watcher {
    pub(super) fn new(queue: usize, cookies: CookieJar) -> notify::Result<(Self, Signals)> {
        let (tx, rx) = mpsc::channel(queue);
        let flags = Arc::new(Flags::default());
        let mut handler = Handler { tx, flags: flags.clone(), cookies };
        let inotify =
            notify::INotifyWatcher::new(move |event| handler.take(event), notify::Config::default())?;
        let signals = Signals { rx, flags: flags.clone() };
        let watcher = Self {
            inotify: Some(inotify),
            flags,
            #[cfg(test)]
            faults: super::testing::Faults::default(),
        };
        Ok((watcher, signals))
    }

    /// Watches the entries of a directory. Watching it again renews the watch.
    pub(super) fn watch(&mut self, dir: &Path) -> Result<(), WatchError> {
        #[cfg(test)]
        self.faults.check(dir)?;
        let inotify = self.running().map_err(|()| WatchError::Refused("the watcher has ended".into()))?;
        inotify.watch(dir, RecursiveMode::NonRecursive).map_err(|error| match error.kind {
            ErrorKind::PathNotFound => WatchError::Gone,
            ErrorKind::Io(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                WatchError::Gone
            }
            ErrorKind::Io(error) => WatchError::Refused(error.to_string()),
            ErrorKind::MaxFilesWatch => WatchError::Refused(
                "the limit of watches is reached: raise fs.inotify.max_user_watches".into(),
            ),
            other => WatchError::Refused(format!("{other:?}")),
        })
    }

    /// Ends a watch. Most are gone already, with what they watched.
    pub(super) fn unwatch(&mut self, dir: &Path) {
        if let Ok(inotify) = self.running() {
            // That it was not watched is what is wanted.
            let _ = inotify.unwatch(dir);
        }
    }

    /// Ends it before it is dropped: nothing is watched, and nothing can be.
    pub(super) fn close(&mut self) {
        match self.running() {
            Ok(_) => drop(self.inotify.take()),
            // Its drop would speak to a thread that is not there, and panic.
            Err(()) => std::mem::forget(self.inotify.take()),
        }
    }

    /// Returns the instance while its thread runs: notify panics when it is asked later.
    fn running(&mut self) -> Result<&mut notify::INotifyWatcher, ()> {
        if self.flags.ended.load(Ordering::Acquire) {
            return Err(());
        }
        self.inotify.as_mut().ok_or(())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.close();
    }
}

impl Signals {
    /// Says whether something was dropped because the queue was full.
    pub(super) fn has_overflowed(&self) -> bool {
        self.flags.overflowed.load(Ordering::Acquire)
    }
}

/// The end of the queue on the watcher's thread.
struct Handler {
    tx: mpsc::Sender<Signal>,
    flags: Arc<Flags>,
    cookies: CookieJar,
}

impl Handler {
    fn take(&mut self, event: notify::Result<notify::Event>) {
        #[cfg(test)]
        super::testing::kill_by_name(&event);
        #[cfg(test)]
        super::testing::hold_by_name(&event);
        // After a gap nothing that follows is of use.
        if self.flags.overflowed.load(Ordering::Acquire) {
            return;
        }
        let Some(signal) = Signal::read(event, &self.cookies) else { return };
        if self.tx.try_send(signal).is_err() {
            self.flags.overflowed.store(true, Ordering::Release);
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.flags.ended.store(true, Ordering::Release);
    }
}
