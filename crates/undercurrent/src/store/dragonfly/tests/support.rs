//! Nodes of one namespace, for tests.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use undercurrent_servers::{Server, Space};
use undercurrent_types::{Durability, Position, Token};

use super::super::{SharedStore, SharedStoreOptions};
use crate::store::contract::{self, bare, batch, name};
use crate::store::{Horizon, NewEvent, Published, Slot, Store};

/// After this a condition has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn options(url: &str) -> SharedStoreOptions {
    SharedStoreOptions {
        connect_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(1),
        ..SharedStoreOptions::new(url.parse().unwrap())
    }
}

pub(super) async fn open(url: &str) -> Arc<SharedStore> {
    open_with(options(url)).await
}

pub(super) async fn open_with(options: SharedStoreOptions) -> Arc<SharedStore> {
    Arc::new(SharedStore::open(options).await.unwrap())
}

/// Opens two nodes.
pub(super) async fn two(server: &Server) -> [Arc<SharedStore>; 2] {
    [open(&server.url()).await, open(&server.url()).await]
}

/// Returns how a node uses a place on a server that may have others.
pub(super) fn options_in(space: &Space) -> SharedStoreOptions {
    SharedStoreOptions { prefix: space.prefix().to_owned(), ..options(&space.url()) }
}

/// Opens two nodes in a place.
pub(super) async fn two_in(space: &Space) -> [Arc<SharedStore>; 2] {
    [open_with(options_in(space)).await, open_with(options_in(space)).await]
}

/// Returns an event that every server can keep its promise of.
pub(super) fn new(to: &str, id: &str) -> NewEvent {
    NewEvent { durability: Durability::Memory, ..contract::new(to, id) }
}

pub(super) async fn publish(store: &SharedStore, to: &str, id: &str) -> Published {
    store.publish(batch(vec![new(to, id)])).await.unwrap()
}

/// Moves a name.
pub(super) async fn invalidate(store: &SharedStore, text: &str) -> Token {
    store.publish(bare(&[text])).await.unwrap().token
}

pub(super) fn floor(horizon: &Horizon, text: &str) -> Position {
    horizon.floor(Slot::of(&name(text)))
}

/// Waits for something that is tried again and again.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut tried: impl FnMut() -> F,
) -> T {
    let trying = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            if let Some(found) = tried().await {
                return found;
            }
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, trying).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}
