//! The atomics that memory is made of, in one place: the crate `undercurrent-loom` compiles the modules that use them a
//! second time, with its own.

/// Wakes whoever waits for the horizon.
pub(crate) use tokio::sync::Notify as Bell;

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

/// How many floors there are: 512 KiB of them, so that thousands of names rarely share one.
pub(crate) const SLOTS: usize = 65_536;
