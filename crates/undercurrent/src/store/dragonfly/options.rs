//! How a shared store is used.

use std::path::PathBuf;
use std::time::Duration;

use super::url::StoreUrl;

/// How a shared store is found and used.
#[derive(Clone, Debug)]
pub struct SharedStoreOptions {
    /// Where it is.
    pub url: StoreUrl,
    /// The namespace: letters, digits, `.`, `_` and `-`.
    pub namespace: String,
    /// The name of this node's machine in keys made from paths; see [`undercurrent_types::is_workspace`]. Two nodes share
    /// one only where they see the same files.
    pub workspace: String,
    /// What all keys begin with, so that several products share a server.
    pub prefix: String,
    /// The certificates of the authorities that are believed, in PEM; those of the system where there is none.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to the server, and its key, both in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// For how long other programs see a value under the key `context:<key>`, as GET returns it; not at all where nothing
    /// is said. Only on a server that stands alone, in the namespace `default`.
    pub plain_keys: Option<Duration>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// How many positions the log holds.
    pub records: u64,
    /// How many names have their last invalidation remembered.
    pub names: u64,
    /// How many keys have their last state kept.
    pub facts: u64,
    /// How often the nodes let go what need not be kept; one of them does it for all.
    pub clean_every: Duration,
    /// How long a node is believed to watch its sources after it last said so.
    pub vouch: Duration,
}

impl SharedStoreOptions {
    /// Returns the options for an address, with the defaults for everything else.
    pub fn new(url: StoreUrl) -> Self {
        Self {
            url,
            namespace: "default".to_owned(),
            workspace: "local".to_owned(),
            prefix: "uc".to_owned(),
            ca: None,
            identity: None,
            plain_keys: None,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(5),
            records: 100_000,
            names: 1 << 20,
            facts: 100_000,
            clean_every: Duration::from_secs(60),
            vouch: Duration::from_secs(10),
        }
    }
}
