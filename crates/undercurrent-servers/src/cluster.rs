//! A cluster of six nodes.

use futures_util::future::try_join_all;
use redis::Value;

use crate::choice;
use crate::error::ServerError;
use crate::replicated::follows;
use crate::server::{Server, field_of};
use crate::setup::Setup;
use crate::wait::until;

/// All slots of a cluster.
const SLOTS: u16 = 16_384;

/// Three primaries that share the slots evenly, and a replica of each.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes: three primaries, in the beginning, and their replicas in the same order.
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// How many primaries there are.
    pub const PRIMARIES: usize = 3;

    /// Starts six nodes, and returns when all of them call the cluster well and the replicas follow.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub async fn start(setup: Setup) -> Result<Self, ServerError> {
        let setup = setup.cluster();
        let program = choice::program(&setup.describe())?;
        let nodes = (0..2 * Self::PRIMARIES).map(|_| Server::start_program(&program, &setup));
        let cluster = Self { nodes: try_join_all(nodes).await? };
        cluster.share_slots().await?;
        cluster.meet().await?;
        cluster.pair().await?;
        cluster.well().await?;
        Ok(cluster)
    }

    /// Returns the URL of the cluster by way of all nodes.
    pub fn url(&self) -> String {
        let places: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        self.nodes[0].url_by("cluster", &places)
    }

    async fn share_slots(&self) -> Result<(), ServerError> {
        let share = SLOTS / u16::try_from(Self::PRIMARIES).expect("there are three");
        for (place, node) in self.nodes.iter().enumerate() {
            // Different from the start, so that no two nodes have to settle it between them later.
            let () = node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(place + 1).to_string()]).await?;
        }
        for (place, node) in (0..).zip(&self.nodes[..Self::PRIMARIES]) {
            let first = place * share;
            let is_last = usize::from(place) + 1 == Self::PRIMARIES;
            let last = if is_last { SLOTS - 1 } else { first + share - 1 };
            let () =
                node.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await?;
        }
        Ok(())
    }

    /// Makes every node known to every other.
    async fn meet(&self) -> Result<(), ServerError> {
        for (place, node) in self.nodes.iter().enumerate() {
            for other in &self.nodes[place + 1..] {
                let (port, bus) = (other.port().to_string(), other.bus().unwrap_or_default().to_string());
                let () = node.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await?;
            }
        }
        for node in &self.nodes {
            until("a node knows all nodes", || async {
                let text: String = node.command(&["CLUSTER", "NODES"]).await.map_err(|e| e.to_string())?;
                let known = text.lines().filter(|line| !line.contains("handshake")).count();
                if known == self.nodes.len() { Ok(()) } else { Err(text) }
            })
            .await?;
        }
        Ok(())
    }

    /// Gives every primary its replica.
    async fn pair(&self) -> Result<(), ServerError> {
        let (primaries, replicas) = self.nodes.split_at(Self::PRIMARIES);
        for (primary, replica) in primaries.iter().zip(replicas) {
            let id: String = primary.command(&["CLUSTER", "MYID"]).await?;
            let () = replica.command(&["CLUSTER", "REPLICATE", &id]).await?;
        }
        for replica in replicas {
            follows(replica).await?;
        }
        Ok(())
    }

    /// Waits until every node that runs calls the cluster well, and knows which nodes are primaries now.
    ///
    /// The others vote only for a node that they know as a replica, so that to know how many there are is not enough.
    ///
    /// # Errors
    ///
    /// Fails where that does not come about in time.
    pub async fn well(&self) -> Result<(), ServerError> {
        for node in self.running() {
            until("a node calls the cluster well", || async {
                let text: String = node.command(&["CLUSTER", "INFO"]).await.map_err(|e| e.to_string())?;
                let state = field_of(&text, "cluster_state");
                let size = field_of(&text, "cluster_size");
                if state != Some("ok") || size != Some("3") {
                    return Err(text);
                }
                let text: String = node.command(&["CLUSTER", "NODES"]).await.map_err(|e| e.to_string())?;
                let (mut primaries, mut known) = (self.primaries().await?, ports_of(&text, "master"));
                let replicas = self.running().count() - primaries.len();
                primaries.sort_unstable();
                known.sort_unstable();
                if primaries.len() == Self::PRIMARIES
                    && known == primaries
                    && ports_of(&text, "slave").len() == replicas
                {
                    Ok(())
                } else {
                    Err(text)
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Returns the ports of the nodes that call themselves primaries.
    async fn primaries(&self) -> Result<Vec<u16>, String> {
        let mut ports = Vec::new();
        for node in self.running() {
            if is_primary(node).await.map_err(|e| e.to_string())? {
                ports.push(node.port());
            }
        }
        Ok(ports)
    }

    fn running(&self) -> impl Iterator<Item = &Server> {
        self.nodes.iter().filter(|node| node.runs())
    }

    /// Returns the node that serves a key now: a primary that runs and has the key's slot.
    ///
    /// # Errors
    ///
    /// Fails where no node says so in time.
    pub async fn owner(&self, key: &str) -> Result<&Server, ServerError> {
        until("a primary has the slot of a key", || async {
            for node in self.running() {
                // A node that does not have the slot answers with a redirection.
                if node.command::<()>(&["EXISTS", key]).await.is_ok()
                    && is_primary(node).await.unwrap_or(false)
                {
                    return Ok(node);
                }
            }
            Err("every node that runs sends it elsewhere".to_owned())
        })
        .await
    }

    /// Moves the slot of a key, with all keys in it, to another primary; returns when every node knows it.
    ///
    /// # Errors
    ///
    /// Fails where a node refuses its part, as it does with a replica.
    pub async fn move_slot_of(&self, key: &str, to: usize) -> Result<(), ServerError> {
        let (from, to) = (self.owner(key).await?, &self.nodes[to]);
        let slot: u16 = from.command(&["CLUSTER", "KEYSLOT", key]).await?;
        let slot = slot.to_string();
        let (from_id, to_id): (String, String) =
            (from.command(&["CLUSTER", "MYID"]).await?, to.command(&["CLUSTER", "MYID"]).await?);
        let () = to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await?;
        let () = from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await?;
        let port = to.port().to_string();
        loop {
            let keys: Vec<String> = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await?;
            if keys.is_empty() {
                break;
            }
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "10000"];
            if let Some(password) = from.ruler() {
                words.extend(["AUTH", password]);
            }
            words.push("KEYS");
            words.extend(keys.iter().map(String::as_str));
            let () = from.command(&words).await?;
        }
        // First who gets it, so that it is never nobody's.
        let others = self.running().filter(|node| node.port() != to.port());
        for node in std::iter::once(to).chain(others) {
            if is_primary(node).await? {
                let () = node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await?;
            }
        }
        for node in self.running() {
            until("a node knows who has a slot", || async {
                let slots: Value = node.command(&["CLUSTER", "SLOTS"]).await.map_err(|e| e.to_string())?;
                let known = owner_of(&slots, slot.parse().unwrap_or_default());
                if known == Some(to.port()) { Ok(()) } else { Err(format!("it says that {known:?} has it")) }
            })
            .await?;
        }
        Ok(())
    }

    /// Promotes a replica without asking the primary or the others (`CLUSTER FAILOVER TAKEOVER`).
    ///
    /// # Errors
    ///
    /// Fails where the node is no replica.
    pub async fn take_over(&self, replica: usize) -> Result<(), ServerError> {
        self.nodes[replica].command(&["CLUSTER", "FAILOVER", "TAKEOVER"]).await
    }
}

impl Cluster {
    /// Lets the replica of the node that serves a key take its place, in agreement with it (`CLUSTER FAILOVER`): at no
    /// moment do both serve it. Returns when every node knows.
    ///
    /// # Errors
    ///
    /// Fails where there is no replica that could, or it does not come about in time.
    pub async fn fail_over(&self, key: &str) -> Result<(), ServerError> {
        let owner = self.owner(key).await?.port();
        let place = self.nodes.iter().position(|node| node.port() == owner).unwrap_or_default();
        let other = &self.nodes[(place + Self::PRIMARIES) % self.nodes.len()];
        let () = other.command(&["CLUSTER", "FAILOVER"]).await?;
        until("a replica takes over", || async {
            let role = other.info("replication", "role").await.map_err(|e| e.to_string())?;
            if role.as_deref() == Some("master") { Ok(()) } else { Err(format!("it is {role:?}")) }
        })
        .await?;
        self.well().await
    }
}

/// Asks a node whether it calls itself a primary.
async fn is_primary(node: &Server) -> Result<bool, ServerError> {
    Ok(node.info("replication", "role").await?.as_deref() == Some("master"))
}

/// Returns the ports of the nodes of a role, those that do not answer left out, of lines `id host:port@bus flags …`
/// (`CLUSTER NODES`).
fn ports_of(nodes: &str, role: &str) -> Vec<u16> {
    let port = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (address, flags) = (words.next()?, words.next()?);
        let is_of_role = flags.contains(role) && !flags.contains("fail");
        let address = address.split('@').next()?;
        is_of_role.then(|| address.rsplit(':').next()?.parse().ok()).flatten()
    };
    nodes.lines().filter_map(port).collect()
}

/// Reads `[[first, last, [host, port, …], …], …]`.
fn owner_of(slots: &Value, slot: i64) -> Option<u16> {
    let Value::Array(ranges) = slots else { return None };
    ranges.iter().find_map(|range| match range {
        Value::Array(range) => match &range[..] {
            [Value::Int(first), Value::Int(last), Value::Array(primary), ..]
                if (*first..=*last).contains(&slot) =>
            {
                match primary.get(1) {
                    Some(Value::Int(port)) => u16::try_from(*port).ok(),
                    _ => None,
                }
            }
            _ => None,
        },
        _ => None,
    })
}
