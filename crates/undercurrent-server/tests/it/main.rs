//! The daemon as its clients see it: over TCP, on a port of its own, with the real engine.

#![expect(clippy::unwrap_used, reason = "what can not go on fails the test")]

mod context;
mod events;
mod follow;
mod groups;
mod guard;
mod kit;
mod life;
mod outcome;
mod quota;
mod refusals;
mod streams;
