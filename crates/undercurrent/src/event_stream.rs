//! The one handle of the library.
//!
//! Owns the pipeline of publishing: validate, match rules, redact, commit, announce, acknowledge. It is the only place
//! that sees both halves, the log and the cache. Promises that commit is one step, so that whoever has seen an event
//! can not be served what it made stale.

mod changed;
mod error;
mod explain;
mod group;
pub(crate) mod health;
mod install;
mod outcome;
mod publish;
mod quota;
mod read;
mod read_set;
mod scrub;
mod status;
mod streams;
mod subscribe;
mod wait;

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use undercurrent_types::Key;
use undercurrent_types::wire::SourceStatus;

use self::install::InForce;
use self::quota::Quota;
use self::read_set::ReadSets;
use crate::cache::Cache;
pub use crate::redact::Redactor;
use crate::rules::RuleSet;
use crate::store::Store;
use crate::stream::{Ephemeral, Groups};

pub use changed::{Checked, IfChanged};
pub use error::{ContextError, ContextReason, OtherRules, PublishError};
pub use group::Group;
pub use publish::Outgoing;
pub use quota::{OverQuota, QuotaOptions};
pub use read::{Get, ReadKey, Reading};
pub use read_set::SessionGet;
pub use scrub::ScrubError;
pub use subscribe::Subscribe;

/// One namespace: its streams, its context and the order that both share.
///
/// Cloning is cheap and shares everything.
#[derive(Clone)]
pub struct EventStream(Arc<Parts>);

struct Parts {
    namespace: String,
    store: Arc<dyn Store>,
    cache: Cache,
    /// The rules that the configuration names.
    configured: Arc<RuleSet>,
    /// The rules that events are matched by. Locked for a copy by each publish.
    in_force: Mutex<InForce>,
    /// What this machine's files are called on a shared store.
    workspace: OnceLock<String>,
    /// What is held until the end, such as the data directory of a node. Locked when it is given, and at the end.
    held: Mutex<Option<Box<dyn Send>>>,
    redactor: Redactor,
    read_sets: Arc<ReadSets>,
    ephemeral: Ephemeral,
    /// Set once, before anything is published; empty where producers have no limits.
    quota: OnceLock<Quota>,
    /// From when the times of the quota are counted.
    begun: Instant,
    groups: Groups,
    /// What the runtime started and must stop. Locked when one is attached, asked for its health, or taken to be ended.
    sources: Mutex<Vec<Attached>>,
}

/// A source, and the task that tells of its health.
struct Attached {
    source: Arc<dyn Source>,
    teller: AbortHandle,
}

/// An adapter that turns a system's changes into events, as the handle sees it.
///
/// It publishes in order to the stream named like its `source`, takes a position that puts its scope in doubt when it
/// can not vouch for it, and one that takes it out when it can.
pub trait Source: Send + Sync + 'static {
    /// Returns the health of each of its parts, with since when.
    fn status(&self) -> Vec<SourceStatus>;

    /// Waits until the health of a part is not as it was in this answer, and returns what it is. An empty answer is
    /// answered at once.
    fn status_after<'a>(&'a self, known: &'a [SourceStatus]) -> BoxFuture<'a, Vec<SourceStatus>>;

    /// Ends it: nothing is published after the future returns.
    fn stop(&self) -> BoxFuture<'_, ()>;
}

impl EventStream {
    /// Puts the handle together; [`crate::runtime`] does this for a configuration.
    pub fn assemble(
        namespace: String,
        store: Arc<dyn Store>,
        cache: Cache,
        rules: RuleSet,
        redactor: Redactor,
    ) -> Self {
        let sources = Mutex::default();
        let ephemeral = Ephemeral::default();
        let read_sets = Arc::new(ReadSets::new(Arc::clone(&store)));
        let (quota, begun) = (OnceLock::new(), Instant::now());
        let groups = Groups::new(Arc::clone(&store));
        let configured = Arc::new(rules);
        let in_force = Mutex::new(InForce::alone(Arc::clone(&configured)));
        let workspace = OnceLock::new();
        Self(Arc::new(Parts {
            namespace,
            store,
            cache,
            configured,
            in_force,
            quota,
            begun,
            workspace,
            held: Mutex::default(),
            redactor,
            read_sets,
            ephemeral,
            groups,
            sources,
        }))
    }

    /// Sets how much each producer may publish from here on; the first call holds.
    pub fn limit_producers(&self, options: QuotaOptions) {
        if options.is_limited() {
            self.0.quota.get_or_init(|| Quota::new(options));
        }
    }

    /// Says once what this machine's files are called on a shared store: a key that names it is one's own.
    pub(crate) fn name_workspace(&self, name: String) {
        // It is assembled once.
        let _ = self.0.workspace.set(name);
    }

    /// Holds something until the end.
    pub(crate) fn hold(&self, it: impl Send + 'static) {
        *self.0.held.lock() = Some(Box::new(it));
    }

    /// Returns what this machine's files are called on a shared store.
    pub fn workspace(&self) -> Option<&str> {
        self.0.workspace.get().map(String::as_str)
    }

    /// Returns a key as it is called here: without the workspace, where that is this machine's.
    fn own_key(&self, key: &Key) -> Option<Key> {
        let own = self.workspace()?;
        (key.workspace() == Some(own)).then(|| {
            let rest = &key.rest()["//".len() + own.len()..];
            let rest = if key.kind() == "command" { &rest[1..] } else { rest };
            Key::parse(&format!("{}:{rest}", key.kind())).expect("a key without its workspace is a key")
        })
    }

    /// Loads what sessions were given before, and keeps it from here on: flushed once a second, and at the end.
    /// Without it the sets of sessions live in memory alone. Where several nodes share the store, each names itself and
    /// keeps its own: a session belongs to the node it was read through.
    pub async fn keep_read_sets(&self, node: Option<&str>) {
        self.0.read_sets.keep(node).await;
    }

    /// Attaches a source, whose health is shown and told as events, and which ends with the handle. To be called within
    /// a Tokio runtime.
    pub fn attach(&self, source: Arc<dyn Source>) {
        let telling = health::tell(Arc::downgrade(&self.0), source.clone());
        let teller = tokio::spawn(telling).abort_handle();
        self.0.sources.lock().push(Attached { source, teller });
    }

    /// Returns the context half: register loaders and barriers here.
    pub fn cache(&self) -> &Cache {
        &self.0.cache
    }

    /// Returns the rules by which events make names stale now: those of the configuration, or where a store is shared those
    /// that are in force for all its nodes, as far as this one has heard.
    pub fn rules(&self) -> Arc<RuleSet> {
        self.in_force().rules
    }

    /// Ends everything left to right: sources first, then the groups and what sessions were given, then the store, which writes what was accepted.
    pub async fn close(&self) {
        let sources = std::mem::take(&mut *self.0.sources.lock());
        for Attached { source, teller } in sources {
            source.stop().await;
            teller.abort();
        }
        self.0.groups.end();
        self.0.read_sets.end().await;
        self.0.store.close().await;
        drop(self.0.held.lock().take());
    }
}
