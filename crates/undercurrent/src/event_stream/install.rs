//! The rule set as the store knows it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use undercurrent_types::Position;

use super::EventStream;
use super::error::PublishError;
use crate::store::{self, Batch, Row, RowCheck, RowWrite, StoreError};

/// The table of rule sets, and the row of the one in force.
const TABLE: &str = "rules";
const CURRENT: &str = "current";

/// What the row says.
#[derive(Serialize, Deserialize)]
struct Installed {
    version: String,
}

impl EventStream {
    /// Installs this engine's rules as those of the namespace, by compare-and-set; writes nothing where they are.
    ///
    /// A data directory belongs to one process, so its configuration decides: other rules than the last ones take
    /// their place, and entries made under those are gone with the process that held them. On a shared store the first
    /// node decides; another one with other rules gets the version of those in force, and publishes nothing.
    pub(crate) async fn install_rules(&self) -> Result<Result<(), String>, PublishError> {
        match self.put_rules(!self.0.store.keeps_entries()).await {
            // Another node was faster.
            Err(PublishError::Store(store::PublishError::RowConflict { .. })) => self.put_rules(false).await,
            done => done,
        }
    }

    /// Puts this engine's rules in force for all nodes of the namespace, whatever rules were in force. Nodes that have
    /// others publish no more events until they are started with these.
    ///
    /// # Errors
    ///
    /// Fails when the store accepts nothing.
    pub async fn apply_rules(&self) -> Result<(), PublishError> {
        self.put_rules(true).await.map(drop)
    }

    async fn put_rules(&self, replace: bool) -> Result<Result<(), String>, PublishError> {
        let version = self.0.rules.version();
        let row = self.0.store.row(TABLE, CURRENT).await.map_err(store::PublishError::from)?;
        let before = row.as_ref().and_then(installed);
        if before.as_ref() == Some(&version) {
            self.hold_rules(row.map(|row| row.revision));
            return Ok(Ok(()));
        }
        if let Some(installed) = before.clone().filter(|_| !replace) {
            return Ok(Err(installed));
        }
        tracing::info!(?before, %version, "other rules are in force than before");
        let value = serde_json::to_vec(&Installed { version }).expect("a text has a JSON form");
        let expected = Some(row.map(|row| row.revision));
        let write =
            RowWrite { table: TABLE, id: CURRENT.to_owned(), expected, value: Some(Bytes::from(value)) };
        let published = self.0.store.publish(Batch::writing(vec![write])).await?;
        self.hold_rules(Some(published.token.position));
        Ok(Ok(()))
    }

    /// From here on events are published only while the rules stand at this revision, where other nodes could put
    /// others in force.
    fn hold_rules(&self, revision: Option<Position>) {
        if self.0.store.keeps_entries() {
            *self.0.rules_at.lock() = revision;
        }
    }

    /// Returns what has to stand where events are published.
    pub(super) fn rules_hold(&self) -> Vec<RowCheck> {
        let at = *self.0.rules_at.lock();
        at.map(|revision| RowCheck { table: TABLE, id: CURRENT, revision }).into_iter().collect()
    }

    /// Returns the version of the rules that the store knows, once they were installed.
    ///
    /// # Errors
    ///
    /// Fails when the store can not be asked.
    pub async fn installed_rules(&self) -> Result<Option<String>, StoreError> {
        Ok(self.0.store.row(TABLE, CURRENT).await?.as_ref().and_then(installed))
    }
}

fn installed(row: &Row) -> Option<String> {
    serde_json::from_slice::<Installed>(&row.value).ok().map(|installed| installed.version)
}
