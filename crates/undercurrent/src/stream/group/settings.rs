//! How a group is set up, and the bounds of it.

use serde::{Deserialize, Serialize};
use undercurrent_types::wire::{GroupOptions, GroupOrder};
use undercurrent_types::{GroupName, StreamName};

use super::error::GroupError;

/// The longest lease, delay and back-off, in milliseconds: 12 hours.
pub(super) const LONGEST_MS: u64 = 12 * 60 * 60 * 1000;
/// The shortest lease, in milliseconds.
const SHORTEST_LEASE_MS: u64 = 100;
/// The most events that a group may have open. Its row then has less than 1 MiB, whatever stands in it.
pub(super) const MOST_OPEN: u32 = 4096;
const MOST_DELIVERIES: u32 = 1000;

/// The settings of a group, all within their bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) stream: StreamName,
    /// Where it began, as it was said.
    pub(super) from: String,
    pub(super) order: GroupOrder,
    pub(super) lease_ms: u64,
    pub(super) max_deliveries: u32,
    pub(super) backoff_ms: u64,
    pub(super) max_backoff_ms: u64,
    pub(super) max_open: u32,
    pub(super) dead_letters: StreamName,
}

impl Settings {
    /// Returns the settings of a new group.
    pub(super) fn new(group: &GroupName, options: &GroupOptions) -> Result<Self, GroupError> {
        let no_stream = || GroupError::NoStream { group: group.clone() };
        let stream = options.stream.clone().ok_or_else(no_stream)?;
        let dead = || format!("{stream}/dead").parse();
        let dead_letters = options.dead_letters.clone().map_or_else(dead, Ok);
        let dead_letters =
            dead_letters.map_err(|error| GroupError::DeadLettersName { stream: stream.clone(), error })?;
        let settings = Self {
            stream,
            from: options.from.clone().unwrap_or_else(|| "beginning".to_owned()),
            order: options.order.unwrap_or_default(),
            lease_ms: 30_000,
            max_deliveries: 5,
            backoff_ms: 1000,
            max_backoff_ms: 60_000,
            max_open: 1024,
            dead_letters,
        };
        settings.with(options)
    }

    /// Returns the settings that a group has after these were named for it.
    pub(super) fn changed(&self, group: &GroupName, options: &GroupOptions) -> Result<Self, GroupError> {
        let fixed = [
            ("stream", self.stream.to_string(), options.stream.as_ref().map(ToString::to_string)),
            ("start", self.from.clone(), options.from.clone()),
            ("order", self.order.to_string(), options.order.map(|order| order.to_string())),
        ];
        for (setting, has, given) in fixed {
            if let Some(given) = given.filter(|given| *given != has) {
                return Err(GroupError::Fixed { group: group.clone(), setting, has, given });
            }
        }
        self.clone().with(options)
    }

    /// Sets what may be changed and is named, and checks all of it.
    fn with(self, options: &GroupOptions) -> Result<Self, GroupError> {
        let backoff_ms = options.backoff_ms.unwrap_or(self.backoff_ms);
        let settings = Self {
            lease_ms: options.lease_ms.unwrap_or(self.lease_ms),
            max_deliveries: options.max_deliveries.unwrap_or(self.max_deliveries),
            backoff_ms,
            max_backoff_ms: options.max_backoff_ms.unwrap_or(self.max_backoff_ms.max(backoff_ms)),
            max_open: options.max_open.unwrap_or(self.max_open),
            dead_letters: options.dead_letters.clone().unwrap_or(self.dead_letters),
            ..self
        };
        check_lease(settings.lease_ms)?;
        check("the number of deliveries", settings.max_deliveries, 1, MOST_DELIVERIES)?;
        check("the back-off in ms", backoff_ms, 0, LONGEST_MS)?;
        check("the longest back-off in ms", settings.max_backoff_ms, backoff_ms, LONGEST_MS)?;
        check("the number of open events", settings.max_open, 1, MOST_OPEN)?;
        if settings.dead_letters == settings.stream {
            return Err(GroupError::DeadLetters { stream: settings.stream });
        }
        Ok(settings)
    }

    /// Returns how long an event waits that was given so often, in milliseconds.
    pub(super) fn backoff(&self, deliveries: u32) -> u64 {
        let factor = 1u64.checked_shl(deliveries.saturating_sub(1)).unwrap_or(u64::MAX);
        self.backoff_ms.saturating_mul(factor).min(self.max_backoff_ms)
    }
}

/// Refuses a lease that is too short or too long.
pub(super) fn check_lease(ms: u64) -> Result<(), GroupError> {
    check("the lease in ms", ms, SHORTEST_LEASE_MS, LONGEST_MS)
}

/// Refuses a delay that is too long.
pub(super) fn check_delay(ms: u64) -> Result<(), GroupError> {
    check("the delay in ms", ms, 0, LONGEST_MS)
}

/// Refuses a number that is out of its bounds.
pub(super) fn check<N>(setting: &'static str, given: N, least: N, most: N) -> Result<(), GroupError>
where
    u64: From<N>,
{
    let (given, least, most) = (u64::from(given), u64::from(least), u64::from(most));
    if (least..=most).contains(&given) {
        return Ok(());
    }
    Err(GroupError::Setting { setting, given, least, most })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupName {
        "g".parse().unwrap()
    }

    fn on(stream: &str) -> GroupOptions {
        GroupOptions { stream: Some(stream.parse().unwrap()), ..GroupOptions::default() }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_with_the_bounds() {
        let refused = |change: fn(&mut GroupOptions)| {
            let mut options = on("s");
            change(&mut options);
            Settings::new(&group(), &options).unwrap_err().to_string()
        };
        assert!(refused(|o| o.lease_ms = Some(99)).contains("the lease in ms is 99: it has to be from 100"));
        assert!(refused(|o| o.lease_ms = Some(LONGEST_MS + 1)).contains("to 43200000"));
        assert!(refused(|o| o.max_deliveries = Some(0)).contains("from 1 to 1000"));
        assert!(refused(|o| o.max_open = Some(4097)).contains("from 1 to 4096"));
        assert!(refused(|o| (o.backoff_ms, o.max_backoff_ms) = (Some(9), Some(8))).contains("from 9"));
        assert!(refused(|o| o.dead_letters = Some("s".parse().unwrap())).contains("name another stream"));
        assert!(refused(|o| o.stream = None).contains("needs a stream"));
        assert!(refused(|o| o.stream = Some("a".repeat(255).parse().unwrap())).contains("dead letters"));
    }

    #[test]
    fn what_is_fixed_stays_and_the_rest_may_be_named_anew() {
        let made = Settings::new(&group(), &on("s")).unwrap();
        let longer = GroupOptions { lease_ms: Some(60_000), ..on("s") };
        let changed = made.changed(&group(), &longer).unwrap();
        assert_eq!((changed.lease_ms, changed.max_open), (60_000, 1024));
        assert!(made.changed(&group(), &on("t")).unwrap_err().to_string().contains("stream `s`, not `t`"));
        let now = GroupOptions { from: Some("now".to_owned()), ..GroupOptions::default() };
        assert!(matches!(made.changed(&group(), &now), Err(GroupError::Fixed { setting: "start", .. })));
    }

    #[test]
    fn the_back_off_doubles_up_to_its_limit() {
        let settings = Settings::new(&group(), &on("s")).unwrap();
        let waits: Vec<_> = [1, 2, 3, 7, 60, 1000].map(|n| settings.backoff(n)).into();
        assert_eq!(waits, [1000, 2000, 4000, 60_000, 60_000, 60_000]);
        let none = GroupOptions { backoff_ms: Some(0), ..GroupOptions::default() };
        assert_eq!(settings.changed(&group(), &none).unwrap().backoff(9), 0);
    }
}
