//! Who is let in: requests of this machine, meant for this namespace.
//!
//! A listener on loopback is not enough. A page of any site can send requests to it (cross-site), and a name that
//! resolves to 127.0.0.1 makes the browser take it for that site's own (DNS rebinding). Both are told by the headers
//! that the browser sets and the page can not.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use undercurrent_types::ErrorCode;
use undercurrent_types::wire::header;

use crate::app::App;
use crate::query::Params;
use crate::reply::Refusal;

/// Lets a request through, or refuses it.
pub(crate) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match check(&app, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn check(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    check_host(uri, headers)?;
    check_origin(headers)?;
    check_namespace(app.namespace(), uri, headers)
}

fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let hosts: Vec<&str> = texts(headers, HOST.as_str()).collect();
    let authority = uri.authority().map(axum::http::uri::Authority::as_str);
    if hosts.len() == 1 && hosts.iter().copied().chain(authority).all(is_loopback) {
        return Ok(());
    }
    let given = hosts.iter().copied().chain(authority).find(|host| !is_loopback(host)).unwrap_or("");
    Err(Refusal::new(
        ErrorCode::Denied,
        format!(
            "the request is for the host `{given}`; only `localhost`, `127.0.0.0/8` and `[::1]` are served, so that no page of another site reaches the daemon through a name of its own"
        ),
    ))
}

fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let foreign = texts(headers, ORIGIN.as_str()).find(|origin| !is_loopback_origin(origin));
    let cross_site = texts(headers, "sec-fetch-site").find(|site| *site == "cross-site");
    match foreign.or(cross_site) {
        Some(given) => Err(Refusal::new(
            ErrorCode::Denied,
            format!(
                "the request comes from a page of another site (`{given}`), and only pages of this machine are served"
            ),
        )),
        None => Ok(()),
    }
}

fn check_namespace(served: &str, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let by_parameter = Params::of(uri)?.take("namespace")?;
    let given =
        texts(headers, header::NAMESPACE).chain(by_parameter.as_deref()).find(|given| *given != served);
    match given {
        Some(given) => Err(Refusal::new(
            ErrorCode::NotFound,
            format!("the namespace `{given}` is not served here; this daemon serves `{served}`"),
        )),
        None => Ok(()),
    }
}

/// Returns all values of a header; one that is no text reads as one that nothing matches.
fn texts<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("\u{fffd}"))
}

fn is_loopback_origin(origin: &str) -> bool {
    origin
        .split_once("://")
        .is_some_and(|(scheme, host)| matches!(scheme, "http" | "https") && is_loopback(host))
}

/// Says whether a host, with or without a port, is this machine by its text alone: `localhost`, an address of
/// `127.0.0.0/8`, or `[::1]`.
pub fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => return address == "::1" && is_port(port),
            None => return false,
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_local =
        name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback());
    is_local && is_port(port)
}

/// Says whether the text after a host is nothing, or a colon with a port.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_are_told_from_others() {
        let cases = [
            ("localhost", true),
            ("LOCALHOST:7433", true),
            ("127.0.0.1", true),
            ("127.0.0.1:7433", true),
            ("127.255.0.3:1", true),
            ("[::1]", true),
            ("[::1]:7433", true),
            ("", false),
            ("localhost.evil.example", false),
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("128.0.0.1", false),
            ("0.0.0.0:7433", false),
            ("2130706433", false),
            ("0177.0.0.1", false),
            ("::1", false),
            ("[::2]", false),
            ("[::1", false),
            ("[::1]x", false),
            ("localhost:", false),
            ("localhost:x", false),
            ("localhost:80:80", false),
            ("user@localhost", false),
            ("\u{fffd}", false),
        ];
        for (host, expected) in cases {
            assert_eq!(is_loopback(host), expected, "`{host}`");
        }
    }

    #[test]
    fn origins_of_this_machine_are_told_from_others() {
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:1"] {
            assert!(is_loopback_origin(origin), "`{origin}`");
        }
        for origin in
            ["null", "", "http://evil.example", "file://", "http://localhost.evil.example", "localhost"]
        {
            assert!(!is_loopback_origin(origin), "`{origin}`");
        }
    }
}
