//! What is found in a data directory, and what becomes of it.

use std::fmt;

use serde::Serialize;

/// Something noteworthy about a file, with what opening does about it or what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub kind: FindingKind,
    /// The file, from the data directory on.
    pub file: String,
    /// The place in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub byte: Option<u64>,
    /// What is there.
    pub what: String,
    /// What opening does, and what to do.
    pub then: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingKind {
    /// Opening deals with it by itself, and nothing that was acknowledged is lost.
    Mended,
    /// What is derived from the log is not as the log says: it can be deleted.
    Wrong,
    /// Something that was once safely on disk is damaged.
    Damage,
}

impl Finding {
    pub(super) fn mended(name: &str, byte: Option<u64>, what: impl Into<String>, then: &str) -> Self {
        Self::of(FindingKind::Mended, name, byte, what.into(), then)
    }

    pub(super) fn wrong(name: &str, what: impl Into<String>) -> Self {
        let then = "opening would believe it; delete the file, or give `--repair`, which moves it aside: the log says everything";
        Self::of(FindingKind::Wrong, name, None, what.into(), then)
    }

    pub(super) fn damage(name: &str, byte: u64, what: impl Into<String>, then: &str) -> Self {
        Self::of(FindingKind::Damage, name, Some(byte), what.into(), then)
    }

    fn of(kind: FindingKind, name: &str, byte: Option<u64>, what: String, then: &str) -> Self {
        Self { kind, file: format!("log/{name}"), byte, what, then: then.to_owned() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, byte, what, then, .. } = self;
        match byte {
            Some(byte) => write!(f, "`{file}`, byte {byte}: {what}: {then}"),
            None => write!(f, "`{file}`: {what}: {then}"),
        }
    }
}
