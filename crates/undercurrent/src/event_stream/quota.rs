//! How much each producer may publish.
//!
//! Owns what each producer has used of late. Promises that a batch is let in whole or not at all, that one producer's
//! use never counts for another, and that what is refused says when to come again. The clock is the caller's.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Deserializer};
use undercurrent_types::{Event, EventSource, SourceKind, parse_bytes, parse_time};

/// How many producers are told apart. Those that come while so many have something to make up for share one allowance.
const PRODUCERS: usize = 4096;

/// What each producer, told by the `source` of its events, may publish. The default sets no limit.
///
/// In TOML it is the table `[quota]`: `events = 100`, `bytes = "1MiB"`, `burst = "10s"`; unknown fields are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaOptions {
    /// Events a second; `None` for any number.
    pub events: Option<NonZeroU64>,
    /// Bytes of events a second, attributes included; `None` for any number.
    #[serde(deserialize_with = "bytes_of")]
    pub bytes: Option<NonZeroU64>,
    /// How many seconds' worth may come at once after a silence.
    #[serde(deserialize_with = "time_of")]
    pub burst: Duration,
}

impl Default for QuotaOptions {
    fn default() -> Self {
        Self { events: None, bytes: None, burst: Duration::from_secs(10) }
    }
}

impl QuotaOptions {
    /// Says whether there is any limit.
    pub fn is_limited(&self) -> bool {
        self.events.is_some() || self.bytes.is_some()
    }
}

/// A refusal: who is over which limit, and when to come again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the producer `{producer}` is over its quota of {limit}: try again in {} ms", wait_ms(*.wait))]
pub struct OverQuota {
    /// The `source` of the events.
    pub producer: EventSource,
    /// The limit, for people.
    pub limit: String,
    /// After how long the same batch is let in, if the producer publishes nothing else.
    pub wait: Duration,
}

/// Returns a wait in whole milliseconds, never less than it is.
pub(super) fn wait_ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// The allowances of all producers of a namespace.
///
/// A mutex: held for a few look-ups by each publisher, and only where there are limits.
pub(super) struct Quota {
    options: QuotaOptions,
    producers: Mutex<Producers>,
}

/// What was used of late.
#[derive(Default)]
struct Producers {
    /// Those with something to make up for, and some that have none any more; at most [`PRODUCERS`].
    named: HashMap<EventSource, Used>,
    /// All that came when there was no room for another.
    others: Used,
    /// When the first of those that are named has made up for all: before that, looking for room finds none.
    room_at: Duration,
}

/// By when a producer has made up for what it published: a time before now is as good as now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    events: Duration,
    bytes: Duration,
}

/// What a producer wants to publish.
#[derive(Clone, Copy, Default)]
struct Wanted {
    events: u64,
    bytes: u64,
}

impl Quota {
    pub(super) fn new(options: QuotaOptions) -> Self {
        Self { options, producers: Mutex::default() }
    }

    /// Lets a batch in, or says who has to wait. `now` never goes back.
    ///
    /// What a machine or the engine itself reports is always let in: a file that has changed can not be put off.
    pub(super) fn admit<'a>(
        &self,
        events: impl IntoIterator<Item = &'a Event>,
        now: Duration,
    ) -> Result<(), OverQuota> {
        let mut wanted: HashMap<&EventSource, Wanted> = HashMap::new();
        for event in events {
            if !matches!(event.source.kind(), SourceKind::Local | SourceKind::System) {
                let one = wanted.entry(&event.source).or_default();
                one.events += 1;
                one.bytes += event.size() as u64;
            }
        }
        let mut producers = self.producers.lock();
        producers.make_room(wanted.len(), now);
        let mut room = PRODUCERS.saturating_sub(producers.named.len());
        let mut others = producers.others;
        let mut named = Vec::with_capacity(wanted.len());
        for (source, wanted) in wanted {
            match producers.named.get(source) {
                Some(used) => named.push((source, self.used(*used, source, wanted, now)?)),
                None if room > 0 => {
                    room -= 1;
                    named.push((source, self.used(Used::default(), source, wanted, now)?));
                }
                None => others = self.used(others, source, wanted, now)?,
            }
        }
        // Nothing is taken before all of the batch may have it.
        producers.others = others;
        producers.named.extend(named.into_iter().map(|(source, used)| (source.clone(), used)));
        Ok(())
    }

    fn used(
        &self,
        used: Used,
        source: &EventSource,
        wanted: Wanted,
        now: Duration,
    ) -> Result<Used, OverQuota> {
        let QuotaOptions { events, bytes, burst } = self.options;
        let refuse = |wait, rate: Option<NonZeroU64>, what| {
            let limit = format!(
                "{} {what} a second, {} ms of it at once",
                rate.map_or(0, NonZeroU64::get),
                burst.as_millis()
            );
            OverQuota { producer: source.clone(), limit, wait }
        };
        Ok(Used {
            events: after(used.events, wanted.events, events, burst, now)
                .map_err(|wait| refuse(wait, events, "events"))?,
            bytes: after(used.bytes, wanted.bytes, bytes, burst, now)
                .map_err(|wait| refuse(wait, bytes, "bytes"))?,
        })
    }
}

impl Producers {
    /// Forgets those that have made up for all, where there is no room: they begin anew with the same.
    fn make_room(&mut self, wanted: usize, now: Duration) {
        if self.named.len() + wanted <= PRODUCERS || now < self.room_at {
            return;
        }
        self.named.retain(|_, used| used.free_at() > now);
        self.room_at = self.named.values().map(Used::free_at).min().unwrap_or(now);
    }
}

impl Used {
    fn free_at(&self) -> Duration {
        self.events.max(self.bytes)
    }
}

/// Returns by when an amount is made up for, or after how long to come again: the generic cell rate algorithm.
///
/// What is larger than the burst is let in when there is nothing to make up for, so no batch is refused for ever.
fn after(
    free_at: Duration,
    amount: u64,
    per_second: Option<NonZeroU64>,
    burst: Duration,
    now: Duration,
) -> Result<Duration, Duration> {
    let Some(rate) = per_second else { return Ok(Duration::ZERO) };
    let nanos = u128::from(amount) * 1_000_000_000 / u128::from(rate.get());
    let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    let ends = free_at.max(now).saturating_add(takes);
    if free_at <= now || ends - now <= burst {
        return Ok(ends);
    }
    Err((ends - now - burst).min(free_at - now))
}

fn bytes_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = parse_bytes(&text).map_err(serde::de::Error::custom)?;
    match bytes.map(NonZeroU64::new) {
        Some(None) => {
            Err(serde::de::Error::custom("0 bytes a second let nothing in: say `none` for no limit"))
        }
        bytes => Ok(bytes.flatten()),
    }
}

fn time_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let refuse =
        || serde::de::Error::custom(format!("`{text}` is no time: expected one such as 500ms, 10s or 1m"));
    parse_time(&text).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limited(events: u64, burst: Duration) -> Quota {
        Quota::new(QuotaOptions { events: NonZeroU64::new(events), bytes: None, burst })
    }

    fn from(source: &str) -> Event {
        Event::new("message".parse().unwrap(), source.parse().unwrap())
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn who_is_over_the_quota_is_told_when_to_come_again_and_is_let_in_then() {
        let quota = limited(10, ms(1000));
        let batch = vec![from("agent/1"); 10];
        quota.admit(&batch, ms(0)).unwrap();
        let refused = quota.admit(&batch[..3], ms(50)).unwrap_err();
        assert_eq!(refused.wait, ms(250));
        assert_eq!(
            refused.to_string(),
            "the producer `agent/1` is over its quota of 10 events a second, 1000 ms of it at once: try again in 250 ms"
        );
        assert!(quota.admit(&batch[..3], ms(299)).is_err());
        quota.admit(&batch[..3], ms(300)).unwrap();
    }

    #[test]
    fn another_producer_is_not_refused() {
        let quota = limited(1, ms(1000));
        quota.admit([&from("agent/1")], ms(0)).unwrap();
        assert!(quota.admit([&from("agent/1")], ms(0)).is_err());
        quota.admit([&from("agent/2")], ms(0)).unwrap();
    }

    #[test]
    fn a_batch_is_let_in_whole_or_takes_nothing() {
        let quota = limited(1, ms(1000));
        quota.admit([&from("agent/1")], ms(0)).unwrap();
        let refused = quota.admit([&from("agent/2"), &from("agent/1")], ms(0)).unwrap_err();
        assert_eq!(refused.producer.as_str(), "agent/1");
        quota.admit([&from("agent/2")], ms(0)).unwrap();
    }

    #[test]
    fn a_batch_larger_than_the_burst_is_let_in_and_made_up_for() {
        let quota = limited(10, ms(1000));
        quota.admit(&vec![from("agent/1"); 100], ms(0)).unwrap();
        assert_eq!(quota.admit([&from("agent/1")], ms(0)).unwrap_err().wait, ms(9100));
        assert_eq!(quota.admit(&vec![from("agent/1"); 100], ms(0)).unwrap_err().wait, ms(10_000));
        quota.admit(&vec![from("agent/1"); 100], ms(10_000)).unwrap();
    }

    #[test]
    fn bytes_count_as_events_do() {
        let bytes = NonZeroU64::new(1000);
        let quota = Quota::new(QuotaOptions { events: None, bytes, burst: ms(1000) });
        let large = from("agent/1").with_json("x".repeat(900).as_str()).unwrap();
        quota.admit([&large], ms(0)).unwrap();
        let refused = quota.admit([&large], ms(0)).unwrap_err();
        assert!(refused.limit.starts_with("1000 bytes a second"), "{}", refused.limit);
    }

    #[test]
    fn what_can_not_be_put_off_is_never_refused() {
        let quota = limited(1, ms(0));
        for _ in 0..100 {
            quota.admit([&from("local/project"), &from("system")], ms(0)).unwrap();
        }
    }

    #[test]
    fn no_more_producers_than_stated_are_kept_and_those_beyond_share_one_allowance() {
        let quota = limited(1, ms(1000));
        for n in 0..PRODUCERS {
            quota.admit([&from(&format!("agent/{n}"))], ms(0)).unwrap();
        }
        quota.admit([&from("agent/late")], ms(0)).unwrap();
        assert!(quota.admit([&from("agent/later")], ms(0)).is_err());
        assert_eq!(quota.producers.lock().named.len(), PRODUCERS);
        // All have made up for theirs, and are forgotten.
        quota.admit([&from("agent/later")], ms(1000)).unwrap();
        assert_eq!(quota.producers.lock().named.len(), 1);
    }

    proptest! {
        #[test]
        fn no_producer_gets_more_than_its_rate_and_its_burst(
            steps in prop::collection::vec((0u64..400, 1usize..5), 1..200),
        ) {
            let quota = limited(10, ms(1000));
            let (mut now, mut admitted) = (0, 0);
            for (later, events) in steps {
                now += later;
                match quota.admit(&vec![from("agent/1"); events], ms(now)) {
                    Ok(()) => admitted += events as u64,
                    Err(OverQuota { wait, .. }) => {
                        // Coming when it was told is enough.
                        now += wait_ms(wait);
                        quota.admit(&vec![from("agent/1"); events], ms(now)).unwrap();
                        admitted += events as u64;
                    }
                }
                prop_assert!(admitted * 100 <= now + 1000, "{admitted} events in {now} ms");
            }
        }
    }
}
