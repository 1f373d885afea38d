//! `/v1/context`: read, put, invalidate, explain.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use undercurrent::cache::{Answer, PutOptions, ReadOptions};
use undercurrent::event_stream::IfChanged;
use undercurrent_types::wire::{self, header};
use undercurrent_types::{ErrorCode, Key, Level, Name, Token, Version};

use crate::app::App;
use crate::body;
use crate::events::accepts;
use crate::query::Params;
use crate::reply::{Refusal, json};
use crate::sessions::session_of;

/// How long a request may wait for a change: shorter than clients and what lies between take silence.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Reads a piece of context: its bytes, or with `Accept: application/json` a [`wire::Context`].
pub(crate) async fn get(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let (parts, _) = request.into_parts();
    let answer = read(&app, &parts, Params::of(&parts.uri)?).await?;
    Ok(respond(&answer, &parts))
}

/// Reads a piece of context as far as it differs from a version that the client has: a [`wire::Changed`].
pub(crate) async fn changed(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let (parts, _) = request.into_parts();
    let mut params = Params::of(&parts.uri)?;
    let version = version_of(&mut params)?.ok_or_else(|| Refusal::invalid("`version` is missing"))?;
    let answer = read(&app, &parts, params).await?;
    let (state, diff, context) = match app.engine()?.compare(answer, version) {
        IfChanged::Unchanged(answer) => {
            let known = wire::Context { value: None, value_base64: None, ..context(&answer) };
            (wire::ChangedState::Unchanged, None, known)
        }
        IfChanged::Changed { answer, diff } => (wire::ChangedState::Changed, diff, context(&answer)),
        IfChanged::Gone(answer) => (wire::ChangedState::Gone, None, context(&answer)),
    };
    Ok(json(&wire::Changed { state, diff, context }))
}

/// Waits until a value is another, and answers as a read does.
pub(crate) async fn wait(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let (parts, _) = request.into_parts();
    let mut params = Params::of(&parts.uri)?;
    let key = key_of(&mut params)?;
    let version = version_of(&mut params)?;
    let timeout = params.time("timeout")?.unwrap_or(LONGEST_WAIT);
    params.finish()?;
    if timeout > LONGEST_WAIT {
        let longest = LONGEST_WAIT.as_secs();
        return Err(Refusal::invalid(format!(
            "a request waits for {longest} s at most; ask again after that"
        )));
    }
    let engine = app.engine()?;
    tokio::select! {
        answer = engine.wait(&key, version, timeout) => {
            Ok(respond(&answer.map_err(|error| Refusal::from(error.body()))?, &parts))
        }
        () = app.stopping().cancelled() => Err(Refusal::new(ErrorCode::Unavailable, "the daemon is ending")),
    }
}

/// Reads what the parameters and headers of a read ask for.
async fn read(app: &App, parts: &Parts, mut params: Params) -> Result<Answer, Refusal> {
    let key = key_of(&mut params)?;
    let after = after_of(&mut params, &parts.headers)?;
    let reload = params.parse("reload", "`true` or `false`")?.unwrap_or(false);
    let stale_on_error = params.parse("stale_on_error", "`true` or `false`")?.unwrap_or(false);
    params.finish()?;
    let options = ReadOptions { level: level_of(&parts.headers)?, after, reload, stale_on_error };
    let session = session_of(&parts.headers)?;
    let engine = app.engine()?;
    let get = engine.get_app_context(key).with(options);
    let answer = match session {
        Some(session) => get.session(session).await,
        None => get.await,
    };
    answer.map_err(|error| Refusal::from(error.body()))
}

/// Puts a value: the body, byte for byte. What it was made from is named by `input=KEY=VERSION` and `tag=TEXT`.
pub(crate) async fn put(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let (parts, sent) = request.into_parts();
    let mut params = Params::of(&parts.uri)?;
    let key = key_of(&mut params)?;
    let options = PutOptions {
        ticket: ticket_of(&parts.headers)?,
        inputs: params.take_all("input").iter().map(|text| input_of(text)).collect::<Result<_, _>>()?,
        tags: params.take_all("tag").iter().map(|text| tag_of(text)).collect::<Result<_, _>>()?,
        max_age: params.time("ttl")?,
    };
    params.finish()?;
    let engine = app.engine()?;
    let received = app.bodies().read(&parts.headers, sent, body::VALUE).await?;
    let written = engine.put(&key, received.bytes.clone(), options).await;
    Ok(json(&written.map_err(|error| Refusal::from(error.body()))?))
}

/// Invalidates one key.
pub(crate) async fn invalidate(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let mut params = Params::of(request.uri())?;
    let key = key_of(&mut params)?;
    params.finish()?;
    invalidate_all(&app, vec![key.into()]).await
}

/// Invalidates keys and tags in one step.
pub(crate) async fn invalidate_names(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, sent) = request.into_parts();
    Params::of(&parts.uri)?.finish()?;
    let received = app.bodies().read(&parts.headers, sent, body::NAMES).await?;
    let names = parse_names(&received.bytes)?;
    invalidate_all(&app, names).await
}

/// Explains a key.
pub(crate) async fn explain(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let mut params = Params::of(request.uri())?;
    let key = key_of(&mut params)?;
    params.finish()?;
    let explanation = app.engine()?.explain(&key).await;
    Ok(json(&explanation.map_err(|error| Refusal::from(error.body()))?))
}

async fn invalidate_all(app: &App, names: Vec<Name>) -> Result<Response, Refusal> {
    let written = app.engine()?.invalidate(names).await;
    Ok(json(&written.map_err(|error| Refusal::from(error.body()))?))
}

fn parse_names(body: &[u8]) -> Result<Vec<Name>, Refusal> {
    let request: serde_json::Result<wire::Invalidate> = serde_json::from_slice(body);
    let names = request
        .map_err(|error| {
            Refusal::invalid(format!("the body is not `{{\"names\": [KEY or `tag:`TEXT, …]}}`: {error}"))
        })?
        .names;
    if names.is_empty() {
        return Err(Refusal::invalid("`names` is empty; name a key or a tag"));
    }
    match names.iter().find(|name| !name.is_tag() && name.as_key().is_none()) {
        Some(name) => Err(Refusal::new(
            ErrorCode::InvalidKey,
            format!("`{name}` is neither a key nor a tag, and only these are invalidated by hand"),
        )),
        None => Ok(names),
    }
}

fn key_of(params: &mut Params) -> Result<Key, Refusal> {
    let text = params.take("key")?.ok_or_else(|| Refusal::invalid("the parameter `key` is missing"))?;
    Key::parse(&text).map_err(|error| Refusal::new(ErrorCode::InvalidKey, error.to_string()))
}

fn version_of(params: &mut Params) -> Result<Option<Version>, Refusal> {
    params.parse("version", "a version as a read gives it")
}

/// Reads what a value was made from. A version has no `=`, and a key may have some.
fn input_of(text: &str) -> Result<(Key, Version), Refusal> {
    let refuse = || Refusal::invalid(format!("the parameter `input` is `{text}`; expected KEY=VERSION"));
    let (key, version) = text.rsplit_once('=').ok_or_else(refuse)?;
    let version = version.parse().map_err(|_| refuse())?;
    let key = Key::parse(key).map_err(|error| Refusal::new(ErrorCode::InvalidKey, error.to_string()))?;
    Ok((key, version))
}

fn tag_of(text: &str) -> Result<Name, Refusal> {
    let bare = text.strip_prefix("tag:").unwrap_or(text);
    Name::tag(bare).map_err(|error| Refusal::new(ErrorCode::InvalidKey, error.to_string()))
}

/// Reads the token that the answer must not be older than, from `after` or the header.
fn after_of(params: &mut Params, headers: &HeaderMap) -> Result<Option<Token>, Refusal> {
    let by_parameter = params.take("after")?;
    let Some(text) = by_parameter.as_deref().or(header_text(headers, header::AFTER)?) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|error: undercurrent_types::TokenError| {
        Refusal::new(ErrorCode::InvalidCursor, error.to_string())
    })
}

/// Reads the permission to fill a key that the refusal of a read gave.
fn ticket_of(headers: &HeaderMap) -> Result<Option<Token>, Refusal> {
    let Some(text) = header_text(headers, header::TICKET)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        Refusal::invalid(format!(
            "`{text}` is not a ticket; the error of a read of a key that is not filled has one"
        ))
    })
}

/// Reads the level from `Prefer: freshness=<level>`; other preferences are passed over, as RFC 7240 says.
fn level_of(headers: &HeaderMap) -> Result<Option<Level>, Refusal> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences =
        values.flat_map(|value| value.split([',', ';'])).filter_map(|one| one.trim().split_once('='));
    let Some((_, level)) = preferences.find(|(name, _)| name.trim().eq_ignore_ascii_case("freshness")) else {
        return Ok(None);
    };
    let level = level.trim().trim_matches('"').parse::<Level>();
    level.map(Some).map_err(|error| Refusal::invalid(error.to_string()))
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value
        .to_str()
        .map(Some)
        .map_err(|_| Refusal::invalid(format!("the header `{name}` is not printable ASCII")))
}

fn respond(answer: &Answer, parts: &Parts) -> Response {
    let version = answer.version();
    let mut response = if is_known(&parts.headers, version) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if accepts(parts, "application/json") {
        json(&context(answer))
    } else if let Some(value) = answer.value() {
        ([(CONTENT_TYPE, "application/octet-stream")], value.clone()).into_response()
    } else {
        Refusal::new(ErrorCode::NotFound, format!("what `{}` names is not there", answer.key()))
            .into_response()
    };
    describe(answer, response.headers_mut());
    response
}

/// Says whether the client has this version already: `If-None-Match`, compared as RFC 9110 says for reads.
fn is_known(headers: &HeaderMap, version: Version) -> bool {
    let version = version.to_string();
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == version
    })
}

fn context(answer: &Answer) -> wire::Context {
    let (value, value_base64) = match answer.value().map(|value| (std::str::from_utf8(value), value)) {
        Some((Ok(text), _)) => (Some(text.to_owned()), None),
        Some((Err(_), bytes)) => (None, Some(STANDARD.encode(bytes))),
        None => (None, None),
    };
    wire::Context {
        key: answer.key().clone(),
        value,
        value_base64,
        exists: answer.value().is_some(),
        version: answer.version(),
        age_ms: age_ms(answer),
        level: answer.level(),
        why: answer.why().word().to_owned(),
        because: answer.why().to_string(),
        token: answer.token(),
    }
}

fn age_ms(answer: &Answer) -> u64 {
    u64::try_from(answer.age().as_millis()).unwrap_or(u64::MAX)
}

/// Sets the headers that say why the answer may be trusted.
fn describe(answer: &Answer, headers: &mut HeaderMap) {
    const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');
    let because = answer.why().to_string();
    let exists = if answer.value().is_some() { "true" } else { "false" };
    let described = [
        (ETAG.as_str(), format!("\"{}\"", answer.version())),
        (header::VERSION, answer.version().to_string()),
        (header::LEVEL, answer.level().to_string()),
        (header::AGE_MS, age_ms(answer).to_string()),
        (header::WHY, answer.why().word().to_owned()),
        (header::BECAUSE, utf8_percent_encode(&because, ESCAPED).to_string()),
        (header::TOKEN, answer.token().to_string()),
        (header::EXISTS, exists.to_owned()),
        (CACHE_CONTROL.as_str(), "private, no-cache".to_owned()),
        (VARY.as_str(), "accept, prefer".to_owned()),
        (X_CONTENT_TYPE_OPTIONS.as_str(), "nosniff".to_owned()),
    ];
    for (name, value) in described {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                headers.insert(name, value);
            }
            _ => tracing::error!(name, "a header can not be written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn the_level_is_a_preference() {
        let cases = [
            ("freshness=verified", Some(Level::Verified)),
            ("return=minimal, Freshness=\"bounded(2s)\"", Some("bounded(2s)".parse().unwrap())),
            ("respond-async; freshness=local", Some(Level::Local)),
            ("respond-async", None),
        ];
        for (value, level) in cases {
            assert_eq!(level_of(&headers("prefer", value)).unwrap(), level, "`{value}`");
        }
        assert!(level_of(&headers("prefer", "freshness=fresher")).is_err());
    }

    #[test]
    fn a_known_version_is_told() {
        let version = Version::of(Some(b"x"));
        for value in [format!("\"{version}\""), format!("\"other\", W/\"{version}\""), "*".to_owned()] {
            assert!(is_known(&headers("if-none-match", &value), version), "`{value}`");
        }
        assert!(!is_known(&headers("if-none-match", "\"other\""), version));
        assert!(!is_known(&HeaderMap::new(), version));
    }

    #[test]
    fn only_keys_and_tags_are_invalidated_by_hand() {
        assert_eq!(parse_names(br#"{"names":["state:a","tag:b"]}"#).unwrap().len(), 2);
        for body in [
            r#"{"names":[]}"#,
            r#"{"names":["scope:/a"]}"#,
            r#"{"names":["a"]}"#,
            "[]",
            r#"{"keys":["state:a"]}"#,
        ] {
            assert!(parse_names(body.as_bytes()).is_err(), "{body}");
        }
    }
}
