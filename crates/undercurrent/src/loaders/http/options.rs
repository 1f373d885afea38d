//! Which hosts may be asked, and how long and large an answer may be.

use std::time::Duration;

use serde::Deserialize;

use super::super::span;

const LONGEST_TIMEOUT: Duration = Duration::from_secs(10 * 60);
const LARGEST: u64 = 64 << 20;

/// What a loader of `http:` keys may do. The default allows no host.
///
/// In TOML it is the table `[http]`; unknown fields are refused. Durations are texts such as `500ms`, `30s` or `5m`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpOptions {
    /// The hosts that may be asked.
    pub allow: Vec<AllowedHost>,
    /// How long a load or a check may take, redirects included: at most 10 minutes.
    #[serde(with = "span")]
    pub timeout: Duration,
    /// How many bytes a body may have, at most 64 MiB.
    pub size_limit: u64,
    /// For how long an answer may be used when the server does not say.
    #[serde(with = "span")]
    pub max_age: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            timeout: Duration::from_secs(20),
            size_limit: 16 << 20,
            max_age: Duration::from_secs(60),
        }
    }
}

/// A host that may be asked, or all below a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedHost {
    /// A name, an address, or `*.` and a domain, which stands for all names below it and not for itself.
    pub host: String,
    /// The one port; `None` allows all.
    #[serde(default)]
    pub port: Option<u16>,
    /// Whether it may be at an address that is not public, such as one of this machine. Not for `*.`.
    #[serde(default)]
    pub private: bool,
}

/// Why options can not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// A host is none, or can not be allowed so.
    #[error("`{host}` can not be allowed: {reason}")]
    Host {
        /// The host as it was given.
        host: String,
        /// Why.
        reason: String,
    },
    /// A limit is out of its bounds.
    #[error("the option `{field}` of `http` is not between {bounds}")]
    Limit {
        /// The option.
        field: &'static str,
        /// What it may be.
        bounds: &'static str,
    },
}

impl HttpOptions {
    /// Checks the limits.
    pub(super) fn check(&self) -> Result<(), HttpError> {
        if self.timeout.is_zero() || self.timeout > LONGEST_TIMEOUT {
            return Err(HttpError::Limit { field: "timeout", bounds: "1ms and 10m" });
        }
        if self.size_limit == 0 || self.size_limit > LARGEST {
            return Err(HttpError::Limit { field: "size_limit", bounds: "1 and 67108864 bytes" });
        }
        Ok(())
    }
}
