//! What the engine promises, on real parts.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps, its helpers too")]

mod ephemeral;
mod explain;
mod files;
mod flow;
mod freshness;
mod groups;
mod kit;
mod loads;
mod node_rules;
mod nodes;
mod pattern;
mod put;
mod quota;
mod sessions;
mod stream;
mod wait;
