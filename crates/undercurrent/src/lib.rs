//! The event stream beneath AI agents that keeps their context current.
//!
//! An [`EventStream`] distributes events, caches context and invalidates it, with one order for all three: whoever
//! has seen an event can not be served what that event made stale.
//!
//! The modules stand in the order of the data flow. A module uses what stands before it, never after:
//!
//! - [`rules`]: which names an event makes stale; pure.
//! - [`store`]: the one order of a namespace, its log and its streams.
//! - [`stream`]: catch up, then follow.
//! - [`redact`]: what must not be stored.
//! - [`cache`]: read, flight, fill.
//! - [`event_stream`]: publish, read, explain: the one handle, and the only place that sees both halves.
//! - [`workspace`]: the configured roots of this machine, what lies below them and what of it is watched.
//! - [`sources`], [`loaders`]: the adapters to what lies outside.
//! - [`runtime`]: builds all of it right to left, and stops it left to right.

#[doc(hidden)]
pub mod ablation;
pub mod cache;
#[cfg(test)]
mod dice;
pub mod event_stream;
pub mod loaders;
pub mod redact;
pub mod rules;
pub mod runtime;
pub mod sources;
pub mod store;
pub mod stream;
mod sync;
pub mod workspace;

pub use event_stream::EventStream;
pub use runtime::{Config, OpenError, apply_rules};
pub use undercurrent_types as types;
pub use undercurrent_types::{
    Cursor, Data, Durability, Event, EventSource, EventType, Key, Level, Name, StreamName, Token, Version,
};
