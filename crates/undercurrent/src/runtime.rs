//! Builds the engine for a configuration, right to left.
//!
//! Owns the choice of parts: which store, which loaders, which sources. Nothing else knows all of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcetera::BaseStrategy;
use undercurrent_types::is_workspace;

use crate::cache::{Cache, CacheOptions};
use crate::event_stream::{EventStream, OtherRules, PublishError, QuotaOptions, Redactor};
use crate::loaders::{self, Command, CommandError, CommandLoader, HttpError, HttpLoader, HttpOptions};
use crate::rules::RuleSet;
use crate::sources::local::{Local, LocalOptions, StartError};
use crate::store::Store;
use crate::store::dragonfly::{ConnectError, SharedStore, SharedStoreOptions};
use crate::store::embedded::{EmbeddedStore, Lock, OpenStoreError, StoreOptions, lock};
use crate::workspace::{RootError, Workspace};

/// What an engine is made from. The default has no roots and keeps its data in the user's state directory.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the data lies; must be outside every root. `None` takes [`Config::default_data_dir`].
    pub data: Option<PathBuf>,
    /// The directories whose files may be read and are watched.
    pub roots: Vec<PathBuf>,
    /// The unit of order, isolation and quota.
    pub namespace: String,
    /// Which names an event makes stale: the shipped rules, and what was added to them.
    pub rules: RuleSet,
    /// The commands whose output can be read as `command:<name>`.
    pub commands: Vec<Command>,
    /// The hosts that `http:` keys may name; none unless some are allowed.
    pub http: HttpOptions,
    /// Values that must never be stored: they are taken out of the data of events and the output of commands, and refused in attributes.
    pub secrets: Vec<String>,
    /// Whether the forms of common keys are treated as secrets too.
    pub secret_patterns: bool,
    /// How much each producer may publish; no limit unless one is set.
    pub quota: QuotaOptions,
    /// The bounds of the memory of values.
    pub cache: CacheOptions,
    /// The sizes of the log.
    pub store: StoreOptions,
    /// The server that keeps streams and context for many nodes; without one they are kept in the data directory, for
    /// this process. Its namespace is this configuration's.
    pub shared: Option<SharedStoreOptions>,
    /// What this machine's files are called among those of other nodes of a shared store; where nothing is named, a
    /// random name that the data directory keeps. Two nodes may share one only where they see the same files.
    pub workspace: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: None,
            roots: Vec::new(),
            namespace: "default".to_owned(),
            rules: RuleSet::shipped(),
            commands: Vec::new(),
            http: HttpOptions::default(),
            secrets: Vec::new(),
            secret_patterns: true,
            quota: QuotaOptions::default(),
            cache: CacheOptions::default(),
            store: StoreOptions::default(),
            shared: None,
            workspace: None,
        }
    }
}

/// Why an engine can not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A root can not be used.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The data would lie where it would watch itself.
    #[error(
        "the data directory `{data}` lies in the root `{root}` and would watch itself: name another with `data`"
    )]
    DataInRoot {
        /// The data directory.
        data: PathBuf,
        /// The root around it.
        root: PathBuf,
    },
    /// There is no place for the data.
    #[error("there is no home directory to keep data in: name a directory with `data`")]
    NoStateDir,
    /// The data directory can not be made.
    #[error("the data directory `{data}` can not be made")]
    Data {
        /// The data directory.
        data: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The store can not be opened.
    #[error(transparent)]
    Store(#[from] OpenStoreError),
    /// The server of a shared store can not be used.
    #[error(transparent)]
    Shared(#[from] ConnectError),
    /// The text is no name of a workspace.
    #[error("`{0}` is not the name of a workspace: 1 to 64 of `a–z A–Z 0–9 . _ -`")]
    Workspace(String),
    /// The namespace has rules that this node can not go by, and nodes with different rules would not agree on what is
    /// stale.
    #[error(
        "in the namespace `{namespace}` {rules}: start it with those, or put its own in force for all with `undercurrent rules apply`"
    )]
    OtherRules {
        /// The namespace.
        namespace: String,
        /// What is between them.
        rules: OtherRules,
    },
    /// A declared command can not be run as declared.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The options of web requests make no sense.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The rules can not be installed.
    #[error("the rules can not be installed in the store")]
    Rules(#[from] PublishError),
    /// The roots can not be watched.
    #[error(transparent)]
    Local(#[from] StartError),
}

impl Config {
    /// Returns where the data of these roots lies when nothing is named: a directory of their own in the user's state
    /// directory, so that two projects never share one.
    ///
    /// # Errors
    ///
    /// Fails when the user has no home directory.
    pub fn default_data_dir(roots: &[PathBuf]) -> Result<PathBuf, OpenError> {
        let base = etcetera::choose_base_strategy().map_err(|_| OpenError::NoStateDir)?;
        let state = base.state_dir().unwrap_or_else(|| base.data_dir()).join("undercurrent");
        if roots.is_empty() {
            return Ok(state.join("default"));
        }
        let mut hash = blake3::Hasher::new();
        for root in roots {
            let root = root.canonicalize().unwrap_or_else(|_| root.clone());
            hash.update(root.as_os_str().as_encoded_bytes()).update(&[0]);
        }
        let name = roots[0].canonicalize().ok().and_then(|root| {
            let name = root.file_name()?.to_string_lossy().into_owned();
            Some(name.chars().filter(|c| c.is_alphanumeric() || "-_.".contains(*c)).collect::<String>())
        });
        let hash = hash.finalize().to_hex();
        Ok(state.join(format!("{}-{}", name.unwrap_or_default(), &hash[..12])))
    }
}

impl EventStream {
    /// Opens an engine with the store that is configured: the embedded one, or a shared one.
    ///
    /// Returns as soon as the log has been recovered, or the server has answered. The first walk of the roots goes on behind it; until it has
    /// ended their keys are in doubt, and each read asks the file system.
    ///
    /// # Errors
    ///
    /// Fails when a root or the data directory can not be used, another process has the data open, the server of a
    /// shared store can not be used, or its namespace has rules
    /// without one that is configured here.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let workspace = Arc::new(Workspace::new(config.roots.clone())?);
        // What can be refused is looked at before anything is made.
        let declared = (!config.commands.is_empty())
            .then(|| CommandLoader::new(Arc::clone(&workspace), config.commands));
        let commands = declared.transpose()?;
        let http = (!config.http.allow.is_empty()).then(|| HttpLoader::new(config.http)).transpose()?;
        let data = match config.data {
            Some(data) => data,
            None => Config::default_data_dir(&config.roots)?,
        };
        let data = make_outside(&workspace, &data)?;
        let redactor = Redactor::new(config.secrets);
        let redactor = if config.secret_patterns { redactor.with_patterns() } else { redactor };
        let name = workspace_name(config.workspace, config.shared.is_some(), &data)?;
        // The embedded store takes the lock itself.
        let node = config.shared.is_some().then(|| node(&data)).transpose()?;
        let store: Arc<dyn Store> = match config.shared {
            Some(shared) => {
                let workspace = name.clone().unwrap_or(shared.workspace);
                let options = SharedStoreOptions { namespace: config.namespace.clone(), workspace, ..shared };
                Arc::new(SharedStore::open(options).await?)
            }
            None => {
                let (options, dir) = (config.store, data.clone());
                let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&dir, options)).await;
                Arc::new(opened.expect("opening a store does not panic")?)
            }
        };
        let cache = Cache::new(store.clone(), config.cache);
        for (kind, loader) in loaders::shipped(&workspace, &store) {
            cache.register(kind, loader);
        }
        if let Some(commands) = commands {
            cache.register("command", Arc::new(commands.with_redactor(redactor.clone())));
        }
        if let Some(http) = http {
            cache.register("http", Arc::new(http));
        }
        let events = Self::assemble(config.namespace.clone(), store, cache, config.rules, redactor);
        events.limit_producers(config.quota);
        if let Some(name) = name {
            events.name_workspace(name);
        }
        events.install_rules().await.map_err(|error| match error {
            PublishError::OtherRules(rules) => OpenError::OtherRules { namespace: config.namespace, rules },
            error => error.into(),
        })?;
        let node = node.map(|(node, lock)| {
            events.hold(lock);
            node
        });
        events.keep_read_sets(node.as_deref()).await;
        if workspace.roots().next().is_some() {
            let options = LocalOptions::new(data.join("cookies"));
            let local = Local::start(events.clone(), workspace, options).await?;
            for barrier in local.barriers() {
                events.cache().register_barrier(barrier);
            }
            events.attach(local);
        }
        Ok(events)
    }
}

/// Puts the rules of a configuration in force for all nodes of its shared store, and returns their version. Nodes that
/// run go by them from their next event on, except those whose own configuration names a rule that is not among them:
/// these publish nothing until they are started with these. With an embedded store there is nothing to do.
///
/// # Errors
///
/// Fails when the server can not be used or accepts nothing.
pub async fn apply_rules(config: Config) -> Result<String, OpenError> {
    let version = config.rules.version();
    let Some(shared) = config.shared else { return Ok(version) };
    let options = SharedStoreOptions { namespace: config.namespace.clone(), ..shared };
    let store: Arc<dyn Store> = Arc::new(SharedStore::open(options).await?);
    let cache = Cache::new(store.clone(), config.cache);
    let events = EventStream::assemble(config.namespace, store, cache, config.rules, Redactor::default());
    let applied = events.apply_rules().await;
    events.close().await;
    applied?;
    Ok(version)
}

/// Returns what this machine's files are called on a shared store, and none without one. A name that is drawn is kept in
/// the data directory, so that a node finds its own again.
fn workspace_name(named: Option<String>, is_shared: bool, data: &Path) -> Result<Option<String>, OpenError> {
    if !is_shared {
        return Ok(None);
    }
    let name = match named {
        Some(name) => name,
        None => drawn(data, "workspace")?,
    };
    if is_workspace(&name) { Ok(Some(name)) } else { Err(OpenError::Workspace(name)) }
}

/// Takes a data directory for a node of a shared store, and returns the node's name, which lies there.
fn node(data: &Path) -> Result<(String, Lock), OpenError> {
    let lock = lock(data)?;
    Ok((drawn(data, "node")?, lock))
}

/// Returns a name that is drawn once and kept in a file of the data directory.
fn drawn(data: &Path, file: &str) -> Result<String, OpenError> {
    let path = data.join(file);
    let refuse = |error| OpenError::Data { data: data.to_owned(), error };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let drawn = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
            std::fs::write(&path, format!("{drawn}\n")).map_err(refuse)?;
            Ok(drawn)
        }
        Err(error) => Err(refuse(error)),
    }
}

/// Makes the data directory and sees that it lies outside every root.
fn make_outside(workspace: &Workspace, data: &Path) -> Result<PathBuf, OpenError> {
    let refuse = |error| OpenError::Data { data: data.to_owned(), error };
    let data_in = |data: &Path| {
        let root = workspace.roots().find(|root| data.starts_with(&root.path))?;
        Some(OpenError::DataInRoot { data: data.to_owned(), root: root.path.clone() })
    };
    // Before anything is made, so that a refusal leaves nothing behind.
    let absolute = std::path::absolute(data).map_err(refuse)?;
    if let Some(error) = data_in(&absolute) {
        return Err(error);
    }
    std::fs::create_dir_all(&absolute).map_err(refuse)?;
    let data = absolute.canonicalize().map_err(refuse)?;
    match data_in(&data) {
        Some(error) => Err(error),
        None => Ok(data),
    }
}
