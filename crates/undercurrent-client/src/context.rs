//! Reading context.

use std::str::FromStr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use reqwest::header::{ACCEPT, HeaderMap, IF_NONE_MATCH};
use reqwest::{Method, RequestBuilder, StatusCode};
use undercurrent_types::wire::{self, header};
use undercurrent_types::{ErrorCode, Key, Level, SessionName, Token, Version};

use crate::client::Client;
use crate::error::ClientError;

/// How long one request waits for a change: as long as the daemon lets it.
const WAIT: Duration = Duration::from_secs(60);

/// A read in preparation.
#[derive(Clone, Debug)]
#[must_use = "a read does nothing until it is sent"]
pub struct Get {
    client: Client,
    key: Key,
    level: Option<Level>,
    after: Option<Token>,
    if_version: Option<Version>,
    reload: bool,
    stale_on_error: bool,
    session: Option<SessionName>,
}

/// A value with the reasons to trust it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The value; `None` says that what the key names is not there.
    pub value: Option<Bytes>,
    /// The hash of the value.
    pub version: Version,
    /// How long ago the value was loaded or last found unchanged.
    pub age: Duration,
    /// The level that the read was served at.
    pub level: Level,
    /// Why the value may be trusted, in one word.
    pub why: String,
    /// The same for people.
    pub because: String,
    /// The position that the answer is good for.
    pub token: Token,
}

impl Get {
    pub(crate) fn new(client: Client, key: Key) -> Self {
        Self {
            client,
            key,
            level: None,
            after: None,
            if_version: None,
            reload: false,
            stale_on_error: false,
            session: None,
        }
    }

    /// Asks for a level instead of the key's default.
    pub fn level(self, level: Level) -> Self {
        Self { level: Some(level), ..self }
    }

    /// Asks for an answer that is at least as fresh as this token.
    pub fn after(self, token: Token) -> Self {
        Self { after: Some(token), ..self }
    }

    /// Asks for the value only if its version is another one.
    pub fn if_version_is_not(self, version: Version) -> Self {
        Self { if_version: Some(version), ..self }
    }

    /// Asks for a load, whatever is in memory.
    pub fn reload(self) -> Self {
        Self { reload: true, ..self }
    }

    /// Takes what is in memory when the value can not be loaded; the answer says so.
    pub fn stale_on_error(self) -> Self {
        Self { stale_on_error: true, ..self }
    }

    /// Makes it a read of a session, which can ask later what has changed.
    pub fn session(self, session: SessionName) -> Self {
        Self { session: Some(session), ..self }
    }

    /// Reads the bytes of the value; `None` where the version is the one that the caller has.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says. That what the key names is not there is an answer, not an error.
    pub async fn answer(self) -> Result<Option<Answer>, ClientError> {
        self.receive(self.request()).await
    }

    async fn receive(&self, request: RequestBuilder) -> Result<Option<Answer>, ClientError> {
        let response = request.send().await.map_err(|error| self.client.broken(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(|error| self.client.broken(error))?;
        let is_absent = headers.get(header::EXISTS).is_some_and(|exists| exists == "false");
        let value = match status {
            StatusCode::NOT_MODIFIED => return Ok(None),
            StatusCode::NOT_FOUND if is_absent => None,
            status if status.is_success() => Some(body),
            status => return Err(self.client.refused(status, &body)),
        };
        self.read_answer(value, &headers).map(Some)
    }

    /// Reads the value as JSON; `None` where the version is the one that the caller has.
    ///
    /// # Errors
    ///
    /// Fails as [`Get::answer`] does.
    pub async fn context(self) -> Result<Option<wire::Context>, ClientError> {
        let response = self.client.send(self.request().header(ACCEPT, "application/json")).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let context = response.json().await;
        context.map(Some).map_err(|error| self.client.foreign(format!("its answer does not parse: {error}")))
    }

    /// Reads what became of the value since a version of it was read.
    ///
    /// # Errors
    ///
    /// Fails as [`Get::answer`] does.
    pub async fn changed_since(self, version: Version) -> Result<wire::Changed, ClientError> {
        let request = self.request_to("/v1/context/changed").query(&[("version", version.to_string())]);
        self.client.json(request).await
    }

    /// Waits until the value is another than `version`; without one, than now. The level is the key's own.
    ///
    /// # Errors
    ///
    /// Fails with `timed_out` when the time is over, and as the daemon says.
    pub async fn changed_from(
        self,
        version: Option<Version>,
        timeout: Duration,
    ) -> Result<Answer, ClientError> {
        let version = match version {
            Some(version) => version,
            None => self.version_now().await?,
        };
        let began = Instant::now();
        loop {
            let left = timeout.saturating_sub(began.elapsed());
            let query = [
                ("key", self.key.to_string()),
                ("version", version.to_string()),
                ("timeout", format!("{}ms", left.min(WAIT).as_millis())),
            ];
            let request = self.client.request(Method::GET, "/v1/context/wait").query(&query);
            match self.receive(request).await {
                Err(ClientError::Refused(body)) if body.code == ErrorCode::TimedOut && left > WAIT => {}
                Err(error) => return Err(error),
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => return Err(self.client.foreign("it answered 304 to a wait".to_owned())),
            }
        }
    }

    /// What is not cached counts as absent.
    async fn version_now(&self) -> Result<Version, ClientError> {
        match self.receive(self.request()).await {
            Ok(answer) => Ok(answer.map_or(Version::of(None), |answer| answer.version)),
            Err(ClientError::Refused(body)) if body.code == ErrorCode::NotFound => Ok(Version::of(None)),
            Err(error) => Err(error),
        }
    }

    fn request(&self) -> RequestBuilder {
        self.request_to("/v1/context")
    }

    fn request_to(&self, path: &str) -> RequestBuilder {
        let mut query = vec![("key", self.key.as_str().to_owned())];
        if let Some(token) = self.after {
            query.push(("after", token.to_string()));
        }
        if self.reload {
            query.push(("reload", "true".to_owned()));
        }
        if self.stale_on_error {
            query.push(("stale_on_error", "true".to_owned()));
        }
        let mut request = self.client.request(Method::GET, path).query(&query);
        if let Some(level) = self.level {
            request = request.header("prefer", format!("freshness=\"{level}\""));
        }
        if let Some(session) = &self.session {
            request = request.header(header::SESSION, session.as_str());
        }
        if let Some(version) = self.if_version {
            request = request.header(IF_NONE_MATCH, format!("\"{version}\""));
        }
        request
    }

    fn read_answer(&self, value: Option<Bytes>, headers: &HeaderMap) -> Result<Answer, ClientError> {
        let because = self.text(headers, header::BECAUSE)?;
        Ok(Answer {
            value,
            version: self.parse(headers, header::VERSION)?,
            age: Duration::from_millis(self.parse(headers, header::AGE_MS)?),
            level: self.parse(headers, header::LEVEL)?,
            why: self.text(headers, header::WHY)?.to_owned(),
            because: percent_decode_str(because).decode_utf8_lossy().into_owned(),
            token: self.parse(headers, header::TOKEN)?,
        })
    }

    fn text<'a>(&self, headers: &'a HeaderMap, name: &str) -> Result<&'a str, ClientError> {
        let text = headers.get(name).and_then(|value| value.to_str().ok());
        text.ok_or_else(|| self.client.foreign(format!("the header `{name}` is missing")))
    }

    fn parse<T: FromStr>(&self, headers: &HeaderMap, name: &str) -> Result<T, ClientError> {
        let text = self.text(headers, name)?;
        text.parse().map_err(|_| self.client.foreign(format!("the header `{name}` is `{text}`")))
    }
}
