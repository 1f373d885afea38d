//! Context in memory: read, flight, fill.
//!
//! Owns the entries, and the traits of what fills them and of what a `synced` read asks. Promises that no read is
//! answered by a value whose load began before an invalidation the read must see. Never knows where a value comes
//! from or which events exist.

mod loader;

pub use loader::{Barrier, BarrierError, Check, Inputs, LoadError, Loaded, Loader, Validator};
