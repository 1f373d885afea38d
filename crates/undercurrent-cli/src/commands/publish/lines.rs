//! `publish --lines`: the lines of stdin in order, as many at once as are there.

use std::io::{self, BufRead};
use std::time::Duration;

use tokio::sync::mpsc;
use undercurrent_client::{Client, PublishOptions};
use undercurrent_types::{Data, Event};

use super::{blank, print, refused};
use crate::args::Publish;
use crate::failure::Failure;

/// How many lines are read ahead of the daemon, and the most that are sent at once; a writer that is faster waits.
pub(in crate::commands) const AT_ONCE: usize = 256;
/// A batch that has reached this many bytes is sent.
pub(in crate::commands) const BYTES: usize = 1 << 20;

/// A line with its number, from 1.
pub(in crate::commands) type Line = (usize, io::Result<Vec<u8>>);

/// Publishes every line. What stands before a bad line is published, so that it can be mended and the rest sent.
pub(super) async fn run(args: &Publish, client: &Client, json: bool) -> Result<(), Failure> {
    let mut lines_rx = read(io::stdin())?;
    let mut batch = Batch { args, client, json, events: Vec::new(), numbers: Vec::new(), published: 0 };
    while let Some(first) = lines_rx.recv().await {
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some((number, line)) = next.take() {
            let line = line.map_err(|error| Failure::usage(format!("stdin can not be read: {error}")))?;
            bytes += line.len();
            match event_of(args, &line) {
                Ok(event) => batch.add(number, event),
                Err(failure) => {
                    batch.send().await?;
                    return Err(batch.blame(failure, number));
                }
            }
            if batch.events.len() < AT_ONCE && bytes < BYTES {
                next = lines_rx.try_recv().ok();
            }
        }
        batch.send().await?;
    }
    Ok(())
}

/// Events that are sent together, all or none.
struct Batch<'a> {
    args: &'a Publish,
    client: &'a Client,
    json: bool,
    events: Vec<Event>,
    /// The line of each event.
    numbers: Vec<usize>,
    published: usize,
}

impl Batch<'_> {
    fn add(&mut self, number: usize, event: Event) {
        self.events.push(event);
        self.numbers.push(number);
    }

    async fn send(&mut self) -> Result<(), Failure> {
        if self.events.is_empty() {
            return Ok(());
        }
        let options = PublishOptions {
            durability: self.args.durability,
            // Whoever writes the lines waits in turn.
            patience: Duration::MAX,
            ..PublishOptions::default()
        };
        let acks = self.client.publish_batch(&self.args.stream, &self.events, options).await;
        let acks =
            acks.map_err(|error| match error.body().index.and_then(|index| self.numbers.get(index)) {
                Some(&number) => self.blame(error.into(), number),
                None => error.into(),
            })?;
        self.published += acks.len();
        self.events.clear();
        self.numbers.clear();
        acks.iter().try_for_each(|ack| print(ack, self.json))
    }

    /// Says which line is at fault, and what has become of those before it.
    fn blame(&self, failure: Failure, number: usize) -> Failure {
        failure.hint(format!(
            "this is line {number} of stdin; {} events of the lines before it are published",
            self.published
        ))
    }
}

fn event_of(args: &Publish, line: &[u8]) -> Result<Event, Failure> {
    let event = match &args.ty {
        Some(ty) => {
            blank(args, ty.clone())?.with_data(Data::from_json(line).map_err(|error| refused(&error))?)
        }
        None => Event::from_json(line).map_err(|error| refused(&error))?,
    };
    event.validate().map_err(|error| refused(&error))?;
    Ok(event)
}

/// Reads lines on a thread of its own, since it may have to wait; empty lines are passed over.
pub(in crate::commands) fn read(
    from: impl io::Read + Send + 'static,
) -> Result<mpsc::Receiver<Line>, Failure> {
    let (lines_tx, lines_rx) = mpsc::channel(AT_ONCE);
    let read = move || {
        for (index, line) in io::BufReader::new(from).split(b'\n').enumerate() {
            let is_empty = line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty());
            if !is_empty && lines_tx.blocking_send((index + 1, line)).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("lines".to_owned()).spawn(read);
    thread.map_err(|error| Failure::internal(format!("no thread for the lines: {error}")))?;
    Ok(lines_rx)
}
