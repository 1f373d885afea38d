//! The rule set as the store knows it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::EventStream;
use super::error::PublishError;
use crate::store::{self, Batch, Row, RowWrite, StoreError};

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
    /// their place, and entries made under those are gone with the process that held them.
    pub(crate) async fn install_rules(&self) -> Result<(), PublishError> {
        let version = self.0.rules.version();
        let row = self.0.store.row(TABLE, CURRENT).await.map_err(store::PublishError::from)?;
        let before = row.as_ref().and_then(installed);
        if before.as_ref() == Some(&version) {
            return Ok(());
        }
        tracing::info!(?before, %version, "other rules are in force than before");
        let value = serde_json::to_vec(&Installed { version }).expect("a text has a JSON form");
        let expected = Some(row.map(|row| row.revision));
        let write =
            RowWrite { table: TABLE, id: CURRENT.to_owned(), expected, value: Some(Bytes::from(value)) };
        self.0.store.publish(Batch::writing(vec![write])).await?;
        Ok(())
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
