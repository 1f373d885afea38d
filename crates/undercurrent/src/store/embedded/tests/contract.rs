//! The contract of every store.

use super::support::InDirectory;
use crate::store::contract::contract;

contract!(InDirectory::new());
