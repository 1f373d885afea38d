//! What several processes append to one stream over a server, and are given of it: recorded, and judged.
//!
//! Promised is that within an epoch every place has one event and every event one place, for good; that a reader is given
//! one place after the other, across all ends of his process, or is told of a gap; and that what was acknowledged is there
//! as long as its epoch lasts. A server that may have lost anything begins another epoch.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use undercurrent::store::dragonfly::SharedStore;
use undercurrent::store::{Batch, NewEvent, ReadStreamError, Store};
use undercurrent::stream::{Delivery, Filter, Start, SubscribeError, Subscription};
use undercurrent::{Durability, StreamName};

use crate::history::{Lines, recorded};
use crate::site::options;
use crate::streams::door::{cursor, event, place};
use crate::streams::history::{Id, Place};

/// How long a member waits between two events, or before it tries again.
const PAUSE: Duration = Duration::from_millis(4);

/// What a member did. What one member does stands in its own order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// An event was acknowledged.
    Acknowledged {
        /// Where it stands.
        place: Place,
        /// Which it is.
        id: Id,
    },
    /// The reader was given an event.
    Delivered {
        /// Where it stands.
        place: Place,
        /// Which it is.
        id: Id,
    },
    /// The reader was told that events are missing before the next one.
    Gap,
}

/// Something that should not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A place has another event than somebody was told before.
    OtherEvent {
        /// The place.
        place: Place,
        /// What was said of it.
        ids: [Id; 2],
    },
    /// An event is at two places of one epoch.
    Twice {
        /// The event.
        id: Id,
        /// The places.
        places: [Place; 2],
    },
    /// A reader was given an event that is not the one after the one before, and was told of no gap.
    Hole {
        /// The place of the member among all.
        member: usize,
        /// Which would have been next.
        next: Place,
        /// Which came.
        came: Place,
    },
    /// What was acknowledged is not there, and the epoch is the same.
    Lost {
        /// The event.
        id: Id,
        /// Where it was.
        place: Place,
    },
}

/// What the stream has at the end: its tail, and its events.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// The place of the last event.
    pub tail: Place,
    /// All events.
    pub events: Vec<(Place, Id)>,
}

/// What is known of an event or a place, as was said first.
#[derive(Default)]
struct Known {
    by_place: HashMap<Place, Id>,
    by_id: HashMap<(u64, Id), Place>,
    violations: Vec<Violation>,
}

impl Known {
    fn see(&mut self, place: Place, id: Id) {
        let there = *self.by_place.entry(place).or_insert(id);
        if there != id {
            self.violations.push(Violation::OtherEvent { place, ids: [there, id] });
        }
        let before = *self.by_id.entry((place.epoch, id)).or_insert(place);
        if before != place {
            self.violations.push(Violation::Twice { id, places: [before, place] });
        }
    }
}

/// Returns every violation, of members whose reader each began at the beginning.
pub fn judge(members: &[Vec<Told>], end: &End) -> Vec<Violation> {
    let mut known = Known::default();
    end.events.iter().for_each(|(place, id)| known.see(*place, *id));
    let at_end: HashMap<Place, Id> = end.events.iter().copied().collect();
    for (member, told) in members.iter().enumerate() {
        let mut next: Option<Place> = None;
        for one in told {
            match *one {
                Told::Gap => next = None,
                Told::Delivered { place, id } => {
                    known.see(place, id);
                    if let Some(next) = next.filter(|next| *next != place) {
                        known.violations.push(Violation::Hole { member, next, came: place });
                    }
                    next = Some(place.next());
                }
                Told::Acknowledged { place, id } => {
                    known.see(place, id);
                    if place.epoch == end.tail.epoch && at_end.get(&place) != Some(&id) {
                        known.violations.push(Violation::Lost { id, place });
                    }
                }
            }
        }
    }
    known.violations
}

/// Reads what a member recorded in a folder, over all its processes; nothing where it did nothing yet.
///
/// # Errors
///
/// Fails when the file can not be read.
pub fn of_member(dir: &Path, member: usize) -> std::io::Result<Vec<Told>> {
    let path = file_of(dir, member);
    if path.exists() { recorded(&path) } else { Ok(Vec::new()) }
}

fn file_of(dir: &Path, member: usize) -> PathBuf {
    dir.join(format!("told-{member}"))
}

fn stream() -> StreamName {
    "said".parse().expect("it is the name of a stream")
}

/// A process that appends events to the stream and follows it.
#[derive(Clone)]
pub(crate) struct Member {
    store: Arc<dyn Store>,
    lines: Arc<Lines>,
    /// The first event that it is not known to have appended.
    next_id: Id,
    /// The last event that its reader was given.
    after: Option<Place>,
}

impl Member {
    /// Goes on where the processes before it ended, which may have been between any two steps.
    pub(crate) fn open(store: Arc<dyn Store>, dir: &Path, member: usize) -> std::io::Result<Self> {
        let (mut next_id, mut after) = ((member as Id) << 40, None);
        for told in of_member(dir, member)? {
            match told {
                Told::Acknowledged { id, .. } => next_id = id + 1,
                Told::Delivered { place, .. } => after = Some(place),
                Told::Gap => after = None,
            }
        }
        let lines = Arc::new(Lines::in_file(&file_of(dir, member))?);
        Ok(Self { store, lines, next_id, after })
    }

    /// Appends one event after the other, each until it is acknowledged: whether it is there already says its id.
    pub(crate) async fn say(mut self) {
        loop {
            let id = self.next_id;
            // Every server can keep that promise, also one that has lost its replica.
            let (event, durability) = (event(id), Durability::Memory);
            let new = NewEvent { stream: stream(), event, durability, expected_seq: None, latest: None };
            let published = self.store.publish(Batch { events: vec![new], ..Batch::default() }).await;
            if let Ok(published) = published {
                self.lines.write(&Told::Acknowledged { place: place(published.events[0].cursor), id });
                self.next_id += 1;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows the stream, across all that ends a subscription.
    pub(crate) async fn follow(mut self) {
        loop {
            let start = self.after.map_or(Start::Beginning, |after| Start::After(cursor(after)));
            match Subscription::open(self.store.clone(), stream(), start, Filter::default()).await {
                Ok(followed) => self.follow_one(followed).await,
                Err(SubscribeError::Read(ReadStreamError::Gone { .. })) => self.miss(),
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow_one(&mut self, mut followed: Subscription) {
        while let Ok(delivery) = followed.next().await {
            match delivery {
                Delivery::Event(record) => {
                    let place = place(record.cursor);
                    let id = record.id_text().parse().expect("a member made it");
                    self.lines.write(&Told::Delivered { place, id });
                    self.after = Some(place);
                }
                Delivery::Gap(_) => self.miss(),
                Delivery::CaughtUp(_) => {}
            }
        }
    }

    fn miss(&mut self) {
        self.lines.write(&Told::Gap);
        self.after = None;
    }
}

/// Reads the whole stream, once all members have ended.
///
/// # Errors
///
/// Fails with the last reason where that is not possible in time.
pub async fn end(
    place_of_server: (String, String),
    seed: u64,
    patience: Duration,
) -> Result<End, Box<dyn Error>> {
    let until = Instant::now() + patience;
    loop {
        match try_end(place_of_server.clone(), seed).await {
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
            Ok(end) => return Ok(end),
        }
    }
}

async fn try_end(place_of_server: (String, String), seed: u64) -> Result<End, Box<dyn Error>> {
    let store = SharedStore::open(options(place_of_server, seed, true)).await?;
    let (mut events, mut after) = (Vec::new(), None);
    loop {
        let page = store.read_stream(&stream(), after, 1000).await?;
        let id = |text: &str| text.parse().expect("a member made it");
        events.extend(page.records.iter().map(|record| (place(record.cursor), id(record.id_text()))));
        after = Some(page.next);
        if page.at_tail {
            return Ok(End { tail: place(store.tail(&stream()).await?), events });
        }
    }
}
