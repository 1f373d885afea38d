//! For how long an answer may be used.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{AGE, AsHeaderName, CACHE_CONTROL, DATE, EXPIRES};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// Returns for how long an answer may be used, counted from before it was asked for; `silent` where it does not say.
///
/// By RFC 9111, section 4.2, as a cache of one user. What can not be read allows no time at all. Both times that
/// `Expires` is counted by are the server's; no clock of this machine takes part.
pub(super) fn remaining(headers: &HeaderMap, silent: Duration) -> Duration {
    let directives = headers.get_all(CACHE_CONTROL).iter();
    let directives: Vec<&str> =
        directives.flat_map(|value| value.to_str().unwrap_or("no-cache").split(',')).collect();
    let mut allowed = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Duration::ZERO,
            "max-age" => {
                let seconds = seconds(value.trim().trim_matches('"')).unwrap_or(Duration::ZERO);
                allowed = Some(allowed.map_or(seconds, |other: Duration| other.min(seconds)));
            }
            _ => {}
        }
    }
    let allowed =
        allowed.or_else(|| headers.contains_key(EXPIRES).then(|| until_expires(headers).unwrap_or_default()));
    let used = one(headers, AGE).and_then(seconds).unwrap_or_default();
    allowed.map_or(silent, |allowed| allowed.saturating_sub(used))
}

fn until_expires(headers: &HeaderMap) -> Option<Duration> {
    let (expires, date) = (date(headers, EXPIRES)?, date(headers, DATE)?);
    expires.duration_since(date).try_into().ok()
}

/// Reads a header that is a date.
pub(super) fn date(headers: &HeaderMap, name: impl AsHeaderName) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(one(headers, name)?).ok()
}

fn one(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Reads seconds; more than anybody waits for count as 2³¹, as the standard has it.
fn seconds(text: &str) -> Option<Duration> {
    const MOST: u64 = 1 << 31;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(text.parse().unwrap_or(MOST).min(MOST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE_NOW: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");

    fn check(given: &[(&'static str, &str)], expected: u64) {
        let headers =
            given.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        assert_eq!(remaining(&headers, Duration::from_secs(7)), Duration::from_secs(expected), "{given:?}");
    }

    #[test]
    fn the_headers_say_for_how_long() {
        let later = ("expires", "Sun, 06 Nov 1994 08:50:37 GMT");
        check(&[], 7);
        check(&[("cache-control", "public, must-revalidate")], 7);
        check(&[("age", "5")], 7);
        check(&[("cache-control", "max-age=60")], 60);
        check(&[("cache-control", "public, Max-Age = \"60\"")], 60);
        check(&[("cache-control", "max-age=60"), ("age", "20")], 40);
        check(&[("cache-control", "max-age=60"), ("age", "90")], 0);
        check(&[("cache-control", "max-age=60"), ("age", "soon")], 60);
        check(&[("cache-control", "max-age=60"), ("cache-control", "no-cache")], 0);
        check(&[("cache-control", "max-age=60, no-store")], 0);
        check(&[("cache-control", "no-cache=\"set-cookie\"")], 0);
        check(&[("cache-control", "max-age=60, max-age=30")], 30);
        check(&[("cache-control", "max-age=soon")], 0);
        check(&[("cache-control", "max-age=-1")], 0);
        check(&[("cache-control", "max-age=99999999999999999999")], 1 << 31);
        check(&[("cache-control", "s-maxage=60")], 7);
        check(&[DATE_NOW, later], 60);
        check(&[DATE_NOW, later, ("age", "20")], 40);
        check(&[DATE_NOW, later, ("cache-control", "max-age=5")], 5);
        check(&[DATE_NOW, ("expires", "Sun, 06 Nov 1994 08:49:00 GMT")], 0);
        check(&[DATE_NOW, ("expires", "0")], 0);
        check(&[later], 0);
    }
}
