//! What can go wrong with a server, and what is not a failure at all.

use std::path::PathBuf;
use std::time::Duration;

use redis::RedisError;

/// Says that a program can not give what a test needs, which is no failure of the test.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not applicable to {program}: {topology} ({because})")]
pub struct NotApplicable {
    /// The program with its version, or the URL of a server that is not the kit's.
    pub program: String,
    /// What was asked for.
    pub topology: String,
    /// Why it can not be had.
    pub because: &'static str,
}

/// Why there is no server, or why it did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The program does not have that.
    #[error(transparent)]
    NotApplicable(#[from] NotApplicable),
    /// There is no such program.
    #[error(
        "`{0}` is not there: install it (Debian: `apt-get install redis-server`), or name another in `UNDERCURRENT_STORE_SERVER`"
    )]
    NoProgram(PathBuf),
    /// The program says that it is something else.
    #[error(
        "`{program}` is not one of `redis-server`, `valkey-server`, `dragonfly`: `--version` prints `{printed}`"
    )]
    Unrecognised {
        /// The program as it was named.
        program: PathBuf,
        /// The first line that it printed.
        printed: String,
    },
    /// The server ended by itself.
    #[error("the server ended by itself ({status}); it printed:\n{output}")]
    Ended {
        /// How it ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// Something did not come about in time.
    #[error("{what}: not within {patience:?}; in the end: {last}\n{output}")]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        patience: Duration,
        /// What the last look showed.
        last: String,
        /// The end of what the server printed, where it is one server that was waited for.
        output: String,
    },
    /// The server refused a command, or the connection broke.
    #[error("a command failed")]
    Command(#[from] RedisError),
    /// The operating system refused something.
    #[error("{doing} failed")]
    System {
        /// What was tried.
        doing: &'static str,
        /// Its answer.
        #[source]
        cause: std::io::Error,
    },
}

impl ServerError {
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::System { doing, cause }
    }
}
