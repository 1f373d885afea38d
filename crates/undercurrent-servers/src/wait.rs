//! Waiting for a condition.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::error::ServerError;

/// After this a condition has failed. Long, since a loaded machine is slow; it is not waited out by what succeeds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The time between two looks.
const STEP: Duration = Duration::from_millis(3);

/// Looks until a look succeeds, and returns what it gave.
///
/// A look answers with what it saw instead, for the error. One that hangs is given up when the time is over.
pub(crate) async fn until<T, L>(what: &str, mut look: impl FnMut() -> L) -> Result<T, ServerError>
where
    L: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = interval(STEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = "the first look did not end".to_owned();
    let looking = async {
        loop {
            ticks.tick().await;
            match look().await {
                Ok(it) => return it,
                Err(seen) => last = seen,
            }
        }
    };
    match timeout_at(deadline, looking).await {
        Ok(it) => Ok(it),
        Err(_) => {
            Err(ServerError::Late { what: what.to_owned(), patience: PATIENCE, last, output: String::new() })
        }
    }
}
