//! What the engine promises, on real parts.

mod flow;
mod freshness;
mod kit;
mod stream;
