//! The binary as its users run it.

#![expect(clippy::unwrap_used, reason = "what can not go on fails the test")]

mod context;
mod crash;
mod doctor;
mod export;
mod fill;
mod find;
mod groups;
mod kit;
mod life;
mod nodes;
mod publish;
mod rules;
mod scrub;
mod servers;
mod streams;
mod tail;
mod usage;
