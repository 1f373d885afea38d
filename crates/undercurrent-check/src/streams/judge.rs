//! Whether a history of streams is one that was promised.
//!
//! Two passes: what is known of each stream, by time; then each operation by itself, before what was known when it
//! began. Costs O(n log n).

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use super::history::{Answer, Id, Operation, Place, Stream, Time};

/// Something that should not have been answered so; `at` is its place in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A place has another event than somebody was told before.
    OtherEvent {
        /// The place in the history.
        at: usize,
        /// The place in the stream.
        place: Place,
    },
    /// An event is at two places.
    Twice {
        /// The place in the history.
        at: usize,
        /// The event.
        id: Id,
    },
    /// A reader was given an event that is not the one after the one before.
    Hole {
        /// The place in the history.
        at: usize,
        /// Which would have been next.
        next: Place,
        /// Which came.
        came: Place,
    },
    /// An event was appended at or before a place that had been told before it was asked for.
    OutOfOrder {
        /// The place in the history.
        at: usize,
        /// Where it was appended.
        place: Place,
        /// What was known.
        known: Place,
    },
    /// Somebody was told that a stream ends before a place that had been told before.
    Lost {
        /// The place in the history.
        at: usize,
        /// Where it ends, as was told.
        end: Place,
        /// What was known.
        known: Place,
    },
    /// What was said of the expected seq can not be.
    Unexpected {
        /// The place in the history.
        at: usize,
    },
    /// A reader was told that events are missing, which nobody had let go.
    Missed {
        /// The place in the history.
        at: usize,
    },
    /// An event was seen that nobody had asked for by then, or that was refused each time; or was said to be a repeat.
    FromNowhere {
        /// The place in the history.
        at: usize,
        /// The event.
        id: Id,
    },
}

impl Violation {
    /// Returns the place in the history of what is wrong.
    pub fn at(&self) -> usize {
        match self {
            Self::OtherEvent { at, .. }
            | Self::Twice { at, .. }
            | Self::Hole { at, .. }
            | Self::OutOfOrder { at, .. }
            | Self::Lost { at, .. }
            | Self::Unexpected { at }
            | Self::Missed { at }
            | Self::FromNowhere { at, .. } => *at,
        }
    }
}

/// What is known of one stream.
#[derive(Default)]
struct Known {
    /// The highest place of all that was told up to a time.
    told: Vec<(Time, Place)>,
    /// What stands at a place, as was said first.
    by_place: HashMap<Place, Id>,
    by_id: HashMap<Id, Tries>,
}

/// What is known of one event.
#[derive(Default)]
struct Tries {
    begun: Vec<Time>,
    /// Whether not all tries were refused.
    may_be: bool,
    place: Option<Place>,
}

impl Known {
    /// Sorts what was told and makes each moment carry the highest place so far. Before the first event there is nothing.
    fn settle(&mut self) {
        self.told.retain(|(_, place)| place.seq > 0);
        self.told.sort_unstable();
        let mut highest = Place::default();
        for (_, place) in &mut self.told {
            highest = highest.max(*place);
            *place = highest;
        }
    }

    fn before(&self, time: Time) -> Place {
        let count = self.told.partition_point(|(at, _)| *at < time);
        count.checked_sub(1).map_or(Place::default(), |last| self.told[last].1)
    }

    /// Says how many tries of an event had begun before a moment.
    fn tries_before(&self, id: Id, time: Time) -> usize {
        self.by_id.get(&id).map_or(0, |tries| tries.begun.iter().filter(|begin| **begin < time).count())
    }
}

/// Returns every violation, in the order of the history.
pub fn judge(history: &[Operation]) -> Vec<Violation> {
    let mut judge = Judge::of(history);
    for (at, operation) in history.iter().enumerate() {
        judge.check(at, operation);
    }
    judge.violations
}

#[derive(Default)]
struct Judge {
    streams: HashMap<Stream, Known>,
    /// Where each reader stands, and in which stream.
    readers: HashMap<u32, (Stream, Place)>,
    last_crash: Time,
    violations: Vec<Violation>,
}

impl Judge {
    /// Notes what was asked for, and when which place had been told.
    fn of(history: &[Operation]) -> Self {
        let mut judge = Self::default();
        let mut streams: HashMap<u32, Stream> = HashMap::new();
        for operation in history {
            match operation {
                Operation::Append { stream, id, answer, begin, end, .. } => {
                    let known = judge.streams.entry(*stream).or_default();
                    let tries = known.by_id.entry(*id).or_default();
                    tries.begun.push(*begin);
                    tries.may_be |= !matches!(answer, Answer::Refused | Answer::Elsewhere(_));
                    if let Answer::New(place) | Answer::Again(place) = answer {
                        known.told.push((*end, *place));
                        known.by_place.entry(*place).or_insert(*id);
                    }
                }
                Operation::Page { stream, saw, end, .. } => {
                    let known = judge.streams.entry(*stream).or_default();
                    known.told.extend(saw.last().map(|(place, _)| (*end, *place)));
                    saw.iter().for_each(|(place, id)| {
                        known.by_place.entry(*place).or_insert(*id);
                    });
                }
                Operation::Tail { stream, tail, end, .. } => {
                    judge.streams.entry(*stream).or_default().told.push((*end, *tail));
                }
                Operation::Opened { reader, stream, .. } => {
                    streams.insert(*reader, *stream);
                }
                Operation::Delivered { reader, place, id, at } => {
                    let stream = streams.get(reader).copied().unwrap_or_default();
                    let known = judge.streams.entry(stream).or_default();
                    known.told.push((*at, *place));
                    known.by_place.entry(*place).or_insert(*id);
                }
                Operation::Crashed { at } => judge.last_crash = *at,
                Operation::Reached { .. } | Operation::Missed { .. } => {}
            }
        }
        judge.streams.values_mut().for_each(Known::settle);
        judge
    }

    fn check(&mut self, at: usize, operation: &Operation) {
        match operation {
            Operation::Append { stream, id, expected, answer, begin, end } => {
                self.check_append(at, (*stream, *id), *expected, *answer, (*begin, *end));
            }
            Operation::Page { stream, after, saw, at_tail, begin, end } => {
                let mut last = *after;
                for (place, id) in saw {
                    // What stands first may begin any epoch.
                    self.follow(at, last.map_or(Place { seq: 1, ..*place }, Place::next), *place);
                    self.see(at, *stream, *place, *id, *end);
                    last = Some(*place);
                }
                if *at_tail {
                    self.check_end(at, *stream, last.unwrap_or_default(), *begin);
                }
            }
            Operation::Tail { stream, tail, begin, .. } => self.check_end(at, *stream, *tail, *begin),
            Operation::Opened { reader, stream, after } => {
                self.readers.insert(*reader, (*stream, *after));
            }
            Operation::Delivered { reader, place, id, at: time } => {
                let Some((stream, last)) = self.readers.get(reader).copied() else { return };
                self.readers.insert(*reader, (stream, *place));
                let next = if last == Place::default() { Place { seq: 1, ..*place } } else { last.next() };
                self.follow(at, next, *place);
                self.see(at, stream, *place, *id, *time);
            }
            Operation::Reached { reader, since } => {
                let Some((stream, place)) = self.readers.get(reader).copied() else { return };
                self.check_end(at, stream, place, *since);
            }
            Operation::Missed { .. } => self.violations.push(Violation::Missed { at }),
            Operation::Crashed { .. } => {}
        }
    }

    fn check_append(
        &mut self,
        at: usize,
        (stream, id): (Stream, Id),
        expected: Option<u64>,
        answer: Answer,
        (begin, end): (Time, Time),
    ) {
        let Some(stream_known) = self.streams.get(&stream) else { return };
        let known = stream_known.before(begin);
        match answer {
            Answer::New(place) => {
                if place <= known {
                    self.violations.push(Violation::OutOfOrder { at, place, known });
                }
                if expected.is_some_and(|expected| place.seq != expected + 1) {
                    self.violations.push(Violation::Unexpected { at });
                }
                self.see(at, stream, place, id, end);
            }
            Answer::Again(place) => {
                if stream_known.tries_before(id, end) < 2 {
                    self.violations.push(Violation::FromNowhere { at, id });
                }
                self.see(at, stream, place, id, end);
            }
            // It was there at some moment between begin and end, and streams only grow. By what the next crash undid, if
            // one came: then another event may stand there now.
            Answer::Elsewhere(Some(actual)) => {
                let there = stream_known.by_place.get(&Place { seq: actual, ..known });
                let there = there.filter(|_| self.last_crash < begin);
                let too_early = there.is_some_and(|id| stream_known.tries_before(*id, end) == 0);
                if expected == Some(actual) || actual < known.seq || too_early {
                    self.violations.push(Violation::Unexpected { at });
                }
            }
            Answer::Elsewhere(None) | Answer::Refused | Answer::Unknown => {}
        }
    }

    fn follow(&mut self, at: usize, next: Place, came: Place) {
        if came != next {
            self.violations.push(Violation::Hole { at, next, came });
        }
    }

    /// Somebody was told that a place has an event.
    fn see(&mut self, at: usize, stream: Stream, place: Place, id: Id, time: Time) {
        let known = self.streams.entry(stream).or_default();
        if *known.by_place.entry(place).or_insert(id) != id {
            self.violations.push(Violation::OtherEvent { at, place });
        }
        let asked_for = known.tries_before(id, time) > 0;
        let tries = known.by_id.entry(id).or_default();
        if *tries.place.get_or_insert(place) != place {
            self.violations.push(Violation::Twice { at, id });
        }
        if !asked_for || !tries.may_be {
            self.violations.push(Violation::FromNowhere { at, id });
        }
    }

    /// Somebody who began at a moment was told that a stream ends at a place.
    fn check_end(&mut self, at: usize, stream: Stream, end: Place, begin: Time) {
        let known = self.streams.get(&stream).map_or(Place::default(), |known| known.before(begin));
        if end < known {
            self.violations.push(Violation::Lost { at, end, known });
        }
    }
}
