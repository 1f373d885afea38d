//! How much is asked of the sources at once, and how soon again after a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use undercurrent_types::{Key, Name, Position};

use super::Cache;
use super::loader::LoadError;

/// How many keys are known to fail. One that was forgotten is asked at once.
pub(super) const FAILING: usize = 4096;
/// How long the third attempt waits after the second has failed; each later one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A load's place among those of its kind that run at once.
///
/// It is left while the load waits for another key: a load that waits for others holds nothing that they could need, so
/// loads of one kind that read each other do not wait for ever, however deep.
pub(super) struct Place {
    places: Option<Arc<Semaphore>>,
    /// How many keys the load waits for; a loader may read several at once.
    waiting: AtomicUsize,
    /// Held across the wait for a place, so that one load never takes two.
    held: tokio::sync::Mutex<Option<OwnedSemaphorePermit>>,
}

impl Place {
    pub(super) fn among(places: Option<Arc<Semaphore>>) -> Self {
        Self { places, waiting: AtomicUsize::new(0), held: tokio::sync::Mutex::default() }
    }

    /// Waits for a place, if the load has none.
    pub(super) async fn enter(&self) {
        let Some(places) = &self.places else { return };
        let mut held = self.held.lock().await;
        if held.is_none() {
            // It is never closed.
            *held = places.clone().acquire_owned().await.ok();
        }
        if self.waiting.load(Ordering::Relaxed) > 0 {
            *held = None;
        }
    }

    /// Leaves the place for as long as another key is waited for.
    pub(super) fn leave(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Where somebody waits for the place, it is not kept: all of a load's reads belong to one task.
        if let Ok(mut held) = self.held.try_lock() {
            *held = None;
        }
    }

    /// Comes back from one key, and takes a place again when it was the last.
    pub(super) async fn come_back(&self) {
        if self.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.enter().await;
        }
    }
}

/// A key whose last loads failed.
pub(super) struct Failing {
    times: u32,
    /// When it is asked again.
    until: Instant,
    /// The position of the last load: what moves the key later resets the count.
    at: Position,
    error: LoadError,
}

impl Cache {
    /// Returns the error to answer with instead of a load, where a key failed more than once and not long ago.
    ///
    /// Only for reads that memory may answer: who asks for the source, or for a load, gets that.
    pub(super) fn backing_off(&self, key: &Key) -> Option<LoadError> {
        let failing = self.0.failing.get(key)?;
        let after = failing.until.checked_duration_since(Instant::now())?;
        if after.is_zero() || self.has_moved(key, failing.at) {
            return None;
        }
        let (key, error) = (key.clone(), Box::new(failing.error.clone()));
        Some(LoadError::BackingOff { key, after, error })
    }

    /// Takes in how a load ended.
    pub(super) fn note_load<T>(&self, key: &Key, at: Position, ended: &Result<T, LoadError>) {
        let before = self.0.failing.get(key);
        let Err(error) = ended else {
            if before.is_some() {
                self.0.failing.remove(key);
            }
            return;
        };
        if !error.code().is_retryable() {
            return;
        }
        let before = before.filter(|failing| !self.has_moved(key, failing.at));
        let times = before.map_or(0, |failing| failing.times) + 1;
        let until = Instant::now() + wait_after(times);
        let failing = Failing { times, until, at, error: error.clone() };
        self.0.failing.insert(key.clone(), Arc::new(failing));
    }

    fn has_moved(&self, key: &Key, since: Position) -> bool {
        self.0.store.still_valid(&[Name::from(key)], since).is_none()
    }
}

/// Says how long to wait after so many failures: not at all after the first.
fn wait_after(times: u32) -> Duration {
    match times {
        0 | 1 => Duration::ZERO,
        _ => FIRST_WAIT.saturating_mul(1 << (times - 2).min(16)).min(LONGEST_WAIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let cases = [(1, 0), (2, 100), (3, 200), (8, 6400), (9, 10_000), (1000, 10_000)];
        for (times, ms) in cases {
            assert_eq!(wait_after(times), Duration::from_millis(ms), "after {times} failures");
        }
    }
}
