//! What has changed since a session read it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Key, SessionName};

/// One notice of all that has changed since a session read it.
///
/// The same state gives the same bytes, as JSON and as text: there are no times in it, and the keys are sorted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The session.
    pub session: SessionName,
    /// Why more may have changed than is said here, where that can not be ruled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
    /// The keys that are not as they were given, sorted; empty where all are.
    pub changes: Vec<Change>,
}

/// A key that is not as the session was given it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// What became of it.
    pub state: ChangeState,
    /// The beginning of the version that the session was given.
    pub old: String,
    /// The beginning of the version now; of what is unknown there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// It has another value.
    Changed,
    /// What it names is not there any more.
    Gone,
    /// It can not be read now.
    Unknown,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, incomplete, changes } = self;
        match changes.len() {
            0 => writeln!(f, "Nothing that session {session} was given has changed.")?,
            1 => writeln!(f, "1 thing that session {session} was given is not as it was:")?,
            n => writeln!(f, "{n} things that session {session} was given are not as they were:")?,
        }
        for Change { key, state, old, new } in changes {
            match (state, new) {
                (ChangeState::Changed, Some(new)) => writeln!(f, "  changed  {key}  {old} -> {new}")?,
                (ChangeState::Changed, None) => writeln!(f, "  changed  {key}  {old}")?,
                (ChangeState::Gone, _) => writeln!(f, "  gone     {key}  {old}")?,
                (ChangeState::Unknown, _) => writeln!(f, "  unknown  {key}  {old}")?,
            }
        }
        match incomplete {
            Some(reason) => writeln!(f, "There may be more: {reason}."),
            None => Ok(()),
        }
    }
}
