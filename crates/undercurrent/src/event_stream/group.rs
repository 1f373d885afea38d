//! Groups: making them, and what their members do.

use std::sync::Arc;
use std::time::Duration;

use undercurrent_types::wire::{GroupOptions, GroupStatus};
use undercurrent_types::{ErrorBody, ErrorCode, GroupName, Lease};

use super::EventStream;
use super::error::PublishError;
use crate::stream::{Fetched, GroupError, SubscribeError, Verdict, short};

/// A group, as its members use it. Cloning is cheap.
///
/// Members are not known by name: who has a lease may say what becomes of it, until it has been given to another.
#[derive(Clone)]
pub struct Group {
    events: EventStream,
    name: GroupName,
}

impl EventStream {
    /// Makes a group on a stream, or sets what of one that is there may be changed.
    ///
    /// # Errors
    ///
    /// Fails when a setting is out of its bounds or fixed, or the store accepts nothing.
    pub async fn create_group(
        &self,
        group: &GroupName,
        options: &GroupOptions,
    ) -> Result<GroupStatus, GroupError> {
        self.0.groups.create(group, options).await
    }

    /// Deletes a group; says whether there was one. The stream and its events stay.
    ///
    /// # Errors
    ///
    /// Fails when the store accepts nothing.
    pub async fn delete_group(&self, group: &GroupName) -> Result<bool, GroupError> {
        self.0.groups.delete(group).await
    }

    /// Returns every group with how far it is, by name.
    ///
    /// # Errors
    ///
    /// Fails when the state of one can not be read.
    pub async fn groups(&self) -> Result<Vec<GroupStatus>, GroupError> {
        self.0.groups.list().await
    }

    /// Returns a group, whether it is there or not: what it is asked says so.
    pub fn group(&self, name: GroupName) -> Group {
        Group { events: self.clone(), name }
    }
}

impl Group {
    /// Returns its settings, and how far it is.
    ///
    /// # Errors
    ///
    /// Fails when there is no such group.
    pub async fn status(&self) -> Result<GroupStatus, GroupError> {
        self.events.0.groups.status(&self.name).await
    }

    /// Gives up to `most` events, each with a lease: at once if there are some, else as soon as there are; none when
    /// `wait` is over.
    ///
    /// Dropping the future early gives back what would have been given.
    ///
    /// # Errors
    ///
    /// Fails when there is no such group, `most` is 0 or above 1000, or the leases can not be written.
    pub async fn fetch(&self, most: usize, wait: Duration) -> Result<Fetched, GroupError> {
        self.events.0.groups.fetch(&self.name, most, wait).await
    }

    /// Says that events are done. When it returns they are not given again, over a crash as well.
    ///
    /// # Errors
    ///
    /// Fails when a lease does not count any more; what was said of the others is done.
    pub async fn ack(&self, leases: &[Lease]) -> Result<(), GroupError> {
        self.settle(leases, Verdict::Ack).await
    }

    /// Says that events have to be given again: after `delay`, or after the group's back-off. An event that was given
    /// as often as it may be becomes a dead letter instead.
    ///
    /// # Errors
    ///
    /// Fails as [`Group::ack`] does, and when the delay is over 12 hours.
    pub async fn nack(
        &self,
        leases: &[Lease],
        delay: Option<Duration>,
        reason: Option<&str>,
    ) -> Result<(), GroupError> {
        let verdict = Verdict::Nack { delay_ms: delay.map(millis), reason: self.reason(reason) };
        self.settle(leases, verdict).await
    }

    /// Has leases last for so much longer from now, or for as long again as they do by default.
    ///
    /// # Errors
    ///
    /// Fails as [`Group::ack`] does, and when it is not between 100 ms and 12 hours.
    pub async fn extend(&self, leases: &[Lease], by: Option<Duration>) -> Result<(), GroupError> {
        self.settle(leases, Verdict::Extend { lease_ms: by.map(millis) }).await
    }

    /// Makes events dead letters, at once.
    ///
    /// # Errors
    ///
    /// Fails as [`Group::ack`] does.
    pub async fn term(&self, leases: &[Lease], reason: Option<&str>) -> Result<(), GroupError> {
        self.settle(leases, Verdict::Term { reason: self.reason(reason) }).await
    }

    /// Gives events back as if they had not been given: what a member does that goes.
    ///
    /// # Errors
    ///
    /// Fails as [`Group::ack`] does.
    pub async fn release(&self, leases: &[Lease]) -> Result<(), GroupError> {
        self.settle(leases, Verdict::Release).await
    }

    async fn settle(&self, leases: &[Lease], verdict: Verdict) -> Result<(), GroupError> {
        self.events.0.groups.settle(&self.name, leases.to_vec(), verdict).await
    }

    /// Reasons are kept and published, so secrets leave them as they leave events.
    fn reason(&self, reason: Option<&str>) -> Option<Arc<str>> {
        reason.map(|reason| short(&self.events.0.redactor.text(reason)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl GroupError {
    /// Returns the body of the answer on the wire.
    pub fn body(&self) -> ErrorBody {
        let code = match self {
            Self::NoGroup { .. } => ErrorCode::NotFound,
            Self::Fixed { .. } => ErrorCode::Conflict,
            Self::Refused { refused, .. } => {
                let body = ErrorBody::new(ErrorCode::Conflict, self.to_string());
                return ErrorBody { refused: refused.iter().map(|(lease, _)| *lease).collect(), ..body };
            }
            Self::NoStream { .. }
            | Self::Setting { .. }
            | Self::DeadLetters { .. }
            | Self::DeadLettersName { .. } => ErrorCode::InvalidRequest,
            Self::From(_) => ErrorCode::InvalidCursor,
            Self::Busy { .. } => ErrorCode::Busy,
            Self::Row { .. } => ErrorCode::Internal,
            Self::Read(error) => return SubscribeError::Read(error.clone()).body(),
            Self::Write(error) => return PublishError::Store(error.clone()).body(),
            Self::Closed => ErrorCode::Unavailable,
        };
        ErrorBody::new(code, self.to_string())
    }
}
