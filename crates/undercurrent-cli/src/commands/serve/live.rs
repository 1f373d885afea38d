//! Events as they happen, one line each.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use undercurrent::store::Record;

use crate::failure::Failure;
use crate::{line, output};

/// What prints every event from the moment it was made.
pub(super) struct Live {
    events_rx: broadcast::Receiver<Record>,
    json: bool,
}

impl Live {
    /// Keeps events from now on.
    pub(super) fn begin(events_rx: broadcast::Receiver<Record>, json: bool) -> Self {
        Self { events_rx, json }
    }

    /// Begins to print.
    ///
    /// On a thread of its own: a terminal that is stopped must not stop the daemon. Events that it does not take in
    /// time are counted and left out here; the log has them. The thread ends with the daemon, or when nobody reads.
    pub(super) fn start(self) {
        let printing = std::thread::Builder::new().name("live".to_owned()).spawn(move || self.print());
        if let Err(error) = printing {
            output::note(&format!("events are not shown: {error}"));
        }
    }

    fn print(mut self) {
        loop {
            let written = match self.events_rx.blocking_recv() {
                Ok(record) => self.print_one(&record),
                Err(RecvError::Lagged(count)) => self.skip(count),
                Err(RecvError::Closed) => return,
            };
            if written.is_err() {
                return;
            }
        }
    }

    fn print_one(&self, record: &Record) -> Result<(), Failure> {
        if self.json {
            return output::bytes(&[&record.json, b"\n".as_slice()].concat());
        }
        match record.event() {
            Ok(event) => output::line(&format!("{} {}", record.stream, line::of(&event))),
            Err(error) => output::line(&format!("(an event that can not be shown: {error})")),
        }
    }

    fn skip(&self, count: u64) -> Result<(), Failure> {
        let text = format!("({count} more events, not shown)");
        if self.json {
            output::note(&text);
            return Ok(());
        }
        output::line(&text)
    }
}
