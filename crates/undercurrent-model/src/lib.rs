//! The freshness protocol as models.
pub mod check;
pub mod dependencies;
pub mod memory;
pub mod order;
