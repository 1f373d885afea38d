//! Tests against real servers.

mod contract;
