//! Time that no clock of the wall is part of.

use std::time::Duration;

/// A moment of the clock that goes on while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// Reads CLOCK_BOOTTIME.
    pub fn now() -> Self {
        if let Some(now) = crate::ablation::time() {
            return Self(now);
        }
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Self(Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32))
    }

    /// Returns the time from the start of the machine until then.
    pub(crate) fn since_boot(self) -> Duration {
        self.0
    }

    /// Returns the moment that much later.
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    /// Returns the moment that much earlier, or the first there was.
    pub fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time))
    }

    /// Returns the time from another moment to this one: none where the other is the later one.
    pub fn since(self, other: Self) -> Duration {
        self.0.saturating_sub(other.0)
    }

    /// Returns the time until then: none where it is over.
    pub fn remaining(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }

    /// Returns the time since then.
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}
