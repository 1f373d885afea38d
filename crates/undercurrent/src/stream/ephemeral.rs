//! Events that only live subscribers get: never on disk, without a seq, and moving no cursor.

mod mailbox;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use undercurrent_types::{Seq, StreamName};

use self::mailbox::Mailbox;
use super::filter::Filter;
use super::subscribe::{Delivery, SubscribeError, Subscription};
use crate::store::Record;

/// How many subjects a subscriber remembers the last fact of.
const SUBJECTS: usize = 1024;

/// Those who follow streams with their ephemeral events; a stream is there while somebody does.
///
/// A mutex: held for a look-up by those who begin to follow, and by those who publish until each follower has the event
/// in its mailbox, so that all get events in one order.
#[derive(Default)]
pub struct Ephemeral(Mutex<HashMap<StreamName, Vec<Weak<Mailbox>>>>);

impl Ephemeral {
    /// Hands an event to those who follow its stream, and says how many they are. Its cursor is the last event that
    /// the stream had when it was published. Nobody is waited for.
    pub fn publish(&self, event: &Record) -> usize {
        let following = self.0.lock();
        let mailboxes = following.get(&event.stream).into_iter().flatten().filter_map(Weak::upgrade);
        mailboxes.map(|mailbox| mailbox.put(event)).count()
    }

    fn follow(&self, stream: &StreamName, filter: Filter) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::new(filter));
        let mut following = self.0.lock();
        following.retain(|_, mailboxes| {
            mailboxes.retain(|mailbox| mailbox.strong_count() > 0);
            !mailboxes.is_empty()
        });
        following.entry(stream.clone()).or_default().push(Arc::downgrade(&mailbox));
        mailbox
    }
}

/// What a subscriber of a stream and its ephemeral events is given next.
#[derive(Clone, Debug)]
pub enum Live {
    /// What the stream brings.
    Kept(Delivery),
    /// An ephemeral event, and how many before it were dropped because the subscriber was slow: those of its subject,
    /// or others of which none is left to say so.
    Ephemeral(Record, u64),
}

/// One reader of a stream and, once it is live, of its ephemeral events.
///
/// Of a reader that is slow 256 events wait. What is more is coalesced: the oldest that has a newer one of the same
/// subject goes, so the last word about each subject stays, and it says how many went before it. An ephemeral event is
/// left out once an event of the stream with the same `subject` has been given that was published after it: the fact
/// stands for what led to it.
pub struct LiveSubscription {
    kept: Subscription,
    passing: Arc<Mailbox>,
    /// Whether the history has been given.
    is_live: bool,
    /// The last event about each subject; at most [`SUBJECTS`], then forgotten together, which costs a late token.
    facts: HashMap<Box<str>, Seq>,
}

impl LiveSubscription {
    /// Adds ephemeral events to a subscription that has not been read yet.
    pub fn new(kept: Subscription, ephemeral: &Ephemeral) -> Self {
        let passing = ephemeral.follow(kept.stream(), kept.wanted().clone());
        Self { kept, passing, is_live: false, facts: HashMap::new() }
    }

    /// Waits for what comes next; what the stream brings goes first. Dropping the future loses nothing that is kept.
    ///
    /// # Errors
    ///
    /// Fails as [`Subscription::next`] does.
    pub async fn next(&mut self) -> Result<Live, SubscribeError> {
        loop {
            let (event, dropped) = tokio::select! {
                biased;
                kept = self.kept.next() => {
                    let kept = kept?;
                    self.note(&kept);
                    return Ok(Live::Kept(kept));
                }
                passing = self.passing.take(), if self.is_live => passing,
            };
            if !self.is_superseded(&event) {
                return Ok(Live::Ephemeral(event, dropped));
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
                self.passing.empty();
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
