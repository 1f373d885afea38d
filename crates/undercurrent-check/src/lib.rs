//! Checks recorded histories against what Undercurrent promises.
//!
//! A [`workload`] of writers, invalidators and readers runs on an engine and records when each operation began and
//! ended. The [`judge`] knows nothing of the engine: it looks at the history alone, in O(n log n).
//!
//! The [`plans`] are a table: over which store, and whether on one thread, where a seed that fails fails again, or on
//! many. On one thread the [`dice`] say who goes on, and a hook works between steps that no task can come between: it
//! reads or invalidates between the look at the floors and the raise of `as_of`, or between the floors and `applied`.
//! Whether the machine keeps these steps in the order in which they are written is a question for `undercurrent-loom`.
//!
//! [`streams`] does the same for appends and reads of streams, with a judge of its own, and [`deliveries`] for one stream
//! of several processes over a server that is disturbed.
//!
//! The only thing on another thread there is the flusher of the embedded store, which decides when events become
//! visible: the plan `events` has them, and a seed of it fails again most of the time.

pub mod deliveries;
pub mod dice;
pub mod history;
pub mod judge;
pub mod plans;
pub mod remote;
pub mod site;
pub mod sources;
pub mod streams;
mod tasks;
pub mod workload;
mod world;
