//! Where the daemon listens: on loopback, and nowhere else.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use tokio::net::TcpListener;
use undercurrent_types::{ErrorBody, ErrorCode};

/// A loopback address, and whether another port will do where it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    address: SocketAddr,
    any_port: bool,
}

/// A text that is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The text is no address with a port.
    #[error(
        "`{0}` is not an address to listen on: expected `127.0.0.1:PORT`, `localhost:PORT` or `[::1]:PORT`"
    )]
    Malformed(String),
    /// Other machines could connect.
    #[error(
        "`{0}` can be reached from other machines, and whoever reaches the daemon may read and write everything; it listens on loopback only: use `127.0.0.1:{port}`, and from elsewhere an SSH tunnel to it",
        port = .0.port()
    )]
    Beyond(SocketAddr),
}

/// Why an address can not be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process has the port.
    #[error("`{address}` is taken by another process; `--listen 127.0.0.1:0` takes a free port")]
    Taken {
        /// The address.
        address: SocketAddr,
    },
    /// The system refuses.
    #[error("`{address}` can not be listened on: {source}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

impl BindError {
    /// Returns the error as programs tell it apart.
    pub fn body(&self) -> ErrorBody {
        let code = match self {
            Self::Taken { .. } => ErrorCode::Conflict,
            Self::Refused { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ErrorCode::Denied
            }
            Self::Refused { .. } => ErrorCode::Unavailable,
        };
        ErrorBody::new(code, self.to_string())
    }
}

impl Default for Listen {
    /// Port 7433, or a free one where it is taken.
    fn default() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 7433)), any_port: true }
    }
}

impl TryFrom<SocketAddr> for Listen {
    type Error = ListenError;

    fn try_from(address: SocketAddr) -> Result<Self, ListenError> {
        if !address.ip().is_loopback() {
            return Err(ListenError::Beyond(address));
        }
        Ok(Self { address, any_port: false })
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let numeric = match text.split_once(':') {
            Some(("localhost", port)) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
            _ => text.to_owned(),
        };
        numeric.parse::<SocketAddr>().map_err(|_| ListenError::Malformed(text.to_owned()))?.try_into()
    }
}

impl Listen {
    pub(crate) async fn bind(self) -> Result<(TcpListener, SocketAddr), BindError> {
        match bind(self.address).await {
            Err(BindError::Taken { address }) if self.any_port => {
                bind(SocketAddr::new(address.ip(), 0)).await
            }
            other => other,
        }
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { address },
        _ => BindError::Refused { address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_listened_on() {
        for (text, bound) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("localhost:80", "127.0.0.1:80"),
            ("127.3.2.1:9", "127.3.2.1:9"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().address.to_string(), bound);
        }
    }

    #[test]
    fn what_others_could_reach_is_refused_with_the_reason() {
        for text in ["0.0.0.0:7433", "[::]:7433", "192.168.0.7:1", "8.8.8.8:53", "[::ffff:127.0.0.1]:1"] {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(matches!(error, ListenError::Beyond(_)), "`{text}` gave `{error}`");
            assert!(error.to_string().contains("other machines"));
        }
        for text in ["", "7433", ":7433", "localhost", "example.org:80", "127.0.0.1", "127.0.0.1:99999"] {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(matches!(error, ListenError::Malformed(_)), "`{text}` gave `{error}`");
        }
    }

    #[tokio::test]
    async fn only_the_default_port_gives_way() {
        let (taken, address) = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let named = Listen { address, any_port: false };
        assert!(matches!(named.bind().await, Err(BindError::Taken { .. })));
        let default = Listen { address, any_port: true };
        let (_listener, other) = default.bind().await.unwrap();
        assert_ne!(other.port(), address.port());
        drop(taken);
    }
}
