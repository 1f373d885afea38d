//! What turns a system's changes into events. One file or folder and one feature each.

pub mod local;

use futures_util::future::BoxFuture;
use undercurrent_types::wire::SourceStatus;

/// An adapter that turns a system's changes into events.
///
/// It publishes in order to the stream named like its `source`, takes a position that puts its scope in doubt when it
/// can not vouch for it, and one that takes it out when it can.
pub trait Source: Send + Sync + 'static {
    /// Returns the health, with since when.
    fn status(&self) -> SourceStatus;

    /// Ends it: nothing is published after the future returns.
    fn stop(&self) -> BoxFuture<'_, ()>;
}
