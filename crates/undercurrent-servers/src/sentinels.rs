//! A primary with replicas, watched by Sentinels that promote a replica when the primary is gone.

use std::path::PathBuf;

use futures_util::future::try_join_all;

use crate::choice;
use crate::error::ServerError;
use crate::program::{Flavour, Place, Program, tls_settings};
use crate::replicated::Replicated;
use crate::server::{Server, field_of, ruler};
use crate::setup::Setup;
use crate::wait::until;

/// The name under which the Sentinels know the primary.
const NAME: &str = "undercurrent";

/// After how many milliseconds without an answer a server counts as gone.
const DOWN_AFTER: u32 = 1000;

/// After how many milliseconds a promotion that hangs is given up.
const FAILOVER: u32 = 5000;

/// Servers and the Sentinels that watch them, all of them with TLS or none.
///
/// Redis' and Valkey's Sentinel is the server program itself; before a Dragonfly stands `redis-server`.
#[derive(Debug)]
pub struct Sentinels {
    /// The servers; who of them is the primary changes.
    pub servers: Replicated,
    /// The Sentinels.
    pub sentinels: Vec<Server>,
}

impl Sentinels {
    /// Starts a primary with replicas, and as many Sentinels, of which the larger half has to agree. Returns when every
    /// Sentinel knows all servers and all Sentinels.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub async fn start(setup: Setup, replicas: usize, sentinels: usize) -> Result<Self, ServerError> {
        let program = choice::program(&format!("{sentinels} Sentinels"))?;
        let servers = Replicated::start_direct(&program, &setup, replicas).await?;
        let watcher = match program.flavour() {
            Flavour::Redis | Flavour::Valkey => program,
            Flavour::Dragonfly => Program::find(PathBuf::from("redis-server"))?,
        };
        // They ask nobody for a password.
        let open = Setup { tls: setup.tls.clone(), ..Setup::standalone() };
        let watch = Watch {
            primary: servers.primary.port(),
            quorum: sentinels / 2 + 1,
            password: ruler(&setup).map(str::to_owned),
            tls: tls_settings(&open),
        };
        let started = (0..sentinels).map(|_| Server::start_as(&watcher, &open, Some(&watch)));
        let group = Self { sentinels: try_join_all(started).await?, servers };
        for sentinel in &group.sentinels {
            group.knows_all(sentinel).await?;
        }
        Ok(group)
    }

    /// Returns the name under which the Sentinels know the primary.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// Returns the URL of the primary by way of all Sentinels.
    pub fn url(&self) -> String {
        let places: Vec<_> = self.sentinels.iter().map(|s| format!("127.0.0.1:{}", s.port())).collect();
        format!("{}/{NAME}", self.servers.primary.url_by("sentinel", &places))
    }

    /// Returns all servers, the first primary first.
    pub fn all(&self) -> impl Iterator<Item = &Server> {
        std::iter::once(&self.servers.primary).chain(&self.servers.replicas)
    }

    /// Returns the server that a Sentinel names as the primary now.
    ///
    /// # Errors
    ///
    /// Fails where the first Sentinel that runs does not answer, or names a strange place.
    pub async fn primary(&self) -> Result<&Server, ServerError> {
        let sentinel = self.sentinels.iter().find(|sentinel| sentinel.runs());
        let sentinel = sentinel.unwrap_or(&self.sentinels[0]);
        let (_, port): (String, u16) =
            sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).await?;
        let found = self.all().find(|server| server.port() == port);
        found.ok_or_else(|| {
            let cause = std::io::Error::other(format!("a Sentinel names port {port}"));
            ServerError::System { doing: "looking for the primary", cause }
        })
    }

    /// Has no Sentinel promote anybody by itself: on a busy machine a server that is merely slow counts as gone, and then
    /// there are two primaries.
    ///
    /// # Errors
    ///
    /// Fails where a Sentinel refuses it.
    pub async fn wait_to_be_told(&self) -> Result<(), ServerError> {
        for sentinel in &self.sentinels {
            let () =
                sentinel.command(&["SENTINEL", "SET", NAME, "down-after-milliseconds", "3600000"]).await?;
        }
        Ok(())
    }

    /// Tells the first Sentinel to promote a replica now, whether or not the primary is gone.
    ///
    /// # Errors
    ///
    /// Fails where it refuses, as while another promotion is under way.
    pub async fn fail_over(&self) -> Result<(), ServerError> {
        self.sentinels[0].command(&["SENTINEL", "FAILOVER", NAME]).await
    }

    /// Waits until the Sentinels name another primary than a given port's, and that one knows it. Returns it.
    ///
    /// # Errors
    ///
    /// Fails where that does not come about in time.
    pub async fn promoted(&self, before: u16) -> Result<&Server, ServerError> {
        until("a replica is promoted", || async {
            let now = self.primary().await.map_err(|e| e.to_string())?;
            let role = now.info("replication", "role").await.map_err(|e| e.to_string())?;
            match role.as_deref() {
                Some("master") if now.port() != before => Ok(now),
                role => Err(format!("port {} is the primary by name and {role:?} by role", now.port())),
            }
        })
        .await
    }

    /// Waits until a Sentinel knows all servers and all others of its kind, and all is well.
    async fn knows_all(&self, sentinel: &Server) -> Result<(), ServerError> {
        let all = self.servers.replicas.len();
        let others = self.sentinels.len() - 1;
        let expected = format!(
            "status=ok,address=127.0.0.1:{},slaves={all},sentinels={}",
            self.servers.primary.port(),
            others + 1
        );
        until("a Sentinel knows everybody", || async {
            let text: String = sentinel.command(&["INFO", "sentinel"]).await.map_err(|e| e.to_string())?;
            let line = field_of(&text, "master0").unwrap_or_default();
            if line.ends_with(&expected) { Ok(()) } else { Err(format!("it says `{line}`")) }
        })
        .await
    }
}

/// What a Sentinel is told.
#[derive(Debug)]
pub(crate) struct Watch {
    primary: u16,
    quorum: usize,
    password: Option<String>,
    /// What it is told of TLS; nothing where it speaks none.
    tls: Vec<(&'static str, String)>,
}

impl Watch {
    /// Writes the file of a Sentinel, which it changes itself later, and returns the words to start it.
    pub(crate) fn args(&self, place: &Place<'_>) -> Result<Vec<String>, ServerError> {
        let Self { primary, quorum, password, tls } = self;
        let port = place.port;
        let port = if tls.is_empty() { format!("port {port}") } else { format!("port 0\ntls-port {port}") };
        let mut text: String = tls.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
        text += &format!(
            "{port}\nbind 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {primary} {quorum}\n\
             sentinel down-after-milliseconds {NAME} {DOWN_AFTER}\nsentinel failover-timeout {NAME} {FAILOVER}\n"
        );
        if let Some(password) = password {
            text += &format!("sentinel auth-pass {NAME} {password}\n");
        }
        let file = place.data.with_file_name("sentinel.conf");
        std::fs::write(&file, text).map_err(ServerError::system("writing the file of a Sentinel"))?;
        Ok(vec![file.display().to_string(), "--sentinel".to_owned()])
    }
}
