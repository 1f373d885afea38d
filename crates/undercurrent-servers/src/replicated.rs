//! A primary with replicas.

use futures_util::future::try_join_all;

use crate::choice;
use crate::error::ServerError;
use crate::program::Program;
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
}

impl Replicated {
    /// Starts a primary with some replicas, and returns when all are in step.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub async fn start(setup: Setup, replicas: usize) -> Result<Self, ServerError> {
        let program = choice::program(&format!("primary with {replicas} replicas"))?;
        Self::start_program(&program, &setup, replicas).await
    }

    pub(crate) async fn start_program(
        program: &Program,
        setup: &Setup,
        replicas: usize,
    ) -> Result<Self, ServerError> {
        let all = (0..=replicas).map(|_| Server::start_program(program, setup));
        let mut all = try_join_all(all).await?;
        let primary = all.remove(0);
        let group = Self { primary, replicas: all };
        for replica in &group.replicas {
            replica.replicate(group.primary.port()).await?;
        }
        for replica in &group.replicas {
            follows(replica).await?;
        }
        group.in_step().await?;
        Ok(group)
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
