//! What happens when nobody watches any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cookie::Cookies;
use super::health::{Board, Health};
use super::publish::{Publish, Refusal};
use crate::store::{Invalidation, Mark};
use crate::workspace::Workspace;

/// Puts every root in doubt when it is dropped, whatever ended the task that held it: a panic, an abort, an error.
///
/// Before that it takes the coverage away and fails the barriers, so that nothing is vouched for from the first moment
/// on.
pub(super) struct Guard {
    pub(super) publisher: Arc<dyn Publish>,
    pub(super) workspace: Arc<Workspace>,
    pub(super) board: Arc<Board>,
    pub(super) cookies: Arc<Cookies>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) runtime: Handle,
    pub(super) reason: String,
    /// Whether the end was asked for and everything below has been done in order.
    pub(super) is_over: bool,
}

/// How long to wait before a refused batch is tried again.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        leave(&self.workspace, &self.cookies, &self.board, &self.reason);
        let (publisher, stop) = (self.publisher.clone(), self.stop.clone());
        let (names, reason) = (doubts(&self.workspace), std::mem::take(&mut self.reason));
        let doubt = async move {
            while let Err(Refusal::Events(_) | Refusal::Log(_)) =
                publisher.publish(Vec::new(), names.clone(), &reason).await
            {
                if stop.run_until_cancelled(sleep(AGAIN)).await.is_none() {
                    return;
                }
            }
        };
        self.tasks.spawn_on(doubt, &self.runtime);
    }
}

/// Says everywhere in memory that nobody watches.
pub(super) fn leave(workspace: &Workspace, cookies: &Cookies, board: &Board, reason: &str) {
    workspace.roots().for_each(|root| workspace.unset_below(&root.path));
    cookies.close(reason);
    board.set_all(&Health::Down(reason.to_owned()));
}

/// Returns what puts every root in doubt.
pub(super) fn doubts(workspace: &Workspace) -> Vec<Invalidation> {
    workspace
        .roots()
        .map(|root| Invalidation { name: root.scope(), mark: Mark::InDoubt, event: None })
        .collect()
}
