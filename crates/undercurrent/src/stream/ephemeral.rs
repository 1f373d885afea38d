//! Events that only live subscribers get: never on disk, without a seq, and moving no cursor.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use undercurrent_types::{Seq, StreamName};

use super::subscribe::{Delivery, SubscribeError, Subscription};
use crate::store::Record;

/// How many ephemeral events wait for a slow subscriber. It loses the oldest, and is told how many.
const WAITING: usize = 256;
/// How many subjects a subscriber remembers the last fact of.
const SUBJECTS: usize = 1024;

/// The live rings of ephemeral events, one for each stream that somebody follows so.
///
/// A mutex: held for one look-up by those who publish and those who begin to follow.
#[derive(Default)]
pub struct Ephemeral(Mutex<HashMap<StreamName, broadcast::Sender<Record>>>);

impl Ephemeral {
    /// Hands an event to those who follow its stream, and says how many they are. Its cursor is the last event that
    /// the stream had when it was published.
    pub fn publish(&self, event: Record) -> usize {
        let rings = self.0.lock();
        rings.get(&event.stream).and_then(|ring| ring.send(event).ok()).unwrap_or(0)
    }

    fn follow(&self, stream: &StreamName) -> broadcast::Receiver<Record> {
        let mut rings = self.0.lock();
        rings.retain(|_, ring| ring.receiver_count() > 0);
        rings.entry(stream.clone()).or_insert_with(|| broadcast::channel(WAITING).0).subscribe()
    }
}

/// What a subscriber of a stream and its ephemeral events is given next.
#[derive(Clone, Debug)]
pub enum Live {
    /// What the stream brings.
    Kept(Delivery),
    /// An ephemeral event, and how many before it were dropped because the subscriber was slow.
    Ephemeral(Record, u64),
}

/// One reader of a stream and, once it is live, of its ephemeral events.
///
/// An ephemeral event is left out once an event of the stream with the same `subject` has been given that was
/// published after it: the fact stands for what led to it.
pub struct LiveSubscription {
    kept: Subscription,
    passing: broadcast::Receiver<Record>,
    /// Whether the history has been given.
    is_live: bool,
    dropped: u64,
    /// The last event about each subject; at most [`SUBJECTS`], then forgotten together, which costs a late token.
    facts: HashMap<Box<str>, Seq>,
}

impl LiveSubscription {
    /// Adds ephemeral events to a subscription that has not been read yet.
    pub fn new(kept: Subscription, ephemeral: &Ephemeral) -> Self {
        let passing = ephemeral.follow(kept.stream());
        Self { kept, passing, is_live: false, dropped: 0, facts: HashMap::new() }
    }

    /// Waits for what comes next; what the stream brings goes first. Dropping the future loses nothing that is kept.
    ///
    /// # Errors
    ///
    /// Fails as [`Subscription::next`] does.
    pub async fn next(&mut self) -> Result<Live, SubscribeError> {
        loop {
            let passing = tokio::select! {
                biased;
                kept = self.kept.next() => {
                    let kept = kept?;
                    self.note(&kept);
                    return Ok(Live::Kept(kept));
                }
                passing = self.passing.recv(), if self.is_live => passing,
            };
            match passing {
                Ok(event) if self.is_superseded(&event) || !self.kept.wants(&event) => {}
                Ok(event) => return Ok(Live::Ephemeral(event, std::mem::take(&mut self.dropped))),
                Err(RecvError::Lagged(count)) => self.dropped += count,
                // The rings live as long as somebody follows them.
                Err(RecvError::Closed) => self.is_live = false,
            }
        }
    }

    fn note(&mut self, kept: &Delivery) {
        match kept {
            Delivery::Event(record) => {
                let Some(subject) = record.subject_text().filter(|_| self.is_live) else { return };
                if self.facts.len() >= SUBJECTS {
                    self.facts.clear();
                }
                self.facts.insert(subject.into(), record.cursor.seq);
            }
            Delivery::CaughtUp(_) => {
                self.passing = self.passing.resubscribe();
                self.is_live = true;
            }
            Delivery::Gap(_) => {}
        }
    }

    fn is_superseded(&self, event: &Record) -> bool {
        let fact = event.subject_text().and_then(|subject| self.facts.get(subject));
        fact.is_some_and(|seq| *seq > event.cursor.seq)
    }
}
