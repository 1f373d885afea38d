//! What is told when a command fails.

use std::io::{self, Write};
use std::process::ExitCode;

use undercurrent_client::ClientError;
use undercurrent_types::{ErrorBody, ErrorCode};

/// Why a command ends without having done what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to tell.
    Told {
        /// What went wrong.
        body: Box<ErrorBody>,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Nobody reads stdout any more: the end, and no error.
    StdoutClosed,
}

impl Failure {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        ErrorBody::new(code, message).into()
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    /// Adds what to do about it, in the place of an earlier hint.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Told { body, .. } => Self::Told { body, hint: Some(hint.into()) },
            Self::StdoutClosed => Self::StdoutClosed,
        }
    }

    /// Writes the error to stderr, and returns the exit code.
    pub(crate) fn tell(self, json: bool) -> ExitCode {
        let Self::Told { body, hint } = self else { return ExitCode::SUCCESS };
        let text = match (json, serde_json::to_string(&body)) {
            (true, Ok(text)) => text,
            _ => match hint {
                Some(hint) => format!("error: {body}\n hint: {hint}"),
                None => format!("error: {body}"),
            },
        };
        // Where stderr is closed there is nobody to tell.
        let _ = writeln!(io::stderr().lock(), "{text}");
        ExitCode::from(body.code.exit_code())
    }
}

impl From<ErrorBody> for Failure {
    fn from(body: ErrorBody) -> Self {
        Self::Told { body: Box::new(body), hint: None }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let body = error.body();
        let hint = match &error {
            ClientError::Unreachable { .. } => Some(
                "start one with `undercurrent serve .` in the project, or name another with --url".to_owned(),
            ),
            _ => hint_of(&body),
        };
        Self::Told { body: Box::new(body), hint }
    }
}

/// Returns what to do about an error of the daemon, where its message does not say.
fn hint_of(body: &ErrorBody) -> Option<String> {
    match (body.code, &body.oldest, &body.ticket) {
        (ErrorCode::Gone, Some(oldest), _) => {
            Some(format!("go on with `--from {oldest}`, or `--from beginning`"))
        }
        (ErrorCode::NotFound, _, Some(ticket)) => {
            Some(format!("fill it with `undercurrent put KEY --ticket {ticket}`"))
        }
        _ => None,
    }
}
