//! What turns a system's changes into events. One file or folder and one feature each.

pub mod local;

pub use crate::event_stream::Source;
