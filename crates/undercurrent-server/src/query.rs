//! The parameters of a request: each known, each decoded strictly.

use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use undercurrent_types::{ErrorCode, StreamName, StreamNameError, parse_time};

use crate::reply::Refusal;

/// How many parameters a request may have.
const MOST: usize = 64;

/// Reads the name of a stream, which is all that follows a path.
pub(crate) fn stream_below(uri: &Uri, path: &str) -> Result<StreamName, Refusal> {
    let raw = uri.path().strip_prefix(path).unwrap_or_default();
    let name = percent_decode_str(raw).decode_utf8_lossy();
    name.parse().map_err(|error: StreamNameError| Refusal::new(ErrorCode::InvalidStream, error.to_string()))
}

/// The parameters of a request. What a handler does not take is refused, so that a misspelt one is not passed over.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Refusal> {
        let query = uri.query().unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let params: Vec<_> = pairs.map(parse).collect::<Result<_, _>>()?;
        if params.len() > MOST {
            return Err(Refusal::invalid(format!(
                "the request has {} parameters, at most {MOST} are allowed",
                params.len()
            )));
        }
        Ok(Self(params))
    }

    /// Takes every value of a parameter, in order.
    pub(crate) fn take_all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(one, _)| one == name).map(|(_, value)| value).collect()
    }

    /// Takes a parameter that may be there once.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let mut values = self.take_all(name);
        if values.len() > 1 {
            return Err(Refusal::invalid(format!(
                "the parameter `{name}` is there {} times; send it once",
                values.len()
            )));
        }
        Ok(values.pop())
    }

    /// Takes a parameter that may be there once and has a meaning.
    pub(crate) fn parse<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        let value = text.parse();
        value
            .map(Some)
            .map_err(|_| Refusal::invalid(format!("the parameter `{name}` is `{text}`; expected {expected}")))
    }

    /// Takes a parameter that may be there once and is a time.
    pub(crate) fn time(&mut self, name: &str) -> Result<Option<Duration>, Refusal> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        parse_time(&text).map(Some).ok_or_else(|| {
            Refusal::invalid(format!(
                "the parameter `{name}` is `{text}`; expected a time such as `500ms`, `30s` or `10m`"
            ))
        })
    }

    /// Refuses what was not taken.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        match self.0.iter().find(|(name, _)| name != "namespace") {
            Some((name, _)) => Err(Refusal::invalid(format!("there is no parameter `{name}` here"))),
            None => Ok(()),
        }
    }
}

fn parse(pair: &str) -> Result<(String, String), Refusal> {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    Ok((decode(name)?, decode(value)?))
}

fn decode(text: &str) -> Result<String, Refusal> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let decoded = decoded.map_err(|_| {
        Refusal::invalid(format!(
            "`{text}` in the parameters is not UTF-8; in a key, other bytes of a path are written `\\xHH`"
        ))
    })?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Result<Params, Refusal> {
        Params::of(&format!("/x?{query}").parse().unwrap())
    }

    #[test]
    fn parameters_are_decoded() {
        let mut given = params("key=file:/a%20b+c%C3%A4&type=a&type=b&&reload").unwrap();
        assert_eq!(given.take("key").unwrap().unwrap(), "file:/a b cä");
        assert_eq!(given.take_all("type"), ["a", "b"]);
        assert_eq!(given.take("reload").unwrap().unwrap(), "");
        assert_eq!(given.take("absent").unwrap(), None);
        given.finish().unwrap();
    }

    #[test]
    fn what_is_not_known_twice_or_not_utf_8_is_refused() {
        assert!(params("form=now").unwrap().finish().is_err());
        assert!(params("a=1&a=2").unwrap().take("a").is_err());
        assert!(params("a=%ff").is_err());
        assert!(params("limit=x").unwrap().parse::<usize>("limit", "a number").is_err());
        assert!(params(&"a=1&".repeat(65)).is_err());
        params("namespace=default").unwrap().finish().unwrap();
    }
}
