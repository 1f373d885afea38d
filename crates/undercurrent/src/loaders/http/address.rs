//! Which addresses are public, and names that are resolved to no others.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Public ones.
    Public,
    /// All.
    Anywhere,
}

/// Says whether an address is one of the public Internet.
///
/// By the registries of special-purpose addresses (RFC 6890 and what IANA has added since). An IPv6 address that stands
/// for an IPv4 address is public if that is; what tunnels to an address that can not be seen is not.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast();
    let special = special
        || match address.octets() {
            // This network; shared by carriers; protocol assignments; 6to4 relays; benchmarks; reserved, broadcast.
            [0, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [240..=255, ..] => true,
            [100, second, ..] => second & 0xc0 == 64,
            _ => false,
        };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let words = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match words {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Protocol assignments, tunnels among them; documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] => false,
        [0x3fff, 0..=0xfff, ..] => false,
        // Nothing outside 2000::/3 is assigned to public hosts.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Resolves names by the system, and leaves out the addresses that may not be connected to.
///
/// What it returns is what is connected to, so a name that has another address a moment later gains nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver(pub(super) Reach);

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("`{host}` can not be resolved")]
    Unknown {
        host: String,
        #[source]
        error: io::Error,
    },
    #[error("{}", super::gate::not_public(.host, *.address))]
    NotPublic { host: String, address: IpAddr },
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = BoxFuture<'static, Result<Self::Response, ResolveError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self(reach) = *self;
        async move {
            let host = name.as_str().to_owned();
            let unknown = |error| ResolveError::Unknown { host: host.clone(), error };
            let found = tokio::net::lookup_host((host.as_str(), 0)).await.map_err(unknown)?;
            let found: Vec<SocketAddr> = found.collect();
            choose(reach, &host, found)
        }
        .boxed()
    }
}

fn choose(
    reach: Reach,
    host: &str,
    found: Vec<SocketAddr>,
) -> Result<std::vec::IntoIter<SocketAddr>, ResolveError> {
    let (allowed, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| reach == Reach::Anywhere || is_public(address.ip()));
    match others.first() {
        Some(other) if allowed.is_empty() => {
            Err(ResolveError::NotPublic { host: host.to_owned(), address: other.ip() })
        }
        _ => Ok(allowed.into_iter()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        let public = [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ];
        let others = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in public {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
        for text in others {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_name_with_addresses_of_both_kinds_leads_to_the_public_ones() {
        let found: Vec<SocketAddr> = ["127.0.0.1:0", "1.1.1.1:0"].map(|text| text.parse().unwrap()).into();
        assert_eq!(choose(Reach::Public, "a", found.clone()).unwrap().as_slice(), &found[1..]);
        assert_eq!(choose(Reach::Anywhere, "a", found.clone()).unwrap().as_slice(), &found[..]);
        assert!(choose(Reach::Public, "a", found[..1].to_vec()).is_err());
    }
}
