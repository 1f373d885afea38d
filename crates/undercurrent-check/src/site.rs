//! A server with the ways to it of several nodes, and what goes wrong with both.

mod found;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use undercurrent::store::dragonfly::SharedStoreOptions;
use undercurrent_servers::{Direction, Proxy, Replicated, ServerError, Setup, Space, URL_VARIABLE};

use self::found::Found;
use crate::dice::Random;

/// How long an answer may take where servers stand still: short, since nobody learns anything while it is waited for.
const PATIENCE: Duration = Duration::from_millis(400);

/// A port that nobody listens at.
const NOBODY: u16 = 1;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Everything on the server is removed.
    Flush,
    /// The server is killed and comes back with nothing.
    Empty,
    /// The server is killed and comes back with what it had at the last look.
    Older,
    /// What the positions are counted in is evicted.
    EvictControl,
    /// What remembers the last invalidation of each name is evicted.
    EvictLast,
    /// The server stands still, and goes on.
    Pause,
    /// All connections of a node are cut.
    Cut(usize),
    /// What a node asks arrives late.
    HoldAsked(usize),
    /// What a node is answered arrives late.
    HoldAnswer(usize),
    /// One connection of a node is held, so that others overtake it.
    Overtake(usize),
    /// Everything that a node asks and is answered takes longer.
    Delay(usize),
    /// What a node is answered is lost, and it is told nothing.
    HalfOpen(usize),
    /// A replica that lags is made the primary; the old one follows it and still answers.
    Promote,
}

/// How the nodes find their server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Finding {
    /// At an address, with a way to it of each node that can be disturbed too.
    #[default]
    Address,
    /// In a cluster of six.
    Cluster,
    /// By way of three Sentinels.
    Sentinels,
}

/// Draws what goes wrong, and how long after what went wrong before.
pub fn faults_of(seed: u64, nodes: usize) -> impl Iterator<Item = (Duration, Fault)> {
    let mut random = Random::new(seed ^ 0xfa17);
    let draw = move || {
        let node = random.below(nodes as u64) as usize;
        let fault = match random.below(16) {
            0 => Fault::Flush,
            1 => Fault::Empty,
            2 => Fault::Older,
            3 => Fault::EvictControl,
            4 | 5 => Fault::EvictLast,
            6 => Fault::Pause,
            7 | 8 => Fault::Cut(node),
            9 => Fault::HoldAsked(node),
            10 => Fault::HoldAnswer(node),
            11 => Fault::Overtake(node),
            12 => Fault::Delay(node),
            13 => Fault::HalfOpen(node),
            _ => Fault::Promote,
        };
        (Duration::from_millis(5 + random.below(60)), fault)
    };
    std::iter::repeat_with(draw)
}

/// Returns how a node uses a place. Some seeds remember little: their logs are trimmed and names forgotten.
pub fn options((url, prefix): (String, String), seed: u64, disturbed: bool) -> SharedStoreOptions {
    let mut options = SharedStoreOptions::new(url.parse().expect("the kit writes URLs"));
    options.prefix = prefix;
    options.namespace = format!("seed-{seed}");
    if seed.is_multiple_of(3) {
        (options.records, options.names) = (24, 6);
    }
    if disturbed {
        (options.response_timeout, options.connect_timeout) = (PATIENCE, PATIENCE);
        options.vouch = Duration::from_millis(600);
    }
    options
}

/// A server and a proxy before it for each node.
#[derive(Debug)]
pub struct Site {
    place: Place,
    seed: u64,
}

#[derive(Debug)]
enum Place {
    /// Servers of this site alone, with the place of the one that is the primary.
    Own { group: Replicated, primary: AtomicUsize, proxies: Vec<Proxy> },
    /// Servers of this site alone that are found by way of others: nodes are led past every proxy.
    Found(Found),
    /// A place on a server that runs already, where nothing is disturbed.
    Given(Space),
}

impl Site {
    /// Starts a server for so many nodes; one with a replica, where one is needed.
    ///
    /// # Errors
    ///
    /// Fails when no server can be started.
    pub async fn start(
        seed: u64,
        nodes: usize,
        disturbed: bool,
        finding: Finding,
    ) -> Result<Self, ServerError> {
        if let Ok(url) = std::env::var(URL_VARIABLE)
            && !url.is_empty()
        {
            return Ok(Self { place: Place::Given(Space::at(&url)), seed });
        }
        if let Some(found) = Found::start(finding).await? {
            return Ok(Self { place: Place::Found(found), seed });
        }
        let group = Replicated::start(Setup::standalone(), usize::from(disturbed)).await?;
        let mut proxies = Vec::new();
        for _ in 0..nodes {
            proxies.push(Proxy::start(group.primary.port()).await?);
        }
        Ok(Self { place: Place::Own { group, primary: AtomicUsize::new(0), proxies }, seed })
    }

    /// Says whether anything can go wrong here.
    pub fn can_be_disturbed(&self) -> bool {
        !matches!(self.place, Place::Given(_))
    }

    /// Returns where a node finds the server, and what all keys there begin with.
    pub fn place_of(&self, node: usize) -> (String, String) {
        match &self.place {
            Place::Own { group, proxies, .. } => {
                (group.primary.url_at(proxies[node].port()), "uc".to_owned())
            }
            Place::Found(found) => (found.url(), "uc".to_owned()),
            Place::Given(space) => (space.url(), space.prefix().to_owned()),
        }
    }

    /// Lets something go wrong, and be right again.
    ///
    /// # Errors
    ///
    /// Fails when the server does not do what it should.
    pub async fn disturb(&self, fault: Fault, random: &mut Random) -> Result<(), ServerError> {
        let (group, primary, proxies) = match &self.place {
            Place::Own { group, primary, proxies } => (group, primary, proxies),
            Place::Found(found) => return found.disturb(fault, &self.key(""), random).await,
            Place::Given(_) => return Ok(()),
        };
        let servers: Vec<_> = std::iter::once(&group.primary).chain(&group.replicas).collect();
        let at = primary.load(Ordering::Relaxed);
        let server = servers[at];
        let mut some = |most: u64| tokio::time::sleep(Duration::from_millis(random.below(most)));
        match fault {
            Fault::Flush => server.flush_all().await?,
            Fault::Empty => server.restart_empty().await?,
            Fault::Older => {
                let snapshot = server.snapshot().await?;
                some(40).await;
                server.restart_from(&snapshot).await?;
            }
            Fault::EvictControl => server.command(&["DEL", &self.key("control")]).await?,
            Fault::EvictLast => server.command(&["DEL", &self.key("last")]).await?,
            Fault::Pause => {
                server.stop().await?;
                some(100).await;
                server.go_on()?;
            }
            Fault::Cut(node) => proxies[node].cut(),
            Fault::HoldAsked(node) | Fault::HoldAnswer(node) => {
                let asked = matches!(fault, Fault::HoldAsked(_));
                let way = if asked { Direction::ToServer } else { Direction::ToClient };
                proxies[node].hold(way);
                some(100).await;
                proxies[node].release(way);
            }
            Fault::Overtake(node) => {
                let links = proxies[node].links();
                if let Some(link) = links.last() {
                    link.hold(Direction::ToServer);
                    some(60).await;
                    link.release(Direction::ToServer);
                }
            }
            Fault::Delay(node) => {
                for delay in [Duration::from_millis(3), Duration::ZERO] {
                    proxies[node].delay(Direction::ToServer, delay);
                    proxies[node].delay(Direction::ToClient, delay);
                    some(100).await;
                }
            }
            Fault::HalfOpen(node) => {
                proxies[node].swallow(Direction::ToClient);
                some(60).await;
                proxies[node].cut();
                proxies[node].release(Direction::ToClient);
            }
            Fault::Promote => {
                let next = (at + 1) % servers.len();
                let replica = servers[next];
                // It has not what is written from here on.
                if next == 1 {
                    group.links[0].hold(Direction::ToClient);
                }
                tokio::time::sleep(Duration::from_millis(random.below(30))).await;
                // Demoted first, and for a while nobody is there to follow: it answers with what it has. No two of them
                // are primaries at once.
                server.replicate(NOBODY).await?;
                replica.promote().await?;
                primary.store(next, Ordering::Relaxed);
                proxies.iter().for_each(|proxy| proxy.direct(replica.port()));
                if random.below(2) == 0 {
                    proxies[random.below(proxies.len() as u64) as usize].cut();
                }
                tokio::time::sleep(Duration::from_millis(random.below(150))).await;
                server.replicate(replica.port()).await?;
                if next == 1 {
                    group.links[0].release(Direction::ToClient);
                }
            }
        }
        Ok(())
    }

    /// Returns a key of the namespace on the server.
    fn key(&self, name: &str) -> String {
        format!("{{uc:seed-{}}}:{name}", self.seed)
    }
}
