//! What an answer can be recognised by.

use std::fmt;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{DATE, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use serde::{Deserialize, Serialize};
use url::Url;

use super::age;
use crate::cache::Validator;

/// What an answer said about its version, and who said it. As a validator it is JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The URL at the end of all redirects.
    url: String,
    version: Version,
    /// For how many milliseconds it may be used from each time that it is found unchanged.
    age: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Version {
    Etag(String),
    Modified(String),
}

impl Seen {
    /// Reads it from the headers of an answer, if there is something to be recognised by.
    pub(super) fn of(url: &Url, headers: &HeaderMap, age: Duration) -> Option<Self> {
        let version =
            etag(headers).map(Version::Etag).or_else(|| modified(headers).map(Version::Modified))?;
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Some(Self { url: url.as_str().to_owned(), version, age })
    }

    pub(super) fn encode(&self) -> Validator {
        Validator(serde_json::to_vec(self).expect("strings and a number are always JSON").into())
    }

    pub(super) fn decode(validator: &Validator) -> Option<Self> {
        serde_json::from_slice(&validator.0).ok()
    }

    pub(super) fn is_of(&self, url: &Url) -> bool {
        self.url == url.as_str()
    }

    pub(super) fn age(&self) -> Duration {
        Duration::from_millis(self.age)
    }

    /// Returns the header that asks for an answer only if it is another one.
    pub(super) fn condition(&self) -> (HeaderName, &str) {
        match &self.version {
            Version::Etag(tag) => (IF_NONE_MATCH, tag),
            Version::Modified(time) => (IF_MODIFIED_SINCE, time),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Etag(tag) => write!(f, "ETag {tag} of {}", self.url),
            Version::Modified(time) => write!(f, "last modified {time}, {}", self.url),
        }
    }
}

fn etag(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(ETAG)?.to_str().ok()?;
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    (opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"')).then(|| tag.to_owned())
}

/// The time of the last change, if a change since the answer would have another one: times are in whole seconds, so the
/// answer must be from a later second (RFC 9110, section 8.8.2.2).
fn modified(headers: &HeaderMap) -> Option<String> {
    let (modified, answered) = (age::date(headers, LAST_MODIFIED)?, age::date(headers, DATE)?);
    if modified >= answered {
        return None;
    }
    Some(headers.get(LAST_MODIFIED)?.to_str().ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(given: &[(&'static str, &str)]) -> Option<Seen> {
        let headers =
            given.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Seen::of(&"https://a.example/x".parse().unwrap(), &headers, Duration::from_secs(1))
    }

    fn check(given: &[(&'static str, &str)], expected: Option<(&HeaderName, &str)>) {
        let seen = seen(given);
        let condition = seen.as_ref().map(Seen::condition);
        assert_eq!(condition.as_ref().map(|(name, value)| (name, *value)), expected, "{given:?}");
        assert_eq!(seen.as_ref().and_then(|seen| Seen::decode(&seen.encode())), seen, "{given:?}");
    }

    #[test]
    fn an_answer_is_recognised_by_what_tells_versions_apart() {
        let (early, late) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT");
        let modified = ("last-modified", early);
        check(&[], None);
        check(&[("etag", "\"a\"")], Some((&IF_NONE_MATCH, "\"a\"")));
        check(&[("etag", "W/\"a\"")], Some((&IF_NONE_MATCH, "W/\"a\"")));
        check(&[("etag", "a")], None);
        check(&[("etag", "\"")], None);
        check(&[("etag", "\"a\""), modified, ("date", late)], Some((&IF_NONE_MATCH, "\"a\"")));
        check(&[modified, ("date", late)], Some((&IF_MODIFIED_SINCE, early)));
        check(&[modified, ("date", early)], None);
        check(&[modified], None);
        check(&[("last-modified", "yesterday"), ("date", late)], None);
    }

    #[test]
    fn what_is_no_validator_is_not_read() {
        assert_eq!(Seen::decode(&Validator(b"{}".as_slice().into())), None);
    }

    #[test]
    fn a_validator_can_be_read_by_people() {
        assert_eq!(seen(&[("etag", "\"a\"")]).unwrap().to_string(), "ETag \"a\" of https://a.example/x");
    }
}
