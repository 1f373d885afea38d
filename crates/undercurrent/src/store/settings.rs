//! What a stream promises, and for how long it keeps its events.

use std::time::Duration;

use undercurrent_types::{Durability, StreamName};

use super::PublishError;

/// How a stream is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// What an acknowledgement promises; fixed once the stream is made.
    pub durability: Durability,
    /// How much is kept.
    pub retention: Retention,
}

/// How much a stream keeps; what goes beyond any of the limits may go, oldest first. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How old an event may become.
    pub age: Option<Duration>,
    /// How many bytes of events, as JSON.
    pub bytes: Option<u64>,
    /// How many events.
    pub count: Option<u64>,
}

impl Retention {
    /// Keeps everything.
    pub const UNLIMITED: Self = Self { age: None, bytes: None, count: None };

    /// Returns what a stream keeps that nobody has set up: 7 days or 1 GiB; of what watchers of files tell, which is many
    /// and soon worthless, 1 day or 64 MiB.
    pub fn of(stream: &StreamName) -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        let (age, bytes) =
            if stream.as_str().starts_with("local/") { (day, 64 << 20) } else { (7 * day, 1 << 30) };
        Self { age: Some(age), bytes: Some(bytes), count: None }
    }
}

/// Why a stream was not set up.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateStreamError {
    /// It is there and promises something else.
    #[error("stream `{stream}` is there and is `{has}`, which can not be changed: delete it first")]
    OtherDurability {
        /// The stream.
        stream: StreamName,
        /// What it promises.
        has: Durability,
    },
    /// It could not be written.
    #[error(transparent)]
    Refused(#[from] PublishError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sets_up_has_limits() {
        let of = |name: &str| Retention::of(&name.parse().unwrap());
        assert_eq!(of("sessions/1").bytes, Some(1 << 30));
        assert_eq!(of("sessions/1").age, Some(Duration::from_secs(604_800)));
        assert!(of("local/project").age < of("locals").age);
    }
}
