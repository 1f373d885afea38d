//! What the server hears late of who is to be believed.

use std::sync::Arc;
use std::time::Duration;

use undercurrent_servers::Direction::ToServer;
use undercurrent_servers::{Link, Point, Proxy, Server, Setup, applicable};

use super::super::scripts::{PUBLISH, RENEW, Script};
use super::super::{SharedStore, SharedStoreOptions};
use super::support::{eventually, open, open_with, options};
use crate::store::contract::name;
use crate::store::{Batch, Commit, Committed, Invalidation, Mark, Moment, Store};

/// One node that vouches through a proxy, and one that reads.
struct Site {
    server: Server,
    proxy: Proxy,
    owner: Arc<SharedStore>,
    reader: Arc<SharedStore>,
}

impl Site {
    async fn open(vouch: Duration) -> Option<Self> {
        let server = applicable(Server::start(Setup::standalone()).await)?;
        // So that each is sent by its hash alone.
        for script in [&PUBLISH, &RENEW] {
            let _: String = server.command(&["SCRIPT", "LOAD", &script.text]).await.unwrap();
        }
        let proxy = Proxy::start(server.port()).await.unwrap();
        let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
        let owner = open_with(SharedStoreOptions { vouch, ..options(&url) }).await;
        let reader = open(&server.url()).await;
        Some(Self { server, proxy, owner, reader })
    }

    async fn say(&self, mark: Mark) {
        let scope = Invalidation { name: name("scope:s"), mark, event: None };
        self.owner.publish(Batch::moving(vec![scope], "a test")).await.unwrap();
    }

    async fn is_in_doubt(&self) -> bool {
        let now = self.reader.barrier().await.unwrap();
        let judged = self.reader.commit(Commit::of(now, &[name("scope:s")])).await.unwrap();
        judged == Committed::InDoubt
    }

    /// How many scripts the server has run.
    async fn calls(&self) -> u64 {
        let stats: String = self.server.command(&["INFO", "commandstats"]).await.unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap();
        line.split(',').next().unwrap().parse().unwrap()
    }

    /// Has the owner vouch, and holds up the first renewal of that.
    async fn vouches_and_renews_late(&self) -> Link {
        let snare = self.proxy.snare(ToServer, call_of(&RENEW));
        self.say(Mark::Vouched).await;
        snare.caught().await.unwrap()
    }

    /// Lets the server hear at last what was held.
    async fn hears(&self, held: &Link) {
        let before = self.calls().await;
        held.release(ToServer);
        eventually("the server runs it", || async { (self.calls().await > before).then_some(()) }).await;
    }
}

fn call_of(script: &Script) -> Point {
    Point::Before(script.sha.clone().into_bytes())
}

#[tokio::test]
async fn a_renewal_that_comes_behind_a_doubt_does_not_end_it() {
    let Some(site) = Site::open(Duration::from_secs(6)).await else { return };
    let held = site.vouches_and_renews_late().await;
    assert!(!site.is_in_doubt().await);
    site.say(Mark::InDoubt).await;
    assert!(site.is_in_doubt().await);
    site.hears(&held).await;
    assert!(site.is_in_doubt().await);
    // Its owner ends it.
    site.say(Mark::Vouched).await;
    assert!(!site.is_in_doubt().await);
}

#[tokio::test]
async fn a_word_that_comes_behind_a_doubt_does_not_end_it() {
    let Some(site) = Site::open(Duration::from_secs(30)).await else { return };
    let snare = site.proxy.snare(ToServer, call_of(&PUBLISH));
    let said = site.say(Mark::Vouched);
    let caught = async {
        let held = snare.caught().await.unwrap();
        drop(snare);
        held
    };
    // It is sent again on another connection.
    let ((), held) = tokio::join!(said, caught);
    site.say(Mark::InDoubt).await;
    site.hears(&held).await;
    assert!(site.is_in_doubt().await);
}

#[tokio::test]
async fn a_renewal_lasts_from_when_it_was_sent() {
    let Some(site) = Site::open(Duration::from_secs(1)).await else { return };
    let held = site.vouches_and_renews_late().await;
    let over = Moment::now().after(Duration::from_secs(1));
    site.owner.close().await;
    eventually("it lapses", || async { site.is_in_doubt().await.then_some(()) }).await;
    eventually("its time is over", || async { over.remaining().is_zero().then_some(()) }).await;
    site.hears(&held).await;
    assert!(site.is_in_doubt().await, "nobody is there any more");
}
