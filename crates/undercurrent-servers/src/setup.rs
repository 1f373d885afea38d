//! What a server is started with.

use std::sync::Arc;

use crate::tls::Certificates;

/// Says what a server does about certificates of its clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientCertificate {
    /// A client without a certificate of the same authority is refused.
    Required,
    /// A client may show one; one that shows none is served all the same.
    Optional,
}

/// A description of a server. By default: one that stands alone, keeps everything in memory, on a loopback port.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    pub(crate) durable: bool,
    pub(crate) unix_socket: bool,
    pub(crate) tls: Option<(Arc<Certificates>, ClientCertificate)>,
    pub(crate) password: Option<String>,
    pub(crate) user: Option<User>,
    pub(crate) cluster: bool,
    pub(crate) settings: Vec<(String, String)>,
}

/// A user of a server with the rules of what it may do.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) rules: Vec<String>,
}

impl Setup {
    /// Describes a server that stands alone and keeps everything in memory.
    pub fn standalone() -> Self {
        Self::default()
    }

    /// Writes every command to a file and syncs it before it answers (`appendfsync always`).
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Listens on a unix socket too.
    pub fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// Speaks TLS and nothing else on its port.
    pub fn tls(mut self, certificates: &Arc<Certificates>, clients: ClientCertificate) -> Self {
        self.tls = Some((Arc::clone(certificates), clients));
        self
    }

    /// Asks for a password (`requirepass`).
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Has a user who may do what the ACL rules say (`~pattern`, `+command`, …) and nothing else.
    ///
    /// The URL of the server is this user's. Who names no user gets in only with a password that the kit keeps for itself.
    pub fn user(mut self, name: &str, password: &str, rules: &[impl AsRef<str>]) -> Self {
        let rules = rules.iter().map(|rule| rule.as_ref().to_owned()).collect();
        self.user = Some(User { name: name.to_owned(), password: password.to_owned(), rules });
        self
    }

    /// Sets an option of Redis and Valkey, such as `maxmemory` to `3mb`.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Is a node of a cluster.
    pub(crate) fn cluster(mut self) -> Self {
        self.cluster = true;
        self
    }

    /// Returns what it is, in words.
    pub fn describe(&self) -> String {
        let mut words = vec![if self.cluster { "cluster" } else { "standalone" }.to_owned()];
        let mut add = |has: bool, word: &str| has.then(|| words.push(word.to_owned()));
        add(self.durable, "`appendfsync always`");
        add(self.unix_socket, "unix socket");
        if let Some((_, clients)) = &self.tls {
            let required = *clients == ClientCertificate::Required;
            add(
                true,
                if required { "TLS with client certificates" } else { "TLS, client certificates optional" },
            );
        }
        add(self.password.is_some(), "password");
        add(self.user.is_some(), "ACL user");
        for (name, value) in &self.settings {
            add(true, &format!("`{name} {value}`"));
        }
        words.join(", ")
    }
}
