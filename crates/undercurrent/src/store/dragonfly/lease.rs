//! Scopes that this node vouches for: the server believes it only while it hears from it.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use undercurrent_types::Name;

use super::connection::Call;
use super::scripts::RENEW;
use super::shared::Shared;
use crate::store::{Batch, Mark};

/// What this node vouches for. A mutex held for the time of a look.
pub(super) struct Vouched {
    /// What tells this node from all others that vouch, and from itself before a restart.
    pub(super) generation: String,
    scopes: Mutex<BTreeSet<Name>>,
    /// Rung when there is more.
    more: Notify,
    /// Held over each renewal, and over whatever puts a scope in doubt: a renewal that is sent again because its
    /// connection was lost must not come behind that.
    speaking: tokio::sync::Mutex<()>,
}

impl Vouched {
    pub(super) fn new(generation: String) -> Self {
        let (scopes, more, speaking) = (Mutex::default(), Notify::new(), tokio::sync::Mutex::default());
        Self { generation, scopes, more, speaking }
    }

    /// Waits until nothing is being renewed, where a batch puts a scope in doubt; nothing is while the guard is held.
    pub(super) async fn let_speak(&self, batch: &Batch) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let in_doubt = batch.names.iter().any(|moved| moved.mark == Mark::InDoubt);
        if in_doubt { Some(self.speaking.lock().await) } else { None }
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
        } else {
            let mut call = Call::of(&RENEW).arg(&*shared.vouched.generation);
            call.push(shared.link.options.vouch.as_millis().to_string());
            let workspaces = &shared.link.keys.workspaces;
            scopes.iter().for_each(|scope| call.push(workspaces.outward(scope.as_str())));
            // One that fails is sent again; what lapses meanwhile is in doubt, and that is right.
            if let Ok(mut answer) = shared.link.run(&call).await {
                let mut mine = shared.vouched.scopes.lock();
                for scope in &scopes {
                    if answer.rest.text().is_ok_and(|told| told == "lost") {
                        mine.remove(scope);
                    }
                }
                drop(mine);
                shared.link.order.raise(&scopes, answer.at.at);
            }
            drop(speaking);
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = shared.closed() => return,
        }
    }
}
