//! One method for each thing that the daemon does.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use undercurrent_types::wire::{self, header};
use undercurrent_types::{
    Durability, ErrorBody, ErrorCode, Event, EventSource, Key, LogCursor, Name, Seq, SessionName, StreamName,
    Version,
};

use crate::context::Get;
use crate::error::ClientError;
use crate::subscription::Subscribe;

/// How long a connection may take: the daemon is on this machine.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long the daemon may be silent: longer than a load may take, and than subscriptions are silent.
const SILENCE: Duration = Duration::from_secs(90);

/// A client of one daemon. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    headers: HeaderMap,
}

/// What a publish asks for besides the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// The seq that the last event of the stream must have.
    pub expected_seq: Option<Seq>,
    /// What the stream promises, if this event creates it.
    pub durability: Option<Durability>,
    /// For how long in all it may wait where the producer is over its quota and is told when to come again.
    pub patience: Duration,
}

/// How a stream is set up; limits as people write them, such as `7d`, `64MiB`, `100000` or `none`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// What an acknowledgement promises. Fixed once the stream is made.
    pub durability: Option<Durability>,
    /// How old an event may become.
    pub max_age: Option<String>,
    /// How many bytes of events are kept.
    pub max_bytes: Option<String>,
    /// How many events are kept.
    pub max_count: Option<String>,
}

/// What a value that is put depends on, and how long it may be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// The ticket of the miss that the value fills.
    pub ticket: Option<String>,
    /// The keys that the value was made from, each with the version that was read.
    pub inputs: Vec<(Key, Version)>,
    /// Tags that make it stale, besides its key and inputs.
    pub tags: Vec<Name>,
    /// For how long it may be served.
    pub max_age: Option<Duration>,
}

/// Events of one stream, contiguous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// Where to go on.
    pub next: String,
    /// Whether the page ends at the last event that there was.
    pub at_tail: bool,
}

impl Client {
    /// Makes a client of the daemon at an address such as `http://127.0.0.1:7433`; connects with the first request.
    ///
    /// Environment variables that name a proxy are passed over: the daemon is on this machine.
    ///
    /// # Errors
    ///
    /// Fails when the address is none or not `http`.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let refuse = |reason: String| ClientError::Address { url: url.to_owned(), reason };
        let parsed = reqwest::Url::parse(url).map_err(|error| refuse(error.to_string()))?;
        if parsed.scheme() != "http" || parsed.host_str().is_none() {
            return Err(refuse("expected `http://HOST:PORT`".to_owned()));
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIME)
            .read_timeout(SILENCE)
            .build()
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), headers: HeaderMap::new() })
    }

    /// Says which namespace requests are meant for; a daemon that serves another one refuses them.
    ///
    /// # Errors
    ///
    /// Fails when the text can not be sent in a header.
    pub fn with_namespace(self, namespace: &str) -> Result<Self, ClientError> {
        self.with_header(header::NAMESPACE, namespace)
    }

    /// Sends a bearer token with each request.
    ///
    /// # Errors
    ///
    /// Fails when the text can not be sent in a header.
    pub fn with_token(self, token: &str) -> Result<Self, ClientError> {
        self.with_header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// Returns the address of the daemon.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Publishes one event.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says; whether the event was published is unknown when the connection broke, and the same
    /// event can be sent again.
    pub async fn publish(
        &self,
        stream: &StreamName,
        event: &Event,
        options: PublishOptions,
    ) -> Result<wire::Ack, ClientError> {
        let request = self.post_events(stream, options).header(CONTENT_TYPE, "application/cloudevents+json");
        self.patiently(request.body(event.to_json()), options.patience).await
    }

    /// Hands an event to those who follow the stream and its ephemeral events now; it is not kept.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn publish_ephemeral(
        &self,
        stream: &StreamName,
        event: &Event,
    ) -> Result<wire::Passed, ClientError> {
        let request = self.post_events(stream, PublishOptions::default()).query(&[("ephemeral", "true")]);
        self.json(request.header(CONTENT_TYPE, "application/cloudevents+json").body(event.to_json())).await
    }

    /// Publishes events, all or none.
    ///
    /// # Errors
    ///
    /// Fails as [`Client::publish`] does; the body of the error says which event of the batch was refused.
    pub async fn publish_batch(
        &self,
        stream: &StreamName,
        events: &[Event],
        options: PublishOptions,
    ) -> Result<Vec<wire::Ack>, ClientError> {
        let mut batch = b"[".to_vec();
        for (index, event) in events.iter().enumerate() {
            if index > 0 {
                batch.push(b',');
            }
            event.write_json(&mut batch);
        }
        batch.push(b']');
        let request =
            self.post_events(stream, options).header(CONTENT_TYPE, "application/cloudevents-batch+json");
        self.patiently(request.body(batch), options.patience).await
    }

    /// Publishes events of several streams in this order, all or none.
    ///
    /// # Errors
    ///
    /// Fails as [`Client::publish_batch`] does.
    pub async fn publish_in_order(
        &self,
        events: &[(StreamName, Event)],
        patience: Duration,
    ) -> Result<Vec<wire::Ack>, ClientError> {
        let mut batch = b"[".to_vec();
        for (index, (stream, event)) in events.iter().enumerate() {
            if index > 0 {
                batch.push(b',');
            }
            event.write_json_in_stream(stream, &mut batch);
        }
        batch.push(b']');
        let request = self.request(Method::POST, "/v1/events");
        let request = request.header(CONTENT_TYPE, "application/cloudevents-batch+json");
        self.patiently(request.body(batch), patience).await
    }

    /// Reads up to 1000 events of a stream after a cursor, or from its beginning.
    ///
    /// # Errors
    ///
    /// Fails with `gone` where the cursor can not be continued, and as the daemon says.
    pub async fn page(&self, stream: &StreamName, after: Option<&str>) -> Result<Page, ClientError> {
        let from = after.unwrap_or("beginning");
        let request = self.request(Method::GET, &format!("/v1/events/{stream}"));
        let response = self.send(request.query(&[("from", from), ("limit", "1000")])).await?;
        let named = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let missing = || self.foreign(format!("its page of events has no `{}`", header::NEXT));
        let next = named(header::NEXT).ok_or_else(missing)?.to_owned();
        let at_tail = named(header::AT_TAIL) == Some("true");
        let body = response.bytes().await.map_err(|error| self.broken(error))?;
        let events = serde_json::from_slice(&body)
            .map_err(|error| self.foreign(format!("its page of events does not parse: {error}")))?;
        Ok(Page { events, next, at_tail })
    }

    /// Asks what became of an event, after a publish whose answer did not come. That it is not known is final only
    /// once no request that brings it is under way.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn outcome(
        &self,
        stream: &StreamName,
        source: &EventSource,
        id: &str,
    ) -> Result<wire::Outcome, ClientError> {
        let query = [("stream", stream.as_str()), ("source", source.as_str()), ("id", id)];
        self.json(self.request(Method::GET, "/v1/outcome").query(&query)).await
    }

    /// Prepares a subscription to a stream, from its beginning unless something else is said.
    pub fn subscribe(&self, stream: &StreamName) -> Subscribe {
        Subscribe::new(self.clone(), stream)
    }

    /// Prepares a subscription to all streams that a pattern such as `sessions/*` covers, in one order; or to
    /// `$invalidations`, which says what was made stale.
    pub fn subscribe_all(&self, pattern: &str) -> Subscribe<LogCursor> {
        Subscribe::all(self.clone(), pattern)
    }

    /// Prepares a read of a piece of context.
    pub fn get(&self, key: &Key) -> Get {
        Get::new(self.clone(), key.clone())
    }

    /// Puts a value; with the ticket of a miss it fills, without one it invalidates and stands.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn put(
        &self,
        key: &Key,
        value: Bytes,
        options: &PutOptions,
    ) -> Result<wire::Written, ClientError> {
        let mut query = vec![("key", key.to_string())];
        query.extend(options.inputs.iter().map(|(key, version)| ("input", format!("{key}={version}"))));
        query.extend(options.tags.iter().map(|tag| ("tag", tag.to_string())));
        query.extend(options.max_age.iter().map(|age| ("ttl", format!("{}ms", age.as_millis()))));
        let request = self.request(Method::PUT, "/v1/context").query(&query).body(value);
        let request = match &options.ticket {
            Some(ticket) => request.header(header::TICKET, ticket),
            None => request,
        };
        self.json(request).await
    }

    /// Invalidates keys and tags in one step.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn invalidate(&self, names: Vec<Name>) -> Result<wire::Written, ClientError> {
        let body = serde_json::to_vec(&wire::Invalidate { names })
            .map_err(|error| self.foreign(format!("the names have no JSON: {error}")))?;
        let request = self.request(Method::POST, "/v1/invalidate").header(CONTENT_TYPE, "application/json");
        self.json(request.body(body)).await
    }

    /// Explains a key.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn explain(&self, key: &Key) -> Result<wire::Explanation, ClientError> {
        self.json(self.request(Method::GET, "/v1/explain").query(&[("key", key.as_str())])).await
    }

    /// Returns what has changed since a session read it; with `ack` that counts as seen.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn changes(&self, session: &SessionName, ack: bool) -> Result<wire::Notice, ClientError> {
        let method = if ack { Method::POST } else { Method::GET };
        let request = self.request(method, "/v1/changes").query(&[("session", session.as_str())]);
        self.json(if ack { request.query(&[("ack", "true")]) } else { request }).await
    }

    /// Returns which names an event would make stale, and by which rules; nothing is published.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn test_rules(&self, event: &Event) -> Result<wire::RulesTested, ClientError> {
        let request = self.request(Method::POST, "/v1/rules/test");
        let request = request.header(CONTENT_TYPE, "application/cloudevents+json");
        self.json(request.body(event.to_json())).await
    }

    /// Takes a secret out of all that is stored; every event keeps its place.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn scrub(&self, secret: Vec<u8>) -> Result<wire::ScrubReport, ClientError> {
        let request = self.request(Method::POST, "/v1/scrub");
        self.json(request.header(CONTENT_TYPE, "text/plain").body(secret)).await
    }

    /// Returns what the daemon is doing.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn status(&self) -> Result<wire::Status, ClientError> {
        self.json(self.request(Method::GET, "/v1/status")).await
    }

    /// Returns every stream with its last event.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn streams(&self) -> Result<Vec<wire::StreamStatus>, ClientError> {
        self.json(self.request(Method::GET, "/v1/streams")).await
    }

    /// Makes a stream, or sets how much one keeps that is there. A setting that is not named stays as it is.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn create_stream(
        &self,
        stream: &StreamName,
        settings: &StreamOptions,
    ) -> Result<wire::StreamStatus, ClientError> {
        let StreamOptions { durability, max_age, max_bytes, max_count } = settings;
        let durability = durability.map(|durability| durability.to_string());
        let named = [
            ("durability", &durability),
            ("max_age", max_age),
            ("max_bytes", max_bytes),
            ("max_count", max_count),
        ];
        let query: Vec<_> = named.iter().filter_map(|(name, text)| Some((name, text.as_ref()?))).collect();
        self.json(self.request(Method::PUT, &format!("/v1/streams/{stream}")).query(&query)).await
    }

    /// Deletes a stream with all that its events said.
    ///
    /// # Errors
    ///
    /// Fails with `not_found` if there is none, and as the daemon says.
    pub async fn delete_stream(&self, stream: &StreamName) -> Result<wire::Deleted, ClientError> {
        self.json(self.request(Method::DELETE, &format!("/v1/streams/{stream}"))).await
    }

    /// Returns which daemon answers.
    ///
    /// # Errors
    ///
    /// Fails when none does.
    pub async fn health(&self) -> Result<wire::Health, ClientError> {
        self.json(self.request(Method::GET, "/healthz")).await
    }

    /// Sends a request as often as the daemon says when to come again, if that is within the time.
    async fn patiently<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        mut patience: Duration,
    ) -> Result<T, ClientError> {
        while let Some(again) = request.try_clone() {
            let answer = self.json(again).await;
            let wait = answer.as_ref().err().and_then(ClientError::retry_after);
            let Some(wait) = wait.filter(|wait| *wait <= patience) else { return answer };
            patience -= wait;
            tokio::time::sleep(wait).await;
        }
        self.json(request).await
    }

    fn post_events(&self, stream: &StreamName, options: PublishOptions) -> RequestBuilder {
        let mut query = Vec::new();
        if let Some(seq) = options.expected_seq {
            query.push(("expected_seq", seq.to_string()));
        }
        if let Some(durability) = options.durability {
            query.push(("durability", durability.to_string()));
        }
        self.request(Method::POST, &format!("/v1/events/{stream}")).query(&query)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).headers(self.headers.clone())
    }

    /// Sends a request, and turns the answer into an error where it is one.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.broken(error))?;
        let status = response.status();
        if status.is_success() || status == reqwest::StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|error| self.broken(error))?;
        Err(self.refused(status, &body))
    }

    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        let body = response.bytes().await.map_err(|error| self.broken(error))?;
        serde_json::from_slice(&body)
            .map_err(|error| self.foreign(format!("its answer does not parse: {error}")))
    }

    pub(crate) fn refused(&self, status: reqwest::StatusCode, body: &[u8]) -> ClientError {
        if let Ok(body) = serde_json::from_slice(body) {
            return ClientError::Refused(Box::new(body));
        }
        // The listener itself refuses a head that is too large, without a body.
        if status == reqwest::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE {
            let body = ErrorBody::new(ErrorCode::TooLarge, "the head of the request is too large");
            return ClientError::Refused(Box::new(body));
        }
        self.foreign(format!("it answers {status} without the body of an error"))
    }

    pub(crate) fn broken(&self, error: reqwest::Error) -> ClientError {
        ClientError::of_transport(&self.url, error)
    }

    pub(crate) fn foreign(&self, reason: String) -> ClientError {
        ClientError::Foreign { url: self.url.clone(), reason }
    }

    fn with_header(mut self, name: &'static str, text: &str) -> Result<Self, ClientError> {
        let mut value = HeaderValue::from_str(text).map_err(|_| ClientError::Address {
            url: self.url.clone(),
            reason: format!("`{name}` can not carry what was given"),
        })?;
        value.set_sensitive(name == AUTHORIZATION.as_str());
        self.headers.insert(name, value);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked() {
        assert_eq!(Client::new("http://127.0.0.1:7433/").unwrap().url(), "http://127.0.0.1:7433");
        for url in ["", "127.0.0.1:7433", "https://localhost:7433", "file:///x", "http://"] {
            assert!(Client::new(url).is_err(), "`{url}` was accepted");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let client = Client::new("http://localhost:1").unwrap().with_token("hidden").unwrap();
        assert!(!format!("{client:?}").contains("hidden"));
    }
}
