//! Servers that nodes find by way of others.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use undercurrent_servers::{Cluster, Sentinels, Server, ServerError, Setup};

use super::{Fault, Finding};
use crate::dice::Random;

/// Several servers, and who knows which of them is the primary.
#[derive(Debug)]
pub(super) enum Found {
    Cluster(Cluster),
    Sentinels {
        group: Box<Sentinels>,
        /// When a replica was promoted last. Locked for a look.
        promoted: Mutex<Option<Instant>>,
    },
}

/// For how long Sentinels promote nobody else: twice what they give a promotion, and a little more.
const BETWEEN: Duration = Duration::from_secs(11);

impl Found {
    /// Starts them, where nodes find their server so.
    pub(super) async fn start(finding: Finding) -> Result<Option<Self>, ServerError> {
        Ok(match finding {
            Finding::Address => None,
            Finding::Cluster => Some(Self::Cluster(Cluster::start(Setup::standalone()).await?)),
            Finding::Sentinels => {
                let group = Box::new(Sentinels::start(Setup::standalone(), 2, 3).await?);
                group.wait_to_be_told().await?;
                Some(Self::Sentinels { group, promoted: Mutex::default() })
            }
        })
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Cluster(cluster) => cluster.url(),
            Self::Sentinels { group, .. } => group.url(),
        }
    }

    /// Returns who has a key now.
    async fn primary(&self, key: &str) -> Result<&Server, ServerError> {
        match self {
            Self::Cluster(cluster) => cluster.owner(key).await,
            Self::Sentinels { group, .. } => group.primary().await,
        }
    }

    /// Lets something go wrong, and be right again. What would befall the way of one node befalls all connections here, and
    /// where a server would be lost a replica is promoted.
    ///
    /// At no moment are two of them primaries: nothing is promised then.
    pub(super) async fn disturb(
        &self,
        fault: Fault,
        keys: &str,
        random: &mut Random,
    ) -> Result<(), ServerError> {
        let key = |name: &str| format!("{keys}{name}");
        let server = self.primary(&key("control")).await?;
        match fault {
            Fault::Flush => server.flush_all().await,
            Fault::EvictControl => server.command(&["DEL", &key("control")]).await,
            Fault::EvictLast => server.command(&["DEL", &key("last")]).await,
            Fault::Pause
            | Fault::HoldAsked(_)
            | Fault::HoldAnswer(_)
            | Fault::Overtake(_)
            | Fault::Delay(_) => {
                server.stop().await?;
                // Far less than after what it counts as gone.
                tokio::time::sleep(Duration::from_millis(random.below(100))).await;
                server.go_on()
            }
            Fault::Cut(_) | Fault::HalfOpen(_) => server.command(&["CLIENT", "KILL", "TYPE", "normal"]).await,
            Fault::Promote | Fault::Empty | Fault::Older => self.promote(server, &key("control")).await,
        }
    }

    async fn promote(&self, server: &Server, key: &str) -> Result<(), ServerError> {
        match self {
            Self::Cluster(cluster) => cluster.fail_over(key).await,
            Self::Sentinels { promoted, .. }
                if promoted.lock().is_some_and(|promoted| promoted.elapsed() < BETWEEN) =>
            {
                server.flush_all().await
            }
            Self::Sentinels { group, promoted } => {
                server.kill();
                let successor = match group.fail_over().await {
                    Ok(()) => group.promoted(server.port()).await,
                    Err(error) => Err(error),
                };
                *promoted.lock() = Some(Instant::now());
                // Whatever became of that: nobody should miss it for ever.
                server.restart_empty().await?;
                server.replicate(successor?.port()).await
            }
        }
    }
}
