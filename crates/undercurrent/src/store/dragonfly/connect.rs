//! Makes connections: to one server each, which never connect again by themselves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::options::SharedStoreOptions;
use super::url::Place;

/// Why no connection was made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody answers there.
    #[error("no connection to `{address}`: {reason}")]
    Unreachable {
        /// The address.
        address: String,
        /// What the operating system says.
        reason: String,
    },
    /// A certificate or key can not be used.
    #[error("the {what} can not be used: {reason}")]
    Certificate {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The server does not let the user in.
    #[error("the server refuses the user or password: {0}")]
    Denied(String),
    /// None of those who were asked knows where the server is.
    #[error("nobody who was asked knows where the server is: {0}")]
    Unknown(String),
    /// The server is not what is needed.
    #[error("the server can not be used: {0}")]
    Unfit(String),
    /// The namespace there belongs to something else.
    #[error(
        "the key `{key}` has the format `{found}`, not `{expected}`: give another prefix or namespace, or upgrade"
    )]
    Format {
        /// The key.
        key: String,
        /// The format that is there.
        found: String,
        /// The one that is needed.
        expected: &'static str,
    },
}

/// Makes connections with one set of options.
pub(super) struct Connector {
    pub(super) options: SharedStoreOptions,
    tls: Option<TlsConnector>,
}

/// A connection and the task that moves its bytes, which ends with it.
pub(super) struct Wire {
    pub(super) redis: MultiplexedConnection,
    pub(super) address: String,
    _driver: AbortOnDropHandle<()>,
}

impl Wire {
    /// Sends a command and waits for its answer.
    pub(super) async fn send(&self, command: &Cmd) -> redis::RedisResult<Value> {
        self.redis.clone().send_packed_command(command).await?.extract_error()
    }
}

impl Connector {
    /// Reads the certificates, where they are needed.
    pub(super) fn new(options: SharedStoreOptions) -> Result<Self, ConnectError> {
        let tls = match options.url.place {
            Place::Server { tls: true, .. }
            | Place::Sentinel { tls: true, .. }
            | Place::Cluster { tls: true, .. } => Some(tls(&options)?),
            _ => None,
        };
        Ok(Self { options, tls })
    }

    /// Makes a connection, for requests whose answers may take no longer than `patience`; none for those that block.
    pub(super) async fn connect(&self, patience: Option<Duration>) -> Result<Wire, ConnectError> {
        match &self.options.url.place {
            Place::Server { host, port, tls } => self.tcp(host, *port, *tls, patience).await,
            Place::Unix(path) => {
                let address = path.display().to_string();
                let stream = self.in_time(&address, UnixStream::connect(path)).await?;
                self.begin(address, Stream::Unix(stream), patience).await
            }
            Place::Sentinel { sentinels, primary, tls } => {
                let (host, port) = self.primary_of(sentinels, primary, *tls).await?;
                self.tcp(&host, port, *tls, patience).await
            }
            Place::Cluster { nodes, tls } => {
                let (host, port) = self.owner_in(nodes, *tls).await?;
                self.tcp(&host, port, *tls, patience).await
            }
        }
    }

    pub(super) async fn tcp(
        &self,
        host: &str,
        port: u16,
        tls: bool,
        patience: Option<Duration>,
    ) -> Result<Wire, ConnectError> {
        let address = format!("{host}:{port}");
        let stream = self.tcp_stream(&address, host, port, tls).await?;
        self.begin(address, stream, patience).await
    }

    async fn tcp_stream(
        &self,
        address: &str,
        host: &str,
        port: u16,
        tls: bool,
    ) -> Result<Stream, ConnectError> {
        let stream = self.in_time(address, TcpStream::connect((host, port))).await?;
        stream.set_nodelay(true).map_err(unreachable(address))?;
        let Some(connector) = self.tls.as_ref().filter(|_| tls) else { return Ok(Stream::Tcp(stream)) };
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|e| unreachable(address)(io::Error::other(e)))?;
        Ok(Stream::Tls(Box::new(self.in_time(address, connector.connect(name, stream)).await?)))
    }

    /// Makes a connection that says nothing of who we are.
    pub(super) async fn nameless(&self, host: &str, port: u16, tls: bool) -> Result<Wire, ConnectError> {
        let address = format!("{host}:{port}");
        let stream = self.tcp_stream(&address, host, port, tls).await?;
        wire(address, stream, Some(self.options.response_timeout)).await
    }

    async fn in_time<T>(
        &self,
        address: &str,
        future: impl Future<Output = io::Result<T>>,
    ) -> Result<T, ConnectError> {
        let result = tokio::time::timeout(self.options.connect_timeout, future).await;
        result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(unreachable(address))
    }

    async fn begin(
        &self,
        address: String,
        stream: Stream,
        patience: Option<Duration>,
    ) -> Result<Wire, ConnectError> {
        let wire = wire(address, stream, patience).await?;
        self.authenticate(&wire).await?;
        Ok(wire)
    }

    /// Says who we are, and nothing else before that is answered.
    pub(super) async fn authenticate(&self, wire: &Wire) -> Result<(), ConnectError> {
        let Some(password) = &self.options.url.password else { return Ok(()) };
        let mut auth = Cmd::new();
        auth.arg("AUTH");
        if let Some(user) = &self.options.url.user {
            auth.arg(user);
        }
        auth.arg(password);
        let answer = self.in_time(&wire.address, async { Ok(wire.send(&auth).await) }).await?;
        answer.map(|_| ()).map_err(|e| match e.is_io_error() {
            true => unreachable(&wire.address)(io::Error::other(e)),
            false => ConnectError::Denied(e.to_string()),
        })
    }
}

async fn wire(address: String, stream: Stream, patience: Option<Duration>) -> Result<Wire, ConnectError> {
    let config = AsyncConnectionConfig::new().set_response_timeout(patience);
    let plain = RedisConnectionInfo::default().set_skip_set_lib_name();
    let made = MultiplexedConnection::new_with_config(&plain, stream, config).await;
    let (redis, driver) = made.map_err(|e| unreachable(&address)(io::Error::other(e)))?;
    Ok(Wire { redis, address, _driver: AbortOnDropHandle::new(tokio::spawn(driver)) })
}

fn unreachable(address: &str) -> impl Fn(io::Error) -> ConnectError {
    move |e| ConnectError::Unreachable { address: address.to_owned(), reason: e.to_string() }
}

fn tls(options: &SharedStoreOptions) -> Result<TlsConnector, ConnectError> {
    let bad = |what| move |e: String| ConnectError::Certificate { what, reason: e };
    let mut roots = RootCertStore::empty();
    match &options.ca {
        Some(path) => {
            let bad = bad("certificate of the authority");
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| bad(e.to_string()))? {
                let certificate = certificate.map_err(|e| bad(e.to_string()))?;
                roots.add(certificate).map_err(|e| bad(e.to_string()))?;
            }
        }
        None => {
            for certificate in rustls_native_certs::load_native_certs().certs {
                // One that the system has and that can not be read is believed by nobody.
                let _ = roots.add(certificate);
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad("encryption")(e.to_string()))?
        .with_root_certificates(roots);
    let config = match &options.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let bad = bad("client certificate or its key");
            let chain: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(certificate).map_err(|e| bad(e.to_string()))?.collect();
            let chain = chain.map_err(|e| bad(e.to_string()))?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(e.to_string()))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| bad(e.to_string()))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The bytes to and from a server.
enum Stream {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    Unix(UnixStream),
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Tls($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
