//! How each root is doing.

use std::time::Instant;

use tokio::sync::watch;
use undercurrent_types::wire::SourceStatus;

use crate::event_stream::health::is_same;
use crate::workspace::Workspace;

/// How a root is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// The first walk goes on; until it has ended every key is verified.
    Starting,
    /// Something may have been missed, for this reason; until another walk has ended every key is verified.
    Again(String),
    /// Every change is reported.
    Live,
    /// Part of it is verified at each read, for this reason.
    Degraded(String),
    /// Nothing is reported, for this reason.
    Down(String),
}

/// The health of each root, and since when: written by the pipeline and its guard, read by everybody.
///
/// A watch channel, because those who wait for a root want its latest state and not each one on the way.
#[derive(Debug)]
pub(super) struct Board(watch::Sender<Vec<(Health, Instant)>>);

impl Board {
    pub(super) fn new(roots: usize) -> Self {
        Self(watch::Sender::new(vec![(Health::Starting, Instant::now()); roots]))
    }

    pub(super) fn set(&self, place: usize, health: Health) {
        self.0.send_if_modified(|roots| {
            let has_changed = roots[place].0 != health;
            if has_changed {
                roots[place] = (health, Instant::now());
            }
            has_changed
        });
    }

    pub(super) fn set_all(&self, health: &Health) {
        let roots = self.0.borrow().len();
        (0..roots).for_each(|place| self.set(place, health.clone()));
    }

    /// Says whether every root is watched.
    pub(super) fn is_live(&self) -> bool {
        self.0.borrow().iter().all(|(health, _)| matches!(health, Health::Live | Health::Degraded(_)))
    }

    /// Says whether nothing is reported of any root.
    pub(super) fn is_down(&self) -> bool {
        self.0.borrow().iter().all(|(health, _)| matches!(health, Health::Down(_)))
    }

    /// Waits until all roots are in such a state.
    pub(super) async fn wait(&self, is_awaited: impl Fn(&Health) -> bool) {
        let mut roots = self.0.subscribe();
        // The sender is borrowed, so it can not be gone.
        let _ = roots.wait_for(|roots| roots.iter().all(|(health, _)| is_awaited(health))).await;
    }

    /// Waits until the status of a root is not as it was.
    pub(super) async fn status_after(
        &self,
        workspace: &Workspace,
        known: &[SourceStatus],
    ) -> Vec<SourceStatus> {
        let mut roots = self.0.subscribe();
        loop {
            roots.mark_unchanged();
            let now = self.status(workspace);
            let is_known =
                now.len() == known.len() && now.iter().zip(known).all(|(one, other)| is_same(one, other));
            // The sender is borrowed, so it can not be gone.
            if !is_known || roots.changed().await.is_err() {
                return now;
            }
        }
    }

    pub(super) fn status(&self, workspace: &Workspace) -> Vec<SourceStatus> {
        let states = self.0.borrow().clone();
        let status = workspace.roots().zip(states).map(|(root, (health, since))| {
            let (health, reason) = match health {
                Health::Starting => ("starting", None),
                Health::Live => ("live", None),
                Health::Again(reason) => ("degraded", Some(format!("it is walked again: {reason}"))),
                Health::Degraded(reason) => ("degraded", Some(reason)),
                Health::Down(reason) => ("down", Some(reason)),
            };
            SourceStatus {
                name: root.source_text.clone(),
                target: root.path.display().to_string(),
                health: health.to_owned(),
                reason,
                for_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
                directories: Some(workspace.watched_count(root) as u64),
            }
        });
        status.collect()
    }
}
