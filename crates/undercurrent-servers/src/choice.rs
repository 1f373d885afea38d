//! Which server the tests run against: what the environment says.

use std::io::Write;
use std::path::PathBuf;

use crate::error::{NotApplicable, ServerError};
use crate::program::Program;

/// Names the program that is started: a path, or a name that is looked for in `PATH`.
pub const SERVER_VARIABLE: &str = "UNDERCURRENT_STORE_SERVER";

/// Names a server that runs already. Only what needs no control of the server runs against it.
pub const URL_VARIABLE: &str = "UNDERCURRENT_STORE_URL";

/// Returns the program that a topology is started with.
///
/// # Errors
///
/// Fails where the environment names a running server, since that one is not the kit's to start or to disturb, and where
/// the program is missing or not known.
pub(crate) fn program(topology: &str) -> Result<Program, ServerError> {
    if let Some(url) = url() {
        return Err(NotApplicable {
            program: without_password(&url),
            topology: topology.to_owned(),
            because: "it is an existing server, which nobody here starts or disturbs",
        }
        .into());
    }
    Program::find(PathBuf::from(set(SERVER_VARIABLE).unwrap_or_else(|| "redis-server".to_owned())))
}

/// Returns the URL of the running server that the environment names, if it names one.
pub(crate) fn url() -> Option<String> {
    set(URL_VARIABLE)
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns what a test asked for, or nothing where that is not applicable, after saying so on standard error.
///
/// The line is written past the capture of the test harness, so that it is seen although the test passes.
///
/// # Panics
///
/// Panics with every other error: a server that is missing or does not start fails the test.
pub fn applicable<T>(started: Result<T, ServerError>) -> Option<T> {
    match started {
        Ok(it) => Some(it),
        Err(ServerError::NotApplicable(why)) => {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            // In one piece, since tests run side by side. A closed standard error has nobody to tell.
            let _ = std::io::stderr().write_all(format!("\n{test}: {why}\n").as_bytes());
            None
        }
        Err(error) => panic!("{}", chain(&error)),
    }
}

/// Writes an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Returns a URL as it may be shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    match rest.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://{place}"),
        None => format!("{scheme}://{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_is_secret() {
        for (url, shown) in [
            ("redis://h:1/0", "redis://h:1/0"),
            ("rediss://user:p@ss@h:1", "rediss://h:1"),
            ("unix:///a/b?user=u&pass=p", "unix:///a/b"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
