//! Time that no clock of the wall is part of.

use std::time::Duration;

/// A moment of the clock that goes on while the machine sleeps, in nanoseconds from its start: enough for 584 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Reads CLOCK_BOOTTIME.
    #[inline]
    pub fn now() -> Self {
        if let Some(now) = crate::ablation::time() {
            return Self(nanos(now));
        }
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Self(now.tv_sec.unsigned_abs().wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec.unsigned_abs()))
    }

    /// Returns the nanoseconds from the start of the machine until then.
    pub(crate) fn since_boot(self) -> u64 {
        self.0
    }

    /// Returns the moment that much later.
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }

    /// Returns the moment that much earlier, or the first there was.
    pub fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(time)))
    }

    /// Returns the time from another moment to this one: none where the other is the later one.
    pub fn since(self, other: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(other.0))
    }

    /// Returns the time until then: none where it is over.
    pub fn remaining(self) -> Duration {
        self.since(Self::now())
    }

    /// Returns the time since then.
    pub fn elapsed(self) -> Duration {
        Self::now().since(self)
    }
}

/// Returns a time in nanoseconds, or the longest there is.
pub(crate) fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}
