//! Builds the engine for a configuration, right to left.
//!
//! Owns the choice of parts: which store, which loaders, which sources. Nothing else knows all of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcetera::BaseStrategy;

use crate::cache::{Cache, CacheOptions};
use crate::event_stream::{EventStream, PublishError, QuotaOptions, Redactor};
use crate::loaders::{self, Command, CommandError, CommandLoader, HttpError, HttpLoader, HttpOptions};
use crate::rules::RuleSet;
use crate::sources::local::{Local, LocalOptions, StartError};
use crate::store::Store;
use crate::store::embedded::{EmbeddedStore, OpenStoreError, StoreOptions};
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
    /// Opens an engine with the embedded store.
    ///
    /// Returns as soon as the log has been recovered. The first walk of the roots goes on behind it; until it has
    /// ended their keys are in doubt, and each read asks the file system.
    ///
    /// # Errors
    ///
    /// Fails when a root or the data directory can not be used, or another process has the data open.
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
        let options = config.store;
        let dir = data.clone();
        let store = tokio::task::spawn_blocking(move || EmbeddedStore::open(&dir, options))
            .await
            .expect("opening a store does not panic")?;
        let store: Arc<dyn Store> = Arc::new(store);
        let redactor = Redactor::new(config.secrets);
        let redactor = if config.secret_patterns { redactor.with_patterns() } else { redactor };
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
        let events = Self::assemble(config.namespace, store, cache, config.rules, redactor);
        events.limit_producers(config.quota);
        events.install_rules().await?;
        events.keep_read_sets().await;
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
