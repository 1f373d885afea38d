//! The decision whether a URL may be asked.

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

use super::address::{Reach, is_public};
use super::options::{AllowedHost, HttpError};

/// The allowed hosts.
#[derive(Debug)]
pub(super) struct Gate(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    port: Option<u16>,
    reach: Reach,
}

#[derive(Debug)]
enum Pattern {
    Exactly(Host),
    /// All below a domain, which is kept with the dot before it.
    Below(String),
}

impl Gate {
    pub(super) fn new(allow: &[AllowedHost]) -> Result<Self, HttpError> {
        allow.iter().map(Rule::new).collect::<Result<_, _>>().map(Self)
    }

    /// Says which addresses a URL may lead to, or why it may not be asked at all.
    pub(super) fn admit(&self, url: &Url) -> Result<Reach, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("`{}` is neither `http` nor `https`", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL with a user or a password is not asked".to_owned());
        }
        let Some(host) = url.host().map(|host| host.to_owned()) else {
            return Err("it has no host".to_owned());
        };
        let port = url.port_or_known_default();
        let rules = self.0.iter().filter(|rule| rule.covers(&host, port));
        let Some(reach) = rules.map(|rule| rule.reach).max() else {
            let port = url.port().map(|port| format!(", port {port},")).unwrap_or_default();
            return Err(format!("the host `{host}`{port} is not allowed; name it in `allow` of `http`"));
        };
        let address = match host {
            Host::Domain(_) => return Ok(reach),
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
        };
        match reach {
            Reach::Public if !is_public(address) => Err(not_public(&host.to_string(), address)),
            reach => Ok(reach),
        }
    }
}

/// Says why an address is not connected to, and what would allow it.
pub(super) fn not_public(host: &str, address: IpAddr) -> String {
    format!("`{host}` is at {address}, which is no public address; name this very host with `private = true`")
}

impl Rule {
    fn new(allowed: &AllowedHost) -> Result<Self, HttpError> {
        let refuse = |reason: String| HttpError::Host { host: allowed.host.clone(), reason };
        let parse = |text: &str| match text.parse::<Ipv6Addr>() {
            Ok(address) => Ok(Host::Ipv6(address)),
            Err(_) => Host::parse(text)
                .map_err(|error| refuse(format!("{error}; write it without a scheme, port or path"))),
        };
        let pattern = match allowed.host.strip_prefix("*.") {
            Some(_) if allowed.private => {
                return Err(refuse("`private` is only for a host that is named in full".to_owned()));
            }
            Some(domain) => match parse(domain)? {
                Host::Domain(domain) if !domain.contains('*') => Pattern::Below(format!(".{domain}")),
                _ => return Err(refuse("after `*.` there is the name of a domain".to_owned())),
            },
            None if allowed.host.contains('*') => {
                return Err(refuse("a `*` stands only before the first dot".to_owned()));
            }
            None => Pattern::Exactly(parse(&allowed.host)?),
        };
        let reach = if allowed.private { Reach::Anywhere } else { Reach::Public };
        Ok(Self { pattern, port: allowed.port, reach })
    }

    fn covers(&self, host: &Host, port: Option<u16>) -> bool {
        let is_host = match (&self.pattern, host) {
            (Pattern::Exactly(allowed), host) => allowed == host,
            (Pattern::Below(domain), Host::Domain(host)) => {
                host.len() > domain.len() && host.ends_with(domain.as_str())
            }
            (Pattern::Below(_), _) => false,
        };
        is_host && (self.port.is_none() || self.port == port)
    }
}
