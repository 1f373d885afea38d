//! Where the events of a stream lie, how old they are and how many bytes: sparse, and bounded for each stream.

use undercurrent_types::Seq;

use super::codec::{Fields, Malformed, Out};
use super::segment::HEADER;
use crate::store::Retention;

/// How many marks a stream has at most, of 32 bytes. When there are more, every second one goes.
const MARKS: usize = 128;
/// How much log lies between two marks at first, or how much time.
const EVERY_BYTES: u64 = 64 << 10;
const EVERY_MS: u64 = 60 * 60 * 1000;
/// No log is so long that more marks or bytes could come together.
const MOST_HALVED: u32 = 32;
const MOST_BYTES: u64 = 1 << 60;

/// A commit with an event of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// The first event that it has of the stream.
    seq: Seq,
    offset: u64,
    time_ms: u64,
    /// The bytes of all events before it.
    bytes: u64,
}

/// Marks of a stream, by seq and so by offset. 4 KiB at most.
#[derive(Default)]
pub(super) struct Index {
    marks: Vec<Mark>,
    /// How often every second mark went.
    halved: u32,
    bytes: u64,
    /// The time of the last event.
    time_ms: u64,
}

/// A part of the log whose records were dropped: from the record that says so up to the next.
pub(super) type Dropped = std::ops::Range<u64>;

impl Index {
    /// Takes in an event, with its length.
    pub(super) fn note(&mut self, seq: Seq, offset: u64, time_ms: u64, len: usize) {
        let due = self.marks.last().is_none_or(|last| {
            offset - last.offset >= EVERY_BYTES << self.halved
                || time_ms.saturating_sub(last.time_ms) >= EVERY_MS << self.halved
        });
        if due {
            self.marks.push(Mark { seq, offset, time_ms, bytes: self.bytes });
        }
        if self.marks.len() > MARKS {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
            self.halved += 1;
        }
        self.bytes += len as u64;
        self.time_ms = time_ms;
    }

    /// Returns the events that it has places of.
    pub(super) fn places(&self) -> impl Iterator<Item = (Seq, u64)> {
        self.marks.iter().map(|mark| (mark.seq, mark.offset))
    }

    /// Returns the place of the last mark that does not begin behind a seq.
    pub(super) fn find(&self, seq: Seq) -> Option<u64> {
        let behind = self.marks.partition_point(|mark| mark.seq <= seq);
        Some(self.marks[behind.checked_sub(1)?].offset)
    }

    /// Returns the oldest event that is to be kept of those up to `tail`. By age and bytes that is a mark, so somewhat
    /// more may be kept than was asked for, and less of bytes where one step between marks has more.
    pub(super) fn oldest_kept(&self, retention: &Retention, tail: Seq, now_ms: u64) -> Seq {
        let by_count = retention.count.map(|count| Seq((tail.0 + 1).saturating_sub(count)));
        let by_bytes = retention.bytes.and_then(|limit| self.oldest_within(limit));
        let by_age = retention.age.and_then(|age| {
            let cutoff = now_ms.saturating_sub(age.as_millis() as u64);
            self.oldest_after(cutoff, tail)
        });
        by_count.max(by_bytes).max(by_age).unwrap_or(Seq(0)).min(tail.next())
    }

    fn oldest_within(&self, limit: u64) -> Option<Seq> {
        let fits = self.marks.iter().find(|mark| self.bytes - mark.bytes <= limit);
        fits.or(self.marks.last()).map(|mark| mark.seq)
    }

    /// Everything before a mark is at most as late as it.
    fn oldest_after(&self, cutoff: u64, tail: Seq) -> Option<Seq> {
        if !self.marks.is_empty() && self.time_ms < cutoff {
            return Some(tail.next());
        }
        let old = self.marks.partition_point(|mark| mark.time_ms < cutoff);
        Some(self.marks[old.checked_sub(1)?].seq)
    }

    /// Forgets the marks that no event from `oldest` on is found by.
    pub(super) fn trim(&mut self, oldest: Seq) {
        let passed = self.marks.partition_point(|mark| mark.seq <= oldest);
        self.marks.drain(..passed.saturating_sub(1));
    }

    /// Forgets that there was log before the segment at `base`: what is left begins there or later.
    pub(super) fn cut(&mut self, base: u64) {
        let gone = self.marks.partition_point(|mark| mark.offset < base);
        self.marks.drain(..gone.saturating_sub(1));
        if let Some(first) = self.marks.first_mut().filter(|first| first.offset < base) {
            first.offset = base + HEADER;
        }
    }

    pub(super) fn encode(&self, out: &mut Out) {
        out.u64s(&[u64::from(self.halved), self.bytes, self.time_ms, self.marks.len() as u64]);
        for mark in &self.marks {
            out.u64s(&[mark.seq.0, mark.offset, mark.time_ms, mark.bytes]);
        }
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let halved = u32::try_from(fields.u64()?).map_err(|_| Malformed)?;
        let (bytes, time_ms, count) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let mark = |_| {
            let (seq, offset) = (fields.seq()?, fields.u64()?);
            Ok(Mark { seq, offset, time_ms: fields.u64()?, bytes: fields.u64()? })
        };
        let marks = (0..count).map(mark).collect::<Result<Vec<_>, _>>()?;
        // What is added to and subtracted from can not be anything.
        let rises = |a: &Mark, b: &Mark| a.seq <= b.seq && a.offset <= b.offset && a.bytes <= b.bytes;
        let is_sound = halved < MOST_HALVED
            && bytes <= MOST_BYTES
            && marks.is_sorted_by(rises)
            && marks.last().is_none_or(|last| last.bytes <= bytes);
        if is_sound { Ok(Self { marks, halved, bytes, time_ms }) } else { Err(Malformed) }
    }

    /// Has marks of dropped records show to where it is said that they are.
    pub(super) fn drop_within(&mut self, dropped: &[Dropped]) {
        for mark in &mut self.marks {
            if let Some(range) = range_of(dropped, mark.offset) {
                mark.offset = range.start;
            }
        }
    }
}

/// Returns the range that an offset lies in; ranges rise.
pub(super) fn range_of(dropped: &[Dropped], offset: u64) -> Option<&Dropped> {
    let behind = dropped.partition_point(|range| range.start <= offset);
    dropped.get(behind.checked_sub(1)?).filter(|range| range.contains(&offset))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const STEP: u64 = EVERY_BYTES;

    /// One event of 100 bytes for each mark, a second apart.
    fn index(events: u64) -> Index {
        let mut index = Index::default();
        (1..=events).for_each(|n| index.note(Seq(n), n * STEP, n * 1000, 100));
        index
    }

    #[test]
    fn an_index_has_a_bound_and_finds_every_event() {
        let index = index(100_000);
        assert!(index.marks.len() <= MARKS && index.marks.len() > MARKS / 4);
        for seq in [1, 2, 77, 50_000, 99_999, 100_000] {
            let offset = index.find(Seq(seq)).unwrap();
            let stride = STEP << index.halved;
            assert!(offset <= seq * STEP && seq * STEP - offset <= stride, "{seq}");
        }
        assert_eq!(index.find(Seq(0)), None);
    }

    #[test]
    fn an_index_that_can_not_be_is_refused() {
        let reads = |numbers: &[u64]| {
            let mut out = Out::default();
            out.u64s(numbers);
            Index::decode(&mut Fields::of(&out.finish())).is_ok()
        };
        // How often it was halved, bytes, time, marks; then each mark: seq, offset, time, bytes before it.
        let sound = [0, 500, 9, 2, 1, 64, 9, 0, 5, 700, 9, 300];
        assert!(reads(&sound));
        for (place, number) in [(0, 64), (1, u64::MAX), (3, 3), (4, 6), (5, 800), (8, u64::MAX), (11, 501)] {
            let mut wrong = sound;
            wrong[place] = number;
            assert!(!reads(&wrong), "{number} at {place}");
        }
    }

    #[test]
    fn a_quiet_stream_has_marks_by_time() {
        let mut index = Index::default();
        (1..=3).for_each(|n| index.note(Seq(n), n, n * EVERY_MS, 1));
        assert_eq!(index.marks.len(), 3);
    }

    #[test]
    fn each_limit_of_a_retention_counts() {
        let index = index(10);
        let unlimited = Retention::UNLIMITED;
        let kept = |retention| index.oldest_kept(&retention, Seq(10), 10_000).0;
        assert_eq!(kept(unlimited), 0);
        assert_eq!(kept(Retention { count: Some(3), ..unlimited }), 8);
        assert_eq!(kept(Retention { count: Some(30), ..unlimited }), 0);
        assert_eq!(kept(Retention { bytes: Some(299), ..unlimited }), 9);
        assert_eq!(kept(Retention { bytes: Some(1000), ..unlimited }), 1);
        assert_eq!(kept(Retention { bytes: Some(1), ..unlimited }), 10);
        assert_eq!(kept(Retention { age: Some(Duration::from_secs(4)), ..unlimited }), 5);
        assert_eq!(
            index
                .oldest_kept(&Retention { age: Some(Duration::from_secs(4)), ..unlimited }, Seq(10), 99_000)
                .0,
            11
        );
        assert_eq!(
            kept(Retention { age: Some(Duration::from_secs(4)), bytes: Some(299), count: Some(9) }),
            9
        );
    }

    #[test]
    fn what_was_cut_and_dropped_is_found_from_where_it_begins_now() {
        let mut index = index(10);
        index.trim(Seq(4));
        assert_eq!((index.find(Seq(3)), index.find(Seq(4))), (None, Some(4 * STEP)));
        index.cut(4 * STEP + 8);
        assert_eq!((index.find(Seq(4)), index.find(Seq(5))), (Some(4 * STEP + 8 + HEADER), Some(5 * STEP)));
        index.drop_within(&[5 * STEP - 80..5 * STEP + 8, 7 * STEP..8 * STEP]);
        assert_eq!(index.find(Seq(5)), Some(5 * STEP - 80));
        assert_eq!((index.find(Seq(7)), index.find(Seq(8))), (Some(7 * STEP), Some(8 * STEP)));
    }
}
