//! What the handlers share, and which path is whose.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post, put};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SetOnce};
use tokio_util::sync::CancellationToken;
use undercurrent::EventStream;
use undercurrent_types::ErrorCode;

use crate::body::Bodies;
use crate::reply::Refusal;
use crate::server::Config;
use crate::{context, events, groups, guard, metrics, operate, outcome, sessions, streams};

/// What the handlers share.
pub(crate) struct App {
    /// Set once, when the store is recovered.
    engine: SetOnce<EventStream>,
    namespace: String,
    instance: String,
    bodies: Bodies,
    /// One permit for each subscription.
    subscriptions: Arc<Semaphore>,
    subscriptions_at_once: usize,
    heartbeat: Duration,
    /// Cancelled when the daemon ends: subscriptions end at once.
    stopping: CancellationToken,
}

impl App {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            engine: SetOnce::new(),
            namespace: config.engine.namespace.clone(),
            instance: uuid::Uuid::new_v4().to_string(),
            bodies: Bodies::default(),
            subscriptions: Arc::new(Semaphore::new(config.subscriptions)),
            subscriptions_at_once: config.subscriptions,
            heartbeat: config.heartbeat,
            stopping: CancellationToken::new(),
        }
    }

    pub(crate) fn set_engine(&self, engine: EventStream) {
        if self.engine.set(engine).is_err() {
            tracing::error!("the engine was opened twice");
        }
    }

    pub(crate) async fn opened(&self) -> EventStream {
        self.engine.wait().await.clone()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.engine.get().is_some()
    }

    /// Returns the engine, or the refusal of requests that come before it is there.
    pub(crate) fn engine(&self) -> Result<&EventStream, Refusal> {
        self.engine.get().ok_or_else(|| {
            Refusal::new(ErrorCode::Unavailable, "the store is being recovered; try again soon")
        })
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    pub(crate) fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// Returns how many subscriptions are open.
    pub(crate) fn open_subscriptions(&self) -> u64 {
        (self.subscriptions_at_once - self.subscriptions.available_permits()) as u64
    }

    /// Counts one more subscription, until the permit is dropped.
    pub(crate) fn begin_subscription(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.subscriptions).try_acquire_owned().map_err(|_| {
            let most = self.subscriptions_at_once;
            Refusal::new(
                ErrorCode::Busy,
                format!("there are {most} subscriptions already, the most at once; end one"),
            )
        })
    }
}

/// Returns every path with its handler, behind the guard.
pub(crate) fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/v1/events", get(events::read).post(events::publish_all))
        .route("/v1/events/{*stream}", get(events::read).post(events::publish))
        .route("/v1/outcome", get(outcome::outcome))
        .route("/v1/context", get(context::get).put(context::put).delete(context::invalidate))
        .route("/v1/context/changed", get(context::changed))
        .route("/v1/context/wait", get(context::wait))
        .route("/v1/invalidate", post(context::invalidate_names))
        .route("/v1/explain", get(context::explain))
        .route("/v1/changes", get(sessions::changes).post(sessions::changes))
        .route("/v1/rules/test", post(operate::test_rules))
        .route("/v1/scrub", post(operate::scrub))
        .route("/v1/status", get(operate::status))
        .route("/v1/streams", get(streams::list))
        .route("/v1/streams/{*stream}", put(streams::create).delete(streams::delete))
        .route("/v1/groups", get(groups::list))
        .route("/v1/groups/{group}", get(groups::show).put(groups::create).delete(groups::delete))
        .route("/v1/groups/{group}/fetch", post(groups::fetch))
        .route("/v1/groups/{group}/{verb}", post(groups::settle))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(operate::healthz))
        .route("/readyz", get(operate::readyz))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(app), guard::admit))
        .with_state(Arc::clone(app))
}

async fn unknown_path(request: Request) -> Refusal {
    let path = request.uri().path();
    Refusal::new(
        ErrorCode::NotFound,
        format!(
            "there is no path `{path}`; the paths are /v1/events, /v1/events/STREAM, /v1/outcome, /v1/context, /v1/context/changed, /v1/context/wait, /v1/invalidate, /v1/explain, /v1/changes, /v1/rules/test, /v1/scrub, /v1/status, /v1/streams, /v1/streams/STREAM, /v1/groups, /v1/groups/GROUP, /v1/groups/GROUP/fetch, /v1/groups/GROUP/ack and the like, /metrics, /healthz and /readyz"
        ),
    )
}

async fn wrong_method(request: Request) -> Refusal {
    let (method, path) = (request.method(), request.uri().path());
    Refusal::new(ErrorCode::InvalidRequest, format!("`{path}` does not take {method}"))
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}
