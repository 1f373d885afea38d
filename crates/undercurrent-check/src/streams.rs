//! Appends and reads of streams by many at once, and whether what they were told can be.
//!
//! A [`workload`] of writers, readers and subscribers runs on a store, or on a daemon over HTTP, which is closed and
//! opened again meanwhile, or goes on from what a crash left. The [`judge`] looks at the history alone. The [`plans`] say
//! over what it runs.

mod clients;
pub(crate) mod door;
pub mod history;
mod http;
pub mod judge;
mod local;
pub mod plans;
pub mod workload;
mod world;
