//! The rule set as the store knows it.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use undercurrent_types::{Incarnation, Token};

use super::EventStream;
use super::error::{OtherRules, PublishError};
use crate::rules::RuleSet;
use crate::store::{self, Batch, Row, RowCheck, RowWrite, StoreError};

/// The table of rule sets, and the row of the one in force.
const TABLE: &str = "rules";
const CURRENT: &str = "current";
/// How often rules are read again that others change meanwhile, before that is an error.
pub(super) const TRIES: usize = 4;

/// What the row says.
#[derive(Serialize, Deserialize)]
struct Installed {
    version: String,
    /// The rules themselves, one in a line; a row of an earlier version of Undercurrent has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rules: Option<String>,
}

/// The rules that events are matched by, and where they stand in a store that other nodes use too. Both are read
/// together: what was matched by some rules is published only while those stand.
#[derive(Clone)]
pub(super) struct InForce {
    pub(super) rules: Arc<RuleSet>,
    at: Option<Token>,
}

impl InForce {
    /// Returns rules that no store knows of yet.
    pub(super) fn alone(rules: Arc<RuleSet>) -> Self {
        Self { rules, at: None }
    }

    /// Returns what has to stand where events are published that were matched by these rules.
    pub(super) fn holds(&self) -> Vec<RowCheck> {
        let at = self.at.map(|at| RowCheck { table: TABLE, id: CURRENT, revision: at.position });
        at.into_iter().collect()
    }

    /// Says whether other nodes may put others in force.
    pub(super) fn is_shared(&self) -> bool {
        self.at.is_some()
    }
}

impl EventStream {
    /// Installs this engine's rules as those of the namespace, by compare-and-set; writes nothing where they are.
    ///
    /// A data directory belongs to one process, so its configuration decides: other rules than the last ones take
    /// their place, and entries made under those are gone with the process that held them. On a shared store the first
    /// node decides, and another one takes over what is in force, if it has all rules of its own configuration.
    pub(crate) async fn install_rules(&self) -> Result<(), PublishError> {
        if self.0.store.keeps_entries() {
            self.take_rules().await.map(drop)
        } else {
            self.apply_rules().await
        }
    }

    /// Puts the rules of this engine's configuration in force for all nodes of the namespace, whatever rules were in
    /// force. Other nodes go by them from their next event on; one whose configuration names a rule that is not among
    /// them publishes no more events.
    ///
    /// # Errors
    ///
    /// Fails when the store accepts nothing.
    pub async fn apply_rules(&self) -> Result<(), PublishError> {
        let (own, version) = (Arc::clone(&self.0.configured), self.0.configured.version());
        for _ in 0..TRIES {
            let (inc, row) = self.rules_row().await?;
            let before = row.as_ref().and_then(installed);
            if before.as_ref().is_some_and(|before| before.version == version && before.rules.is_some()) {
                self.go_by(own, inc, row.as_ref());
                return Ok(());
            }
            tracing::info!(before = ?before.map(|before| before.version), %version, "other rules are in force than before");
            if self.write_rules(&own, row.as_ref()).await?.is_some() {
                return Ok(());
            }
        }
        Err(self.changing())
    }

    /// Asks the store which rules are in force, and goes by them where they have all that this node's configuration
    /// names. A store that has forgotten them is told those by which this node went.
    pub(super) async fn take_rules(&self) -> Result<InForce, PublishError> {
        for _ in 0..TRIES {
            let (inc, row) = self.rules_row().await?;
            let Some(row) = row else {
                let rules = self.in_force().rules;
                match self.write_rules(&rules, None).await? {
                    Some(in_force) => return Ok(in_force),
                    // Another node was faster.
                    None => continue,
                }
            };
            let rules = self.read_rules(&row)?;
            if rules != self.in_force().rules {
                tracing::info!(version = %rules.version(), "this node goes by other rules than before, which are in force for all");
            }
            return Ok(self.go_by(rules, inc, Some(&row)));
        }
        Err(self.changing())
    }

    /// Returns the rules of the row, if this node can go by them.
    fn read_rules(&self, row: &Row) -> Result<Arc<RuleSet>, OtherRules> {
        let own = &self.0.configured;
        let refuse = |installed: &str, reason: String| OtherRules {
            installed: installed.to_owned(),
            own: own.version(),
            reason,
        };
        let Installed { version, rules } =
            installed(row).ok_or_else(|| refuse("", "their row can not be read".to_owned()))?;
        if version == own.version() {
            return Ok(Arc::clone(own));
        }
        let text = rules.ok_or_else(|| refuse(&version, "only their version is kept".to_owned()))?;
        let rules = RuleSet::from_canonical(&text)
            .map_err(|reason| refuse(&version, format!("they can not be read here: {reason}")))?;
        if rules.version() != version {
            return Err(refuse(&version, "they are not those of that version".to_owned()));
        }
        match rules.lacks(own) {
            Some(rule) => Err(refuse(&version, format!("they do not have its rule `{}`", rule.name()))),
            None => Ok(Arc::new(rules)),
        }
    }

    /// Writes rules in the place of what was read, and goes by them; `None` if something else stands there now.
    async fn write_rules(
        &self,
        rules: &Arc<RuleSet>,
        before: Option<&Row>,
    ) -> Result<Option<InForce>, PublishError> {
        let said = Installed { version: rules.version(), rules: Some(rules.canonical()) };
        let value = serde_json::to_vec(&said).expect("a text has a JSON form");
        let expected = Some(before.map(|row| row.revision));
        let write =
            RowWrite { table: TABLE, id: CURRENT.to_owned(), expected, value: Some(Bytes::from(value)) };
        match self.0.store.publish(Batch::writing(vec![write])).await {
            Ok(published) => {
                let row = Row { revision: published.token.position, value: Bytes::new() };
                Ok(Some(self.go_by(Arc::clone(rules), published.token.inc, Some(&row))))
            }
            Err(store::PublishError::RowConflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// From here on events are matched by these rules, and published only while they stand as they were read, where
    /// other nodes could put others in force.
    fn go_by(&self, rules: Arc<RuleSet>, inc: Incarnation, row: Option<&Row>) -> InForce {
        let row = row.filter(|_| self.0.store.keeps_entries());
        let in_force = InForce { rules, at: row.map(|row| Token { inc, position: row.revision }) };
        // A slower one may have read an older row: its next event is refused, and it reads again.
        self.0.in_force.lock().clone_from(&in_force);
        in_force
    }

    /// Returns the rules by which this node goes.
    pub(super) fn in_force(&self) -> InForce {
        self.0.in_force.lock().clone()
    }

    /// Returns the rules by which this node goes, read again where the store may have lost them: in another incarnation
    /// a revision may be given again.
    pub(super) async fn rules_that_hold(&self) -> Result<InForce, PublishError> {
        let in_force = self.in_force();
        match in_force.at {
            Some(at) if at.inc != self.0.store.horizon().incarnation() => self.take_rules().await,
            _ => Ok(in_force),
        }
    }

    pub(super) fn changing(&self) -> PublishError {
        let (installed, own) = (self.in_force().rules.version(), self.0.configured.version());
        OtherRules { installed, own, reason: "they change again and again".to_owned() }.into()
    }

    /// Reads the row, and the incarnation it is of: the one before the question, so that in doubt it is read again.
    async fn rules_row(&self) -> Result<(Incarnation, Option<Row>), PublishError> {
        let inc = self.0.store.horizon().incarnation();
        let row = self.0.store.row(TABLE, CURRENT).await.map_err(store::PublishError::from)?;
        Ok((inc, row))
    }

    /// Returns the version of the rules that the store knows, once they were installed.
    ///
    /// # Errors
    ///
    /// Fails when the store can not be asked.
    pub async fn installed_rules(&self) -> Result<Option<String>, StoreError> {
        let row = self.0.store.row(TABLE, CURRENT).await?;
        Ok(row.as_ref().and_then(installed).map(|installed| installed.version))
    }
}

fn installed(row: &Row) -> Option<Installed> {
    serde_json::from_slice(&row.value).ok()
}
