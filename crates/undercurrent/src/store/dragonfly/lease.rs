//! Scopes that this node vouches for: the server believes it only while it hears from it.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{MutexGuard, Notify};
use undercurrent_types::Name;

use super::connection::{Call, Link};
use super::scripts::RENEW;
use super::shared::Shared;
use crate::store::{Batch, Mark, Moment, StoreError};

/// What this node vouches for. A mutex held for the time of a look.
pub(super) struct Vouched {
    /// What tells this node from all others that vouch, and from itself before a restart.
    pub(super) generation: String,
    scopes: Mutex<BTreeSet<Name>>,
    /// Rung when there is more.
    more: Notify,
    /// How often this node has put something in doubt. Held over whatever it says of who is to be believed.
    speaking: tokio::sync::Mutex<u64>,
}

/// What goes with something that this node says of who is to be believed. The server may hear it late, on a connection
/// that was lost, and knows by this whether it still counts.
pub(super) struct Word<'a> {
    /// The generation, and how often it has put something in doubt.
    pub(super) text: String,
    /// The server's time when it was said, in milliseconds.
    pub(super) said_ms: u64,
    _speaking: MutexGuard<'a, u64>,
}

impl Vouched {
    pub(super) fn new(generation: String) -> Self {
        let (scopes, more, speaking) = (Mutex::default(), Notify::new(), tokio::sync::Mutex::default());
        Self { generation, scopes, more, speaking }
    }

    /// Returns the word that goes with a batch, if it says who is to be believed.
    pub(super) async fn word_of(&self, batch: &Batch, link: &Link) -> Result<Option<Word<'_>>, StoreError> {
        let says = |mark| batch.names.iter().any(|moved| moved.mark == mark);
        let in_doubt = says(Mark::InDoubt);
        if !in_doubt && !says(Mark::Vouched) {
            return Ok(None);
        }
        let mut speaking = self.speaking.lock().await;
        *speaking += u64::from(in_doubt);
        Ok(Some(self.word(speaking, link).await?))
    }

    async fn word<'a>(&'a self, speaking: MutexGuard<'a, u64>, link: &Link) -> Result<Word<'a>, StoreError> {
        let said_ms = link.clock().await?.to_server(Moment::now());
        let text = format!("{}.{}", self.generation, *speaking);
        Ok(Word { text, said_ms, _speaking: speaking })
    }

    /// Notes what a batch that was published says.
    pub(super) fn published(&self, batch: &Batch) {
        let mut scopes = self.scopes.lock();
        for moved in batch.names.iter().filter(|moved| moved.name.as_str().starts_with("scope:")) {
            match moved.mark {
                Mark::Keep => {}
                Mark::InDoubt => {
                    scopes.remove(&moved.name);
                }
                Mark::Vouched => {
                    scopes.insert(moved.name.clone());
                    self.more.notify_one();
                }
            }
        }
    }

    /// Stops to vouch for everything: an invalidation did not reach the server, so nobody may believe that all did.
    /// In the model: `shared::lease::go_blind`.
    pub(super) fn withdraw(&self) {
        self.scopes.lock().clear();
    }

    fn all(&self) -> Vec<Name> {
        self.scopes.lock().iter().cloned().collect()
    }
}

/// Renews what this node vouches for, until the store ends.
/// In the model: `shared::lease::renew`.
pub(super) async fn renew(shared: Arc<Shared>) {
    let every = shared.link.options.vouch / 3;
    while !shared.is_closed() {
        let speaking = shared.vouched.speaking.lock().await;
        let scopes = shared.vouched.all();
        if scopes.is_empty() {
            drop(speaking);
            tokio::select! {
                () = shared.vouched.more.notified() => {}
                () = shared.closed() => return,
            }
        } else if let Ok(word) = shared.vouched.word(speaking, &shared.link).await {
            renew_all(&shared, &scopes, &word).await;
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = shared.closed() => return,
        }
    }
}

async fn renew_all(shared: &Shared, scopes: &[Name], word: &Word<'_>) {
    let workspaces = &shared.link.keys.workspaces;
    let vouch = shared.link.options.vouch.as_millis() as u64;
    let mut call = Call::of(&RENEW).arg(&*word.text).number(vouch).number(word.said_ms);
    scopes.iter().for_each(|scope| call.push(workspaces.outward(scope.as_str())));
    // One that fails is sent again; what lapses meanwhile is in doubt, and that is right.
    if let Ok(mut answer) = shared.link.run(&call).await {
        let mut mine = shared.vouched.scopes.lock();
        for scope in scopes {
            if answer.rest.text().is_ok_and(|told| told == "lost") {
                mine.remove(scope);
            }
        }
        drop(mine);
        shared.link.order.raise(scopes, answer.at.at);
    }
}
