//! How safe an acknowledged event is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cursor::clip;

/// What an acknowledgement promises, weakest first. It is set per stream and echoed in every acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// In the memory of the process or server: lost when it ends without warning.
    Memory,
    /// Handed to the operating system: survives the end of the process, not of the machine.
    Page,
    /// On disk after `fdatasync`: survives the end of the machine.
    Durable,
    /// On another server as well.
    Replicated,
}

/// A text that is no durability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a durability: expected `memory`, `page`, `durable` or `replicated`")]
pub struct DurabilityError(pub String);

impl Durability {
    const ALL: [(Self, &str); 4] = [
        (Self::Memory, "memory"),
        (Self::Page, "page"),
        (Self::Durable, "durable"),
        (Self::Replicated, "replicated"),
    ];
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, text) = Self::ALL.iter().find(|(one, _)| one == self).expect("every durability is listed");
        f.write_str(text)
    }
}

impl FromStr for Durability {
    type Err = DurabilityError;

    fn from_str(text: &str) -> Result<Self, DurabilityError> {
        let found = Self::ALL.iter().find(|(_, one)| *one == text);
        found.map(|(durability, _)| *durability).ok_or_else(|| DurabilityError(clip(text)))
    }
}
