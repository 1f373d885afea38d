//! Checks recorded histories against what Undercurrent promises.
//!
//! A [`workload`] of writers, invalidators and readers runs on an engine and records when each operation began and
//! ended. The [`judge`] knows nothing of the engine: it looks at the history alone, in O(n log n).

pub mod history;
pub mod judge;
pub mod random;
pub mod workload;
