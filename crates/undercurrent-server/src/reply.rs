//! How answers are written: JSON, and errors with their one body.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use undercurrent_types::{ErrorBody, ErrorCode, EventError};

/// A request that is refused or failed.
#[derive(Debug)]
pub(crate) struct Refusal {
    body: Box<ErrorBody>,
    /// Where HTTP has a more exact status than the code.
    status: Option<StatusCode>,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        ErrorBody::new(code, message).into()
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }
}

impl From<ErrorBody> for Refusal {
    fn from(body: ErrorBody) -> Self {
        Self { body: Box::new(body), status: None }
    }
}

impl From<EventError> for Refusal {
    fn from(error: EventError) -> Self {
        let code = if error.is_over_limit() { ErrorCode::TooLarge } else { ErrorCode::InvalidEvent };
        let mut body = ErrorBody::new(code, error.to_string());
        if let EventError::InBatch { index, .. } = error {
            body.index = Some(index);
        }
        body.into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let by_code =
            StatusCode::from_u16(self.body.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(&self.body);
        *response.status_mut() = self.status.unwrap_or(by_code);
        if self.body.retryable {
            // In whole seconds, as HTTP has it; the body is more exact.
            let seconds = self.body.retry_after_ms.unwrap_or(1000).div_ceil(1000);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Writes a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer has no JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
