//! One request, and the connections that it goes over.

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use hyper::{Request, Response};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use url::Url;

use super::address::{Reach, ResolveError, Resolver};
use super::seen::Seen;

/// How many bytes the head of an answer may have.
const LARGEST_HEAD: usize = 64 << 10;

/// How many connections to a host are kept for the next request, and for how long.
const KEPT: usize = 4;
const KEPT_FOR: Duration = Duration::from_secs(60);

type Connections = legacy::Client<HttpsConnector<HttpConnector<Resolver>>, Empty<Bytes>>;

/// Sends requests. It reads no proxy from the environment, keeps no cookies and follows no redirects.
#[derive(Debug)]
pub(super) struct Client {
    public: Connections,
    /// Of its own, so that no connection to an address that is not public serves a host that may not be there.
    anywhere: Connections,
    /// Why nothing can be asked by `https`.
    no_roots: Option<String>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refused {
    Denied(String),
    Failed(String),
}

impl Client {
    /// Makes a client that trusts whom the system trusts.
    pub(super) fn new() -> Self {
        match tls().with_native_roots() {
            Ok(config) => Self::with_tls(config, None),
            Err(error) => {
                let none = tls().with_root_certificates(RootCertStore::empty());
                Self::with_tls(none, Some(error.to_string()))
            }
        }
    }

    /// Makes a client that trusts these authorities only.
    #[cfg(test)]
    pub(super) fn trusting(roots: RootCertStore) -> Self {
        Self::with_tls(tls().with_root_certificates(roots), None)
    }

    fn with_tls(config: ConfigBuilder<ClientConfig, WantsClientCert>, no_roots: Option<String>) -> Self {
        let config = config.with_no_client_auth();
        Self {
            public: connections(Reach::Public, config.clone()),
            anywhere: connections(Reach::Anywhere, config),
            no_roots,
        }
    }

    /// Asks for a URL, with the condition that the answer is not what was seen.
    pub(super) async fn get(
        &self,
        url: &Url,
        reach: Reach,
        seen: Option<&Seen>,
    ) -> Result<Response<Incoming>, Refused> {
        if let Some(reason) = self.no_roots.as_ref().filter(|_| url.scheme() == "https") {
            return Err(Refused::Failed(format!(
                "no certificate of the system can be read: {reason}; install them, or name a file in `SSL_CERT_FILE`"
            )));
        }
        let mut request = Request::get(url.as_str())
            .header(ACCEPT, "*/*")
            .header(ACCEPT_ENCODING, "identity")
            .header(USER_AGENT, concat!("undercurrent/", env!("CARGO_PKG_VERSION")));
        if let Some((name, value)) = seen.map(Seen::condition) {
            request = request.header(name, value);
        }
        let request = request.body(Empty::new()).map_err(|error| Refused::Failed(chain(&error)))?;
        let connections = match reach {
            Reach::Public => &self.public,
            Reach::Anywhere => &self.anywhere,
        };
        connections.request(request).await.map_err(|error| refused(url, &error))
    }
}

/// Begins a configuration with the one provider of cryptography that is built in, whatever the process has installed.
fn tls() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has what the default versions need")
}

fn connections(reach: Reach, tls: ClientConfig) -> Connections {
    let mut connector = HttpConnector::new_with_resolver(Resolver(reach));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    legacy::Client::builder(TokioExecutor::new())
        .http1_max_buf_size(LARGEST_HEAD)
        .pool_idle_timeout(KEPT_FOR)
        .pool_max_idle_per_host(KEPT)
        .pool_timer(TokioTimer::new())
        .build(connector)
}

/// Tells an address that may not be connected to from a failure.
fn refused(url: &Url, error: &legacy::Error) -> Refused {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if let Some(denied @ ResolveError::NotPublic { .. }) = error.downcast_ref() {
            return Refused::Denied(denied.to_string());
        }
        cause = error.source();
    }
    Refused::Failed(format!("`{url}` can not be asked: {}", chain(error)))
}

/// Writes an error with its causes.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, ": {error}").expect("writing to a string does not fail");
        cause = error.source();
    }
    text
}
