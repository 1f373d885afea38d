//! Results on stdout.

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::failure::Failure;

/// Writes bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| closed(&error))
}

/// Writes a text and ends the line.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| closed(&error))
}

/// Writes a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string(value).map_err(|error| Failure::internal(format!("no JSON: {error}")))?;
    line(&text)
}

/// Writes a note for people, which is no result.
pub(crate) fn note(text: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn closed(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::StdoutClosed,
        _ => Failure::internal(format!("stdout can not be written: {error}")),
    }
}

/// Waits until nobody reads stdout any more, so that a command that waits for events ends with `| head`.
pub(crate) async fn until_closed() {
    let (closed_tx, closed_rx) = oneshot::channel();
    // A thread of its own, since the wait has no end when stdout is a file.
    let waiting = std::thread::Builder::new().name("stdout".to_owned()).spawn(move || {
        wait_for_hang_up();
        // Nobody waits any more when the command has ended.
        let _ = closed_tx.send(());
    });
    if waiting.is_err() || closed_rx.await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn wait_for_hang_up() {
    let stdout = io::stdout();
    loop {
        // Errors and hang-ups are reported without being asked for.
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut watched, None) {
            Ok(_) | Err(Errno::INTR) if watched[0].revents().is_empty() => {}
            _ => return,
        }
    }
}
