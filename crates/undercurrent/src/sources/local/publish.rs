//! Where changes go.

use futures_util::future::BoxFuture;

use crate::event_stream::{EventStream, Outgoing, PublishError};
use crate::store::{Invalidation, PublishError as StoreError};

/// What this source asks of the handle: one batch at one position.
pub(super) trait Publish: Send + Sync + 'static {
    fn publish<'a>(
        &'a self,
        events: Vec<Outgoing>,
        names: Vec<Invalidation>,
        cause: &'a str,
    ) -> BoxFuture<'a, Result<(), Refusal>>;
}

/// Why a batch was not published.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// An event of it will never be taken, or not in a batch of this size.
    #[error("an event is refused: {0}")]
    Events(String),
    /// The log takes no events now. Whether the names were moved is unknown; they can be moved without events.
    #[error("the log takes no events: {0}")]
    Log(String),
    /// There is nothing left to publish to.
    #[error("the store is closed")]
    Closed,
}

impl Publish for EventStream {
    fn publish<'a>(
        &'a self,
        events: Vec<Outgoing>,
        names: Vec<Invalidation>,
        cause: &'a str,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            match self.publish_with(events, names, cause).await {
                Ok(_) => Ok(()),
                Err(PublishError::Store(StoreError::Closed)) => Err(Refusal::Closed),
                Err(
                    error @ PublishError::Store(
                        StoreError::Full { .. } | StoreError::Failed { .. } | StoreError::Unknown { .. },
                    ),
                ) => Err(Refusal::Log(error.to_string())),
                Err(error) => Err(Refusal::Events(error.to_string())),
            }
        })
    }
}
