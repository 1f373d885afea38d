//! A page of a stream: a batch of events, and the cursor of the next page.

use std::sync::Arc;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LINK};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use undercurrent_types::wire::{self, header};
use undercurrent_types::{ErrorBody, ErrorCode};

use crate::app::App;
use crate::events::ending;
use crate::query::Params;
use crate::reading::{Given, Reading};
use crate::reply::Refusal;

/// How many events a page has when the client does not say.
const EVENTS: usize = 100;
/// The most events of a page.
const MOST_EVENTS: usize = 1000;
/// A page that has reached this many bytes ends.
const BYTES: usize = 8 << 20;

/// Answers with up to `limit` events after a cursor, as a batch.
///
/// The next page begins at the cursor in `Undercurrent-Next`, which `Link` has as an address; `Undercurrent-At-Tail`
/// says whether the page ends at the last event there was. A page ends before a gap, and one that would begin with a
/// gap is refused as `gone` with the oldest cursor that can be continued.
pub(crate) async fn page(app: &Arc<App>, parts: &Parts) -> Result<Response, Refusal> {
    let mut params = Params::of(&parts.uri)?;
    let from = params.take("from")?;
    let limit = limit_of(&mut params)?;
    let _permit = app.begin_subscription()?;
    let mut reading = Reading::open(app, &parts.uri, params, from.as_deref()).await?;
    let page = tokio::select! {
        page = Page::read(&mut reading, limit) => page?,
        () = app.stopping().cancelled() => return Err(ending().into()),
    };
    Ok(page.into_response(&parts.uri))
}

fn limit_of(params: &mut Params) -> Result<usize, Refusal> {
    let expected = format!("a number from 1 to {MOST_EVENTS}");
    let limit = params.parse("limit", &expected)?.unwrap_or(EVENTS);
    if !(1..=MOST_EVENTS).contains(&limit) {
        return Err(Refusal::invalid(format!("the parameter `limit` is {limit}; expected {expected}")));
    }
    Ok(limit)
}

/// The events of a page as a JSON array, as far as it goes.
struct Page {
    json: Vec<u8>,
    next: Option<String>,
    at_tail: bool,
}

impl Page {
    async fn read(reading: &mut Reading, limit: usize) -> Result<Self, Refusal> {
        let mut page = Self { json: b"[".to_vec(), next: None, at_tail: false };
        let mut events = 0;
        while events < limit && page.json.len() < BYTES {
            match reading.next().await? {
                Given::Event(cursor, json) => {
                    if events > 0 {
                        page.json.push(b',');
                    }
                    page.json.extend_from_slice(&json);
                    page.next = Some(cursor);
                    events += 1;
                }
                // Only what is kept stands in a page.
                Given::Ephemeral(..) => {}
                Given::CaughtUp(cursor) => {
                    page.next = Some(cursor);
                    page.at_tail = true;
                    break;
                }
                Given::Gap(gap) if events == 0 => return Err(gone(gap).into()),
                Given::Gap(_) => break,
            }
        }
        page.json.push(b']');
        Ok(page)
    }

    fn into_response(self, uri: &axum::http::Uri) -> Response {
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        set(CONTENT_TYPE, "application/cloudevents-batch+json");
        set(CACHE_CONTROL, "no-store");
        set(HeaderName::from_static(header::AT_TAIL), if self.at_tail { "true" } else { "false" });
        if let Some(next) = &self.next {
            set(HeaderName::from_static(header::NEXT), next);
            set(LINK, &format!("<{}>; rel=\"next\"", address_from(uri, next)));
        }
        (headers, self.json).into_response()
    }
}

fn gone(gap: wire::Gap) -> ErrorBody {
    let message = format!(
        "what follows `{}` is not there any more ({}); go on from `{}`",
        gap.after, gap.reason, gap.resumes
    );
    let mut body = ErrorBody::new(ErrorCode::Gone, message);
    body.oldest = Some(gap.resumes);
    body
}

/// Returns the address of a request with another `from`.
fn address_from(uri: &axum::http::Uri, cursor: &str) -> String {
    let kept = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("from="));
    let from = format!("from={}", utf8_percent_encode(cursor, NON_ALPHANUMERIC));
    let query: Vec<&str> = kept.chain([from.as_str()]).collect();
    format!("{}?{}", uri.path(), query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_address_differs_in_its_cursor_alone() {
        let cases = [
            ("/v1/events/a", "/v1/events/a?from=1%2E2"),
            ("/v1/events/a?limit=5&from=beginning&type=x", "/v1/events/a?limit=5&type=x&from=1%2E2"),
        ];
        for (given, expected) in cases {
            assert_eq!(address_from(&given.parse().unwrap(), "1.2"), expected);
        }
    }
}
