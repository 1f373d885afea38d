//! A primary with replicas.
//!
//! Each replica follows through a [`Proxy`] of its own. So a test can let it lag: what the proxy holds, the replica does not
//! have, also after the primary is gone (a stopped replica would still find it in its socket).

use futures_util::future::try_join_all;

use crate::choice;
use crate::error::ServerError;
use crate::program::Program;
use crate::proxy::Proxy;
use crate::server::Server;
use crate::setup::Setup;
use crate::wait::until;

/// A primary and its replicas, all of one setup.
#[derive(Debug)]
pub struct Replicated {
    /// The primary, in the beginning.
    pub primary: Server,
    /// Its replicas, in the beginning.
    pub replicas: Vec<Server>,
    /// What each replica follows through: to it goes what the primary has written. Empty under Sentinels, which set such
    /// detours right.
    pub links: Vec<Proxy>,
}

impl Replicated {
    /// Starts a primary with some replicas, and returns when all are in step.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub async fn start(setup: Setup, replicas: usize) -> Result<Self, ServerError> {
        let program = choice::program(&format!("primary with {replicas} replicas"))?;
        let mut group = Self::start_alone(&program, &setup, replicas).await?;
        for _ in &group.replicas {
            group.links.push(Proxy::start(group.primary.port()).await?);
        }
        let ports: Vec<_> = group.links.iter().map(Proxy::port).collect();
        group.follow(&ports).await?;
        Ok(group)
    }

    /// Starts a primary with some replicas that follow it directly.
    pub(crate) async fn start_direct(
        program: &Program,
        setup: &Setup,
        replicas: usize,
    ) -> Result<Self, ServerError> {
        let group = Self::start_alone(program, setup, replicas).await?;
        group.follow(&vec![group.primary.port(); replicas]).await?;
        Ok(group)
    }

    async fn start_alone(program: &Program, setup: &Setup, replicas: usize) -> Result<Self, ServerError> {
        let all = (0..=replicas).map(|_| Server::start_program(program, setup));
        let mut replicas = try_join_all(all).await?;
        let primary = replicas.remove(0);
        Ok(Self { primary, replicas, links: Vec::new() })
    }

    async fn follow(&self, ports: &[u16]) -> Result<(), ServerError> {
        for (replica, &port) in self.replicas.iter().zip(ports) {
            replica.replicate(port).await?;
        }
        for replica in &self.replicas {
            follows(replica).await?;
        }
        self.in_step().await
    }

    /// Waits until the replicas have everything that the primary acknowledged before the call.
    ///
    /// It writes a key of its own and removes it.
    ///
    /// # Errors
    ///
    /// Fails where a replica does not get there in time.
    pub async fn in_step(&self) -> Result<(), ServerError> {
        until("all replicas have what the primary has", || async {
            let reached = self.reached().await.map_err(|e| e.to_string())?;
            if reached >= self.replicas.len() { Ok(()) } else { Err(format!("{reached} of them have it")) }
        })
        .await
    }

    /// Returns how many replicas confirm, within a second, what was written last.
    async fn reached(&self) -> Result<usize, ServerError> {
        let mut connection = self.primary.connect().await?;
        let replicas = self.replicas.len();
        let mut pipe = redis::pipe();
        pipe.cmd("SET").arg("undercurrent-servers:mark").arg(1).ignore();
        pipe.cmd("DEL").arg("undercurrent-servers:mark").ignore();
        pipe.cmd("WAIT").arg(replicas).arg(1000);
        let (reached,): (usize,) = pipe.query_async(&mut connection).await?;
        Ok(reached)
    }
}

/// Waits until a replica has a link to its primary and its first copy.
pub(crate) async fn follows(replica: &Server) -> Result<(), ServerError> {
    until("a replica follows its primary", || async {
        let status = replica.info("replication", "master_link_status").await.map_err(|e| e.to_string())?;
        match status.as_deref() {
            Some("up") => Ok(()),
            other => Err(format!("`master_link_status` is {other:?}")),
        }
    })
    .await
}
