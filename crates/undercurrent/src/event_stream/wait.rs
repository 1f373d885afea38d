//! Waiting until a value is another.

use std::time::Duration;

use undercurrent_types::{Key, Version};

use super::EventStream;
use super::error::{ContextError, ContextReason};
use crate::cache::{Answer, Entry, LoadError, ReadError};

/// How often a source is asked at most for a value that nobody vouches for.
const ASK_EVERY: Duration = Duration::from_secs(1);

impl EventStream {
    /// Waits until the value of a key is another than `version`; without one, than now. Returns the new value.
    ///
    /// The store wakes it, so no change that it is told of is missed: at once where the value is another already. A
    /// value that nobody vouches for is asked for once a second. A key that nothing loads counts as absent until it is
    /// put; one whose value was invalidated and not put again is waited for.
    ///
    /// # Errors
    ///
    /// Fails with [`ContextReason::NotChanged`] when the time is over, and as a read does.
    pub async fn wait(
        &self,
        key: &Key,
        version: Option<Version>,
        timeout: Duration,
    ) -> Result<Answer, ContextError> {
        let change = tokio::time::timeout(timeout, self.change_of(key, version)).await;
        change.unwrap_or_else(|_| Err(ContextReason::NotChanged { key: key.clone(), timeout }.into()))
    }

    async fn change_of(&self, key: &Key, mut seen: Option<Version>) -> Result<Answer, ContextError> {
        loop {
            let mut put = std::pin::pin!(self.0.cache.was_put().notified());
            put.as_mut().enable();
            match self.get_app_context(key).await {
                Ok(answer) => {
                    if *seen.get_or_insert(answer.version()) != answer.version() {
                        return Ok(answer);
                    }
                    self.until_moved(answer.entry()).await?;
                }
                Err(error) if is_missing(&error) => {
                    seen.get_or_insert(Version::of(None));
                    // Another node that fills it tells nobody.
                    let elsewhere = async {
                        match self.0.store.keeps_entries() {
                            true => tokio::time::sleep(ASK_EVERY).await,
                            false => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = put => {}
                        () = elsewhere => {}
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until memory would not serve an entry any more.
    async fn until_moved(&self, entry: &Entry) -> Result<(), ContextError> {
        let names = &entry.closure.names;
        if entry.deadline.is_some_and(|deadline| deadline.remaining() < ASK_EVERY)
            || self.0.cache.doubtful(&entry.key, names).await.map_err(ReadError::from)?.is_some()
        {
            tokio::time::sleep(ASK_EVERY).await;
            return Ok(());
        }
        // A store behind a network follows its order while somebody listens.
        let _following = self.0.store.watch_visible();
        let late = async {
            match entry.deadline {
                Some(deadline) => tokio::time::sleep(deadline.remaining()).await,
                None => std::future::pending().await,
            }
        };
        let mut late = std::pin::pin!(late);
        loop {
            let mut moved = std::pin::pin!(self.0.store.horizon().moved().notified());
            // Listening first, so that what moves between the look and the wait is heard.
            moved.as_mut().enable();
            if !self.0.cache.is_valid(entry) {
                return Ok(());
            }
            tokio::select! {
                () = moved => {}
                () = &mut late => return Ok(()),
            }
        }
    }
}

fn is_missing(error: &ContextError) -> bool {
    matches!(error.reason(), ContextReason::Read(ReadError::Load(LoadError::Missing { .. })))
}
