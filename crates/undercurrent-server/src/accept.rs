//! Connections: taken, bounded, and finished at the end.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many connections are open at once; more wait in the system's own queue.
const CONNECTIONS: usize = 4096;
/// How large the head of a request may be, in bytes; a larger one is answered `431` without a body.
const HEAD: usize = 128 << 10;
/// How many headers a request may have.
const HEADERS: usize = 128;
/// How long a client may take over the head of a request, and how long it may keep an idle connection.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// How long requests that were begun get at the end.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// How long nothing is accepted after an error such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until `stopping` is cancelled; returns when they have ended, after 10 s at the latest.
pub(crate) async fn run(listener: TcpListener, router: Router, stopping: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopping.cancelled() => break,
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(serve(socket, router.clone(), stopping.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIME, drained).await.is_err() {
        tracing::warn!(left = connections.len(), "requests did not end in time and are cut off");
    }
    connections.shutdown().await;
}

async fn serve(socket: TcpStream, router: Router, stopping: CancellationToken) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a connection stays with delayed packets");
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD).max_headers(HEADERS);
    let connection = http.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::app::{self, App};

    #[tokio::test]
    async fn before_the_store_is_recovered_the_port_answers_and_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Arc::new(App::new(&crate::Config::default()));
        let accepting = tokio::spawn(run(listener, app::router(&app), app.stopping().clone()));
        let get = async |path: &str| {
            let response = reqwest::get(format!("{url}{path}")).await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        let (status, body) = get("/healthz").await;
        assert!(status == 200 && body.contains("\"ready\":false"), "{status} {body}");
        for path in ["/readyz", "/v1/status", "/v1/context?key=state:a", "/v1/events/s"] {
            let (status, body) = get(path).await;
            assert!(status == 503 && body.contains("\"unavailable\""), "{path}: {status} {body}");
        }
        app.stopping().cancel();
        accepting.await.unwrap();
    }
}
