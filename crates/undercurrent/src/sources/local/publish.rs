//! Where changes go.

use futures_util::future::BoxFuture;
use undercurrent_types::Name;

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

    /// Says whether what was vouched for still is, as far as can be known: a shared store believes a node only while it
    /// hears from it.
    fn is_believed<'a>(&'a self, scopes: &'a [Name]) -> BoxFuture<'a, bool> {
        let _ = scopes;
        Box::pin(std::future::ready(true))
    }
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
                    error @ (PublishError::OtherRules(_)
                    | PublishError::Store(
                        StoreError::Full { .. }
                        | StoreError::Failed { .. }
                        | StoreError::Unknown { .. }
                        | StoreError::Unavailable { .. },
                    )),
                ) => Err(Refusal::Log(error.to_string())),
                Err(error) => Err(Refusal::Events(error.to_string())),
            }
        })
    }

    fn is_believed<'a>(&'a self, scopes: &'a [Name]) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.vouches_for(scopes).await.unwrap_or(true) })
    }
}
