//! What web servers answer.

mod address;
mod age;
mod client;
mod gate;
mod options;
mod seen;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use hyper::{Response, StatusCode};
use undercurrent_types::{Key, Level};
use url::Url;

use self::client::{Client, Refused};
use self::gate::Gate;
use self::seen::Seen;
use crate::cache::{Check, Inputs, LoadError, Loaded, Loader, Validator};

pub use options::{AllowedHost, HttpError, HttpOptions};

/// How many redirects are followed.
const MOST_REDIRECTS: usize = 5;

/// Loads `http:<url>`: the body that a GET of an `http` or `https` URL is answered with.
///
/// Only hosts that the options name are asked, also after a redirect, of which at most 5 are followed and none from
/// `https` to `http`. An address that is not public is connected to only for a host that is named with `private`; what
/// is checked is the address that is then connected to. No proxy, cookie or password is used, and a URL with a password
/// is denied. Bodies are asked for without compression.
///
/// | answer | result |
/// |---|---|
/// | 200, 203, 204 | the body |
/// | 404, 410 | not there, which is a value |
/// | any other status, a broken connection | [`LoadError::Failed`], never kept |
/// | longer than the limit | [`LoadError::TooLarge`], without reading on |
///
/// A value is served for as long as its headers allow (`Cache-Control`, else `Expires`; what may not be stored or used
/// without asking is asked about at every read), or as the options say where they are silent, and not longer than every
/// redirect on the way allows. After that the server is asked with `If-None-Match`, or `If-Modified-Since` where there
/// is no ETag and the time tells versions apart. A cache in front of a server counts as the server, and a weak ETag as
/// saying that nothing has changed.
#[derive(Debug)]
pub struct HttpLoader {
    options: HttpOptions,
    gate: Gate,
    client: Client,
}

/// The last answer of a chain of redirects.
struct Answered {
    url: Url,
    response: Response<Incoming>,
    /// For how long every answer of the chain may be used.
    age: Duration,
}

impl HttpLoader {
    /// Asks the hosts that the options allow. Reads the system's certificates.
    ///
    /// # Errors
    ///
    /// Fails when a host or a limit can not be what the options say. Without certificates only `http` can be asked, and
    /// a load by `https` says so.
    pub fn new(options: HttpOptions) -> Result<Self, HttpError> {
        Self::with_client(options, Client::new())
    }

    fn with_client(options: HttpOptions, client: Client) -> Result<Self, HttpError> {
        options.check()?;
        let gate = Gate::new(&options.allow)?;
        Ok(Self { options, gate, client })
    }

    async fn in_time<T>(
        &self,
        key: &Key,
        asking: impl Future<Output = Result<T, LoadError>>,
    ) -> Result<T, LoadError> {
        let limit = self.options.timeout;
        let ended = tokio::time::timeout(limit, asking).await;
        ended.unwrap_or_else(|_| Err(LoadError::TimedOut { key: key.clone(), limit }))
    }

    async fn read(&self, key: &Key) -> Result<Loaded, LoadError> {
        let Answered { url, response, age } = self.ask(key, None).await?;
        let status = response.status();
        let max_age = Some(age);
        match status {
            StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION | StatusCode::NO_CONTENT => {
                let validator = Seen::of(&url, response.headers(), age).map(|seen| seen.encode());
                let value = Some(self.body(key, response).await?);
                Ok(Loaded { value, validator, max_age, ..Loaded::default() })
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Loaded { max_age, ..Loaded::default() }),
            _ => Err(failed(key, format!("`{url}` answered with {status}"))),
        }
    }

    async fn find_out(&self, key: &Key, validator: &Validator) -> Result<Check, LoadError> {
        let Some(seen) = Seen::decode(validator) else { return Ok(Check::Changed) };
        let Answered { url, response, age } = self.ask(key, Some(&seen)).await?;
        // The entry goes on with the time that it was given when it was loaded: if there is less now, it is loaded anew.
        let same = response.status() == StatusCode::NOT_MODIFIED && seen.is_of(&url) && age >= seen.age();
        Ok(if same { Check::Unchanged } else { Check::Changed })
    }

    /// Asks, and follows redirects; with the condition that it is not what was seen, where that came from.
    async fn ask(&self, key: &Key, seen: Option<&Seen>) -> Result<Answered, LoadError> {
        let denied = |reason: String| LoadError::Denied { key: key.clone(), reason };
        let mut url = Url::parse(key.rest())
            .map_err(|error| denied(format!("`{}` is not a URL: {error}", key.rest())))?;
        let mut age = Duration::MAX;
        for _ in 0..=MOST_REDIRECTS {
            url.set_fragment(None);
            let reach = self.gate.admit(&url).map_err(denied)?;
            let seen = seen.filter(|seen| seen.is_of(&url));
            let response = self.client.get(&url, reach, seen).await.map_err(|refused| match refused {
                Refused::Denied(reason) => denied(reason),
                Refused::Failed(reason) => failed(key, reason),
            })?;
            // What is unchanged goes by what it said before, as far as it says nothing new.
            let silent = match seen {
                Some(seen) if response.status() == StatusCode::NOT_MODIFIED => seen.age(),
                _ => self.options.max_age,
            };
            age = age.min(age::remaining(response.headers(), silent));
            let Some(next) = redirect(&url, &response) else {
                return Ok(Answered { url, response, age });
            };
            let next = next.map_err(|reason| failed(key, reason))?;
            if url.scheme() == "https" && next.scheme() == "http" {
                return Err(denied(format!("`{url}` redirects to `{next}`, which is not encrypted")));
            }
            url = next;
        }
        Err(failed(key, format!("there are more than {MOST_REDIRECTS} redirects, the last to `{url}`")))
    }

    /// Reads the body, and stops as soon as it is too long.
    async fn body(&self, key: &Key, response: Response<Incoming>) -> Result<Bytes, LoadError> {
        let limit = self.options.size_limit;
        let too_large = |actual| Err(LoadError::TooLarge { key: key.clone(), actual, limit });
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        if let Some(encoding) = header(CONTENT_ENCODING).filter(|it| !it.eq_ignore_ascii_case("identity")) {
            return Err(failed(key, format!("its body came as `{encoding}`, which was not asked for")));
        }
        if let Some(length) = header(CONTENT_LENGTH).and_then(|text| text.parse().ok())
            && length > limit
        {
            return too_large(length);
        }
        let mut read = BytesMut::new();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| failed(key, client::chain(&error)))?;
            read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if read.len() as u64 > limit {
                return too_large(read.len() as u64);
            }
        }
        Ok(read.freeze())
    }
}

impl Loader for HttpLoader {
    fn name(&self) -> &'static str {
        "http"
    }

    fn default_level(&self) -> Level {
        Level::Fresh
    }

    fn offers(&self, _key: &Key, level: Level) -> Result<(), String> {
        match level {
            Level::Synced => Err("a web server can not be waited for; `verified` asks it".into()),
            _ => Ok(()),
        }
    }

    fn load<'a>(&'a self, key: &'a Key, _inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        self.in_time(key, self.read(key)).boxed()
    }

    fn check<'a>(
        &'a self,
        key: &'a Key,
        validator: &'a Validator,
    ) -> BoxFuture<'a, Result<Check, LoadError>> {
        self.in_time(key, self.find_out(key, validator)).boxed()
    }

    fn describe(&self, validator: &Validator) -> String {
        Seen::decode(validator).map_or_else(|| "unreadable".to_owned(), |seen| seen.to_string())
    }
}

/// Says where an answer sends its reader, if it sends them elsewhere.
fn redirect(url: &Url, response: &Response<Incoming>) -> Option<Result<Url, String>> {
    const REDIRECTS: [StatusCode; 5] = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !REDIRECTS.contains(&response.status()) {
        return None;
    }
    let location = response.headers().get(hyper::header::LOCATION)?;
    let target = location.to_str().map_err(|error| error.to_string());
    let target = target.and_then(|text| url.join(text).map_err(|error| error.to_string()));
    Some(target.map_err(|error| format!("`{url}` redirects to what is no URL: {error}")))
}

fn failed(key: &Key, reason: String) -> LoadError {
    LoadError::Failed { key: key.clone(), reason }
}
