//! `status`, `sources` and `scrub`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::Duration;

use undercurrent_client::Client;
use undercurrent_types::wire;

use crate::failure::Failure;
use crate::{input, output};

pub(crate) async fn status(client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let status = client.status().await?;
    if json {
        output::json(&status)?;
        return Ok(ExitCode::SUCCESS);
    }
    let wire::Status { version, namespace, data, token, store, streams, .. } = &status;
    output::line(&format!("undercurrent {version} at {}, namespace {namespace}", client.url()))?;
    output::line(&format!("data      {data}, {} of log, {store}", bytes(status.log_bytes)))?;
    output::line(&format!("streams   {streams}, the last token is {token}"))?;
    output::line(&format!("memory    {} entries, {}", status.entries, bytes(status.entry_bytes)))?;
    status.sources.iter().try_for_each(|one| output::line(&format!("source    {}", source(one))))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn sources(client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let sources = client.status().await?.sources;
    if json {
        output::json(&sources)?;
    } else {
        sources.iter().try_for_each(|one| output::line(&source(one)))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn scrub(client: &Client, secret: &OsStr, json: bool) -> Result<ExitCode, Failure> {
    if !matches!(secret.as_bytes(), [b'-'] | [b'@', ..]) {
        return Err(Failure::usage(
            "give the secret as `-` for stdin or as @FILE: arguments can be seen by others",
        ));
    }
    let report = client.scrub(input::read(secret)?.to_vec()).await?;
    if json {
        output::json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let wire::ScrubReport { times, commits, segments, states, entries, token } = report;
    output::line(&format!("{times} places in {commits} commits, {segments} files of the log written anew"))?;
    output::line(&format!("{states} states stale, {entries} values let go from memory"))?;
    output::line(&format!("told at {token}, in the stream system"))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the health of a source for people.
pub(super) fn source(source: &wire::SourceStatus) -> String {
    let wire::SourceStatus { name, target, health, .. } = source;
    let since = span(Duration::from_millis(source.for_ms));
    let reason = source.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let directories = source.directories.map(|count| format!(", {count} directories")).unwrap_or_default();
    format!("{name}  {target}{directories}, {health}{reason} for {since}")
}

/// Writes a number of bytes for people.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut scaled = bytes as f64;
    let mut unit = "bytes";
    for larger in UNITS {
        if scaled < 1000.0 {
            break;
        }
        scaled /= 1000.0;
        unit = larger;
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{scaled:.1} {unit}") }
}

/// Writes a span of time for people.
pub(super) fn span(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{} ms", span.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_short() {
        let sizes = [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (12_345_678, "12.3 MB"),
            (u64::MAX, "18446744.1 TB"),
        ];
        for (size, text) in sizes {
            assert_eq!(bytes(size), text);
        }
        let spans = [
            (5, "5 ms"),
            (1000, "1 s"),
            (119_999, "119 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 days"),
        ];
        for (ms, text) in spans {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }
}
