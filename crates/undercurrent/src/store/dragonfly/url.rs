//! Where a store is.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// The address of a server, or of those who know it. Shown without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    pub(super) place: Place,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    shown: String,
}

/// How a server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At an address.
    Server { host: String, port: u16, tls: bool },
    /// Behind a socket of this machine.
    Unix(PathBuf),
    /// Where one of these sentinels says that the primary of this name is.
    Sentinel { sentinels: Vec<(String, u16)>, primary: String, tls: bool },
    /// Where one of these nodes of a cluster says that a key lies.
    Cluster { nodes: Vec<(String, u16)>, tls: bool },
}

/// A text that is no address of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the address of the store is not understood ({reason}): expected `redis://host:port`, `rediss://host:port`, `unix:///path`, `redis+sentinel://host:port,host:port/primary` or `redis+cluster://host:port,host:port` (with TLS `rediss+…`), each with `user:password@` before the host where it is needed"
)]
pub struct StoreUrlError {
    reason: &'static str,
}

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl std::str::FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let error = |reason| StoreUrlError { reason };
        let (scheme, rest) = text.split_once("://").ok_or(error("it has no `://`"))?;
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) if !credentials.starts_with('/') => (Some(credentials), rest),
            _ => (None, rest),
        };
        let decoded = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded.map(std::borrow::Cow::into_owned).map_err(|_| error("the user or password is not UTF-8"))
        };
        let (user, password) = match credentials.map(|text| text.split_once(':').unwrap_or(("", text))) {
            Some((user, password)) => {
                (Some(decoded(user)?).filter(|user| !user.is_empty()), Some(decoded(password)?))
            }
            None => (None, None),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let one = |port| match &addresses(hosts, port)?[..] {
            [one] => Ok(one.clone()),
            _ => Err(error("it names more than one server")),
        };
        let no_path = |place| {
            if path.is_empty() {
                Ok(place)
            } else {
                Err(error("a path follows the host; databases other than 0 are not used, a namespace is"))
            }
        };
        let tls = scheme.starts_with("rediss");
        let place = match scheme {
            "redis" | "rediss" => {
                let (host, port) = one(PORT)?;
                no_path(Place::Server { host, port, tls })?
            }
            "unix" if rest.starts_with('/') => Place::Unix(rest.into()),
            "unix" => return Err(error("the path of a socket is absolute")),
            "redis+sentinel" | "rediss+sentinel" => {
                if path.is_empty() {
                    return Err(error("the name of the primary is missing"));
                }
                Place::Sentinel { sentinels: addresses(hosts, SENTINEL_PORT)?, primary: path.to_owned(), tls }
            }
            "redis+cluster" | "rediss+cluster" => {
                no_path(Place::Cluster { nodes: addresses(hosts, PORT)?, tls })?
            }
            _ => return Err(error("its scheme is none of these")),
        };
        let shown = format!("{scheme}://{rest}");
        Ok(Self { place, user, password, shown })
    }
}

fn addresses(text: &str, port: u16) -> Result<Vec<(String, u16)>, StoreUrlError> {
    let address = |text: &str| {
        let (host, given) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (text, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = given.map_or(Ok(port), |port| port.parse().map_err(|_| "the port is no number"));
        match (host.is_empty(), port) {
            (false, Ok(port)) => Ok((host.to_owned(), port)),
            (true, _) => Err(StoreUrlError { reason: "the host is missing" }),
            (_, Err(reason)) => Err(StoreUrlError { reason }),
        }
    };
    text.split(',').map(address).collect()
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        text.parse::<StoreUrl>().unwrap().place
    }

    #[test]
    fn every_kind_of_address_is_read() {
        let server = |host: &str, port, tls| Place::Server { host: host.to_owned(), port, tls };
        assert_eq!(place("redis://localhost"), server("localhost", 6379, false));
        assert_eq!(place("rediss://u:p@cache.internal:7000/"), server("cache.internal", 7000, true));
        assert_eq!(place("redis://[::1]:7000"), server("::1", 7000, false));
        assert_eq!(place("unix:///run/redis.sock"), Place::Unix("/run/redis.sock".into()));
        let sentinels = vec![("a".to_owned(), 1), ("b".to_owned(), 26379)];
        assert_eq!(
            place("redis+sentinel://:p@a:1,b/main"),
            Place::Sentinel { sentinels, primary: "main".to_owned(), tls: false }
        );
        let nodes = vec![("a".to_owned(), 6379)];
        assert_eq!(place("rediss+cluster://a"), Place::Cluster { nodes, tls: true });
    }

    #[test]
    fn the_password_is_not_shown() {
        let url: StoreUrl = "redis://ann:s%40cret@host:1".parse().unwrap();
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("ann"), Some("s@cret")));
        assert_eq!(
            (url.to_string(), format!("{url:?}")),
            ("redis://host:1".into(), "StoreUrl(redis://host:1)".into())
        );
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_said() {
        for text in [
            "",
            "redis",
            "redis://",
            "redis://:p@",
            "http://a",
            "redis://a:x",
            "redis://a/1",
            "redis://a,b",
            "unix://a",
            "redis+sentinel://a",
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err();
            assert!(!error.to_string().contains(":p@"), "{error}");
        }
    }
}
