//! `import`: what `export` printed, published again.

mod known;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use undercurrent_client::Client;
use undercurrent_types::{ErrorCode, Event, EventError, StreamName};

use self::known::Known;
use super::publish::lines;
use crate::args::Import;
use crate::failure::Failure;
use crate::output;

/// What was done.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Imported {
    /// How many events were published.
    published: u64,
    /// How many were there already.
    known: u64,
}

/// Publishes every line in order. What stands before a bad line is published, so that it can be mended.
pub(crate) async fn run(args: &Import, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let mut lines_rx = lines::read(open(&args.file)?)?;
    let mut import = Importing {
        client,
        known: Known::new(client),
        events: Vec::new(),
        numbers: Vec::new(),
        done: Imported::default(),
    };
    let mut bytes = 0;
    while let Some((number, line)) = lines_rx.recv().await {
        let line = line.map_err(|error| Failure::usage(format!("the lines can not be read: {error}")))?;
        bytes += line.len();
        if let Err(failure) = import.take(number, &line).await {
            import.send().await?;
            return Err(import.blame(failure, number));
        }
        if import.events.len() >= lines::AT_ONCE || bytes >= lines::BYTES {
            import.send().await?;
            bytes = 0;
        }
    }
    import.send().await?;
    let Imported { published, known } = import.done;
    if json {
        output::json(&import.done)?;
    } else {
        output::line(&format!("{published} events published, {known} were there already"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn open(file: &Path) -> Result<Box<dyn io::Read + Send>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let opened = std::fs::File::open(file);
    let refuse = |error| Failure::usage(format!("`{}` can not be read: {error}", file.display()));
    Ok(Box::new(opened.map_err(refuse)?))
}

struct Importing<'a> {
    client: &'a Client,
    known: Known<'a>,
    /// What is sent together, all or none.
    events: Vec<(StreamName, Event)>,
    /// The line of each.
    numbers: Vec<usize>,
    done: Imported,
}

impl Importing<'_> {
    async fn take(&mut self, number: usize, line: &[u8]) -> Result<(), Failure> {
        let (stream, event) = Event::from_json_in_stream(line).map_err(|error| refused(&error))?;
        if self.known.has(&stream, &event).await? {
            self.done.known += 1;
        } else {
            self.events.push((stream, event));
            self.numbers.push(number);
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Failure> {
        if self.events.is_empty() {
            return Ok(());
        }
        let sent = self.client.publish_in_order(&self.events, Duration::MAX).await;
        let acks =
            sent.map_err(|error| match error.body().index.and_then(|index| self.numbers.get(index)) {
                Some(&number) => self.blame(error.into(), number),
                None => self.again(error.into()),
            })?;
        let known = acks.iter().filter(|ack| ack.duplicate).count() as u64;
        self.done.known += known;
        self.done.published += acks.len() as u64 - known;
        self.events.clear();
        self.numbers.clear();
        Ok(())
    }

    /// Says which line is at fault, and what has become of those before it.
    fn blame(&self, failure: Failure, number: usize) -> Failure {
        failure.hint(format!("this is line {number}; {}", self.so_far()))
    }

    fn again(&self, failure: Failure) -> Failure {
        failure.hint(self.so_far())
    }

    fn so_far(&self) -> String {
        let Imported { published, known } = self.done;
        format!(
            "{published} events are published and {known} were there; import again, and they are passed over"
        )
    }
}

fn refused(error: &EventError) -> Failure {
    let code = if error.is_over_limit() { ErrorCode::TooLarge } else { ErrorCode::InvalidEvent };
    Failure::new(code, error.to_string())
}
