//! Why a request got no answer, or not the one it wanted.

use std::time::Duration;

use undercurrent_types::{ErrorBody, ErrorCode};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The daemon answered with an error.
    #[error("{0}")]
    Refused(Box<ErrorBody>),
    /// Nothing listens there.
    #[error("no daemon answers at {url}")]
    Unreachable {
        /// The address of the daemon.
        url: String,
        /// What the system said.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke, or the answer did not come in time.
    #[error("the connection to {url} broke: {}", innermost(.source))]
    Broken {
        /// The address of the daemon.
        url: String,
        /// What was noticed.
        #[source]
        source: reqwest::Error,
    },
    /// A subscription was ended by the daemon.
    #[error("the daemon at {url} ended the subscription")]
    Ended {
        /// The address of the daemon.
        url: String,
    },
    /// Something else than the daemon answered.
    #[error("what answers at {url} is not this daemon: {reason}")]
    Foreign {
        /// The address.
        url: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// The address is none.
    #[error("`{url}` is not the address of a daemon: {reason}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// Returns the error as programs tell it apart.
    pub fn body(&self) -> ErrorBody {
        let code = match self {
            Self::Refused(body) => return (**body).clone(),
            Self::Broken { source, .. } if source.is_timeout() => ErrorCode::TimedOut,
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Ended { .. } => ErrorCode::Unavailable,
            Self::Foreign { .. } => ErrorCode::Internal,
            Self::Address { .. } => ErrorCode::InvalidRequest,
        };
        ErrorBody::new(code, self.to_string())
    }

    /// Says whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.body().retryable
    }

    /// Returns after how long the same request may succeed, where the daemon says.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(body) => body.retry_after_ms.map(Duration::from_millis),
            _ => None,
        }
    }

    pub(crate) fn of_transport(url: &str, source: reqwest::Error) -> Self {
        let url = url.to_owned();
        if source.is_connect() { Self::Unreachable { url, source } } else { Self::Broken { url, source } }
    }
}

/// Returns the text of the first cause, which says what the system said.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
