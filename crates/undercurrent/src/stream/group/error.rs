//! Why a group does not do what it is asked.

use undercurrent_types::{CursorError, GroupName, Lease, Seq, StreamName, StreamNameError};

use super::WAITING;
use crate::store::{PublishError, ReadStreamError};

/// Why a group does not do what it is asked; nothing was changed then, unless the error says otherwise.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// Nobody has made it, or it was deleted.
    #[error("there is no group `{group}`: make it first, and name its stream")]
    NoGroup {
        /// The group that was asked for.
        group: GroupName,
    },
    /// A group is made for a stream.
    #[error("group `{group}` is not there, and to be made it needs a stream")]
    NoStream {
        /// The group.
        group: GroupName,
    },
    /// It is there, and is another.
    #[error(
        "group `{group}` is there with {setting} `{has}`, not `{given}`, and that is fixed: delete it or use another name"
    )]
    Fixed {
        /// The group.
        group: GroupName,
        /// What can not be changed.
        setting: &'static str,
        /// What it is.
        has: String,
        /// What was given.
        given: String,
    },
    /// A setting is out of its bounds.
    #[error("{setting} is {given}: it has to be from {least} to {most}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What was given.
        given: u64,
        /// The least that it may be.
        least: u64,
        /// The most that it may be.
        most: u64,
    },
    /// The dead letters would come back.
    #[error("the dead letters of a group on `{stream}` can not go to `{stream}`: name another stream")]
    DeadLetters {
        /// The stream.
        stream: StreamName,
    },
    /// The name of the stream is too long for the default name of its dead letters.
    #[error("`{stream}/dead` can not be a stream ({error}): name the stream of the dead letters")]
    DeadLettersName {
        /// The stream.
        stream: StreamName,
        /// Why it can not.
        error: StreamNameError,
    },
    /// The text says no place to begin at.
    #[error("a group begins at `beginning`, `now` or a cursor: {0}")]
    From(#[from] CursorError),
    /// Some leases do not count any more, or never did. What was said of the others is done.
    #[error(
        "{} of {named} leases of group `{group}` do not count ({}); what was said of the others is done",
        refused.len(),
        told(refused)
    )]
    Refused {
        /// The group.
        group: GroupName,
        /// How many were named.
        named: usize,
        /// Which ones, and why.
        refused: Vec<(Lease, Refused)>,
    },
    /// More callers wait for events than may.
    #[error(
        "{WAITING} members wait for events of group `{group}` already, the most at once: try again later"
    )]
    Busy {
        /// The group.
        group: GroupName,
    },
    /// The row of the group can not be read.
    #[error("the state of group `{group}` can not be read: {reason}")]
    Row {
        /// The group.
        group: GroupName,
        /// What is wrong with it.
        reason: String,
    },
    /// The stream can not be read from there.
    #[error(transparent)]
    Read(#[from] ReadStreamError),
    /// What was decided could not be written.
    #[error(transparent)]
    Write(#[from] PublishError),
    /// The engine has been closed.
    #[error("the groups are closed")]
    Closed,
}

/// Why a lease does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The event is acknowledged or a dead letter.
    Done,
    /// It has not been given to anybody.
    NotGiven,
    /// It is out under another generation.
    GivenAgain {
        /// That one.
        generation: u64,
    },
    /// It was said of it already that it has to be given again, or is to be a dead letter.
    NotOut,
}

impl Refused {
    fn tell(self, lease: Lease) -> String {
        let Lease { seq: Seq(seq), .. } = lease;
        match self {
            Self::Done => format!("`{lease}`: event {seq} is done"),
            Self::NotGiven => format!("`{lease}`: event {seq} has not been given"),
            Self::GivenAgain { generation } => {
                format!("`{lease}`: event {seq} was given again, with generation {generation}")
            }
            Self::NotOut => format!("`{lease}`: event {seq} is not out now"),
        }
    }
}

/// Tells of the first few.
fn told(refused: &[(Lease, Refused)]) -> String {
    const MOST: usize = 3;
    let mut told: Vec<_> = refused.iter().take(MOST).map(|(lease, why)| why.tell(*lease)).collect();
    if refused.len() > MOST {
        told.push("…".to_owned());
    }
    told.join(", ")
}
