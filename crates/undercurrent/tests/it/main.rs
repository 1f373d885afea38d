//! What the engine promises, on real parts.

mod files;
mod flow;
mod freshness;
mod kit;
mod stream;
