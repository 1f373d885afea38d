//! What waits for one subscriber, coalesced when it is slow.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::super::filter::Filter;
use crate::store::Record;

/// How many ephemeral events wait for a subscriber.
const WAITING: usize = 256;

/// The ephemeral events that wait for one subscriber; only those that it wants.
///
/// At most [`WAITING`]; [`Waiting::put`] says what goes when there are more. A mutex: held by a publisher and by the one
/// reader for a few steps. One permit of the notification is enough, since there is one reader and it looks first.
pub(super) struct Mailbox {
    filter: Filter,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

impl Mailbox {
    pub(super) fn new(filter: Filter) -> Self {
        Self { filter, waiting: Mutex::default(), arrived: Notify::new() }
    }

    /// Puts an event in, if it is wanted. Waits for nobody.
    pub(super) fn put(&self, event: &Record) {
        if self.filter.matches(event) {
            self.waiting.lock().put(event.clone(), WAITING);
            self.arrived.notify_one();
        }
    }

    /// Waits for the next event, and says how many were dropped before it. Dropping the future loses nothing.
    pub(super) async fn take(&self) -> (Record, u64) {
        loop {
            let next = self.waiting.lock().take();
            match next {
                Some(next) => return next,
                None => self.arrived.notified().await,
            }
        }
    }

    /// Forgets what waits.
    pub(super) fn empty(&self) {
        *self.waiting.lock() = Waiting::default();
    }
}

/// Events in order, each with how many were dropped that it has to tell of.
#[derive(Default)]
struct Waiting {
    events: VecDeque<(Record, u64)>,
    /// How many events of each subject wait; those without one are of one subject.
    of_subject: HashMap<Option<Bytes>, usize>,
}

impl Waiting {
    /// Adds an event. Where there is no room, the oldest that has a newer one of its subject goes, and the next one of
    /// its subject tells of it; where each has a subject of its own, the oldest goes, and the next event tells of it.
    fn put(&mut self, event: Record, most: usize) {
        *self.of_subject.entry(event.subject.clone()).or_default() += 1;
        self.events.push_back((event, 0));
        if self.events.len() <= most {
            return;
        }
        let repeated = |(event, _): &(Record, u64)| self.of_subject[&event.subject] > 1;
        let victim = self.events.iter().position(repeated).unwrap_or(0);
        let Some((gone, dropped)) = self.events.remove(victim) else { return };
        self.leaves(&gone);
        let heir = self.events.iter().skip(victim).position(|(event, _)| event.subject == gone.subject);
        let heir = heir.map_or(0, |behind| victim + behind);
        if let Some((_, tells)) = self.events.get_mut(heir) {
            *tells += dropped + 1;
        }
    }

    fn take(&mut self) -> Option<(Record, u64)> {
        let next = self.events.pop_front()?;
        self.leaves(&next.0);
        Some(next)
    }

    fn leaves(&mut self, event: &Record) {
        if let Some(count) = self.of_subject.get_mut(&event.subject) {
            *count -= 1;
            if *count == 0 {
                self.of_subject.remove(&event.subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use undercurrent_types::{Cursor, Epoch, Incarnation, Position, Seq, Token};

    fn event(id: usize, subject: &str) -> Record {
        Record {
            stream: "s".parse().unwrap(),
            cursor: Cursor { epoch: Epoch(1), seq: Seq(0) },
            token: Token { inc: Incarnation(1), position: Position(0) },
            json: Bytes::new(),
            event_type: Bytes::from_static(b"message"),
            source: Bytes::from_static(b"agent/7"),
            subject: (!subject.is_empty()).then(|| Bytes::copy_from_slice(subject.as_bytes())),
            id: Bytes::from(id.to_string()),
        }
    }

    fn given(waiting: &mut Waiting) -> Vec<(String, u64)> {
        std::iter::from_fn(|| waiting.take())
            .map(|(event, dropped)| (event.id_text().to_owned(), dropped))
            .collect()
    }

    #[test]
    fn what_is_repeated_goes_first_and_the_next_of_its_subject_tells() {
        let check = |subjects: &[&str], expected: &[(&str, u64)]| {
            let mut waiting = Waiting::default();
            subjects.iter().enumerate().for_each(|(id, subject)| waiting.put(event(id, subject), 3));
            let expected: Vec<_> =
                expected.iter().map(|(id, dropped)| ((*id).to_owned(), *dropped)).collect();
            assert_eq!(given(&mut waiting), expected, "{subjects:?}");
            assert!(waiting.of_subject.is_empty());
        };
        check(&["a", "b", "c"], &[("0", 0), ("1", 0), ("2", 0)]);
        // Progress: the last word about each stays, in its place.
        check(&["a", "b", "a", "b", "c"], &[("2", 1), ("3", 1), ("4", 0)]);
        check(&["a", "b", "b", "b", "b"], &[("0", 0), ("3", 2), ("4", 0)]);
        // Deltas of one text: the oldest go, and the text says how many are missing.
        check(&["a", "a", "a", "a", "a"], &[("2", 2), ("3", 0), ("4", 0)]);
        check(&["", "", "", "", "a"], &[("2", 2), ("3", 0), ("4", 0)]);
        // Each has its own: the oldest goes.
        check(&["a", "b", "c", "d", "e"], &[("2", 2), ("3", 0), ("4", 0)]);
    }

    proptest! {
        #[test]
        fn the_last_word_about_each_subject_stays_and_every_event_is_given_or_counted(
            subjects in prop::collection::vec(0usize..6, 0..60), most in 6usize..12,
        ) {
            let mut waiting = Waiting::default();
            for (id, subject) in subjects.iter().enumerate() {
                waiting.put(event(id, &format!("k{subject}")), most);
                prop_assert!(waiting.events.len() <= most);
            }
            let given = given(&mut waiting);
            let counted: u64 = given.iter().map(|(_, dropped)| dropped + 1).sum();
            prop_assert_eq!(counted, subjects.len() as u64);
            for subject in 0..6 {
                if let Some(last) = subjects.iter().rposition(|one| *one == subject) {
                    prop_assert!(given.iter().any(|(id, _)| *id == last.to_string()));
                }
            }
            let ids: Vec<usize> = given.iter().map(|(id, _)| id.parse().unwrap()).collect();
            prop_assert!(ids.is_sorted());
        }
    }
}
