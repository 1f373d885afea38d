//! From a configuration to a daemon that answers, and its end.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use undercurrent::store::dragonfly::ConnectError;
use undercurrent::store::embedded::OpenStoreError;
use undercurrent::{EventStream, OpenError};
use undercurrent_types::{ErrorBody, ErrorCode};

use crate::accept;
use crate::app::{self, App};
use crate::listen::{BindError, Listen};

/// What a daemon is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// The engine: where the data lies, which roots are watched, which namespace is served.
    pub engine: undercurrent::Config,
    /// Where it listens.
    pub listen: Listen,
    /// How many subscriptions there may be at once; one more is refused as `busy`.
    pub subscriptions: usize,
    /// How long a subscription is silent before a comment says that the connection lives.
    pub heartbeat: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: undercurrent::Config::default(),
            listen: Listen::default(),
            subscriptions: 1024,
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// Why a daemon ended, or did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address can not be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The engine can not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl ServeError {
    /// Returns the error as programs tell it apart.
    pub fn body(&self) -> ErrorBody {
        match self {
            Self::Bind(error) => error.body(),
            Self::Open(error) => ErrorBody::new(open_code(error), with_causes(error)),
        }
    }
}

fn open_code(error: &OpenError) -> ErrorCode {
    match error {
        OpenError::Root(_)
        | OpenError::DataInRoot { .. }
        | OpenError::NoStateDir
        | OpenError::Command(_)
        | OpenError::Http(_) => ErrorCode::InvalidRequest,
        OpenError::Store(OpenStoreError::InUse { .. }) => ErrorCode::Conflict,
        OpenError::Workspace(_) => ErrorCode::InvalidRequest,
        OpenError::OtherRules { .. } => ErrorCode::Conflict,
        OpenError::Shared(ConnectError::Unreachable { .. } | ConnectError::Unknown(_))
        | OpenError::Local(_) => ErrorCode::Unavailable,
        _ => ErrorCode::StoreFailed,
    }
}

/// Writes an error with what caused it, where it does not say that itself.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let more = one.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = one.source();
    }
    text
}

/// A daemon that listens and does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    engine: undercurrent::Config,
}

impl Server {
    /// Listens on the configured address.
    ///
    /// # Errors
    ///
    /// Fails when the address is taken and another port may not be used, or can not be listened on.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let (listener, address) = config.listen.bind().await?;
        let app = Arc::new(App::new(&config));
        Ok(Self { listener, address, app, engine: config.engine })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the random name by which `/healthz` tells this daemon from others.
    pub fn instance(&self) -> &str {
        self.app.instance()
    }

    /// Returns a future of the engine, which is there once the store is recovered.
    pub fn opened(&self) -> impl Future<Output = EventStream> + Send + 'static {
        let app = Arc::clone(&self.app);
        async move { app.opened().await }
    }

    /// Opens the engine and answers until `shutdown` is cancelled.
    ///
    /// The port answers from the beginning: until the store is recovered with `unavailable`. At the end subscriptions
    /// are ended, other requests get up to 10 s to finish, and the engine is drained and synced.
    ///
    /// # Errors
    ///
    /// Fails when the engine can not be opened.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let Self { listener, app, engine, .. } = self;
        let accepting = tokio::spawn(accept::run(listener, app::router(&app), app.stopping().clone()));
        let opened = tokio::select! {
            opened = EventStream::open(engine) => opened.map(Some),
            () = shutdown.cancelled() => Ok(None),
        };
        if let Ok(Some(stream)) = &opened {
            app.set_engine(stream.clone());
            shutdown.cancelled().await;
        }
        app.stopping().cancel();
        if let Err(error) = accepting.await {
            tracing::error!(%error, "the listener broke off");
        }
        if let Some(stream) = opened? {
            stream.close().await;
        }
        Ok(())
    }
}

/// Runs a daemon until `shutdown` is cancelled.
///
/// # Errors
///
/// Fails when the address can not be listened on or the engine can not be opened.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), ServeError> {
    Server::bind(config).await?.serve(shutdown).await
}
