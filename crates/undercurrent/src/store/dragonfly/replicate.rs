//! Waiting until another server has what was written.

use std::sync::Arc;

use redis::{Cmd, Value};
use tokio::sync::Mutex;
use undercurrent_types::{Incarnation, Token};

use super::claim::Claimed;
use super::connection::Link;
use super::rounds::Rounds;
use super::server::Server;

/// One WAIT for all batches that were written before it is sent, on a connection of its own: it blocks that connection.
#[derive(Default)]
pub(super) struct Replication {
    rounds: Arc<Rounds<(Incarnation, Result<(), String>)>>,
    /// Held over a WAIT, of which there is one at a time.
    connection: Mutex<Option<Claimed>>,
}

impl Replication {
    /// Waits until a replica has everything that was written up to a position.
    ///
    /// # Errors
    ///
    /// Fails with the reason where no replica says so in time, or the server is another one now: nobody knows then
    /// whether what was written will stay.
    pub(super) async fn reached(&self, link: &Link, at: Token) -> Result<(), String> {
        let waited = self.rounds.share(|| async { (at.inc, self.wait(link, at).await) }).await;
        match waited {
            Some((inc, result)) if inc == at.inc => result,
            Some(_) => Err("the store has a new incarnation".to_owned()),
            None => Err("the store was dropped".to_owned()),
        }
    }

    async fn wait(&self, link: &Link, at: Token) -> Result<(), String> {
        let mut connection = self.connection.lock().await;
        if connection.as_ref().is_none_or(|claimed| claimed.begun.at.inc != at.inc) {
            *connection = Some(link.claimed_connection().await.map_err(|e| e.to_string())?);
        }
        let waited = match &*connection {
            Some(claimed) if claimed.begun.at.inc == at.inc => wait_on(link, claimed).await,
            _ => Err("the store has a new incarnation".to_owned()),
        };
        if waited.is_err() {
            *connection = None;
        }
        waited
    }
}

async fn wait_on(link: &Link, claimed: &Claimed) -> Result<(), String> {
    let wire = &claimed.wire;
    let patience = link.options.response_timeout / 2;
    // A write of this connection, behind all that others wrote before: replicas have it only after those.
    let (mut write, mut wait) = (Cmd::new(), Cmd::new());
    write.arg("SET").arg(link.keys.waited()).arg("1").arg("PX").arg(60_000);
    wait.arg("WAIT").arg(1).arg(patience.as_millis() as u64);
    wire.send(&write).await.map_err(|e| e.to_string())?;
    let replicas = wire.send(&wait).await.map_err(|e| e.to_string())?;
    let id = Server::replication_of(wire).await.map_err(|e| e.to_string())?;
    if id.as_ref() != Some(&claimed.server.replication) {
        return Err("the server is not the primary any more".to_owned());
    }
    match replicas {
        Value::Int(replicas) if replicas > 0 => Ok(()),
        _ => Err(format!("no replica has it after {} ms", patience.as_millis())),
    }
}
