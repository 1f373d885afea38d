//! Tests against real servers.

mod addresses;
mod contract;
mod faults;
mod lease;
mod nodes;
mod scripts;
mod scrub;
mod support;
