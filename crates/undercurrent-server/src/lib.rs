//! The daemon as a function: the engine over HTTP on loopback.
//!
//! Owns the listener, the paths and their limits. Promises that every answer that is an error has an
//! [`ErrorBody`](undercurrent_types::ErrorBody), that only this machine is served, and that a stop finishes what was
//! begun. Decides nothing about events or context: a handler reads the request, calls the engine and writes the answer.

mod accept;
mod app;
mod body;
mod context;
mod events;
mod follow;
mod groups;
mod guard;
mod incoming;
mod listen;
mod metrics;
mod operate;
mod outcome;
mod page;
mod query;
mod reading;
mod reply;
mod server;
mod sessions;
mod streams;

pub use guard::is_loopback;
pub use listen::{BindError, Listen, ListenError};
pub use server::{Config, ServeError, Server, run};
