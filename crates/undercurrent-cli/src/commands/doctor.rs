//! `doctor`.

pub(crate) mod store;

use std::path::Path;
use std::process::ExitCode;

use undercurrent::store::embedded::{Checkup, OpenStoreError, StreamCheckup, verify};
use undercurrent_types::ErrorCode;

use super::operate::bytes;
use crate::failure::Failure;
use crate::output;

/// Looks at a data directory.
pub(crate) fn run(data: &Path, json: bool) -> Result<ExitCode, Failure> {
    let checkup = verify(data).map_err(|error| failure(&error))?;
    if json {
        output::json(&checkup)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Checkup { format, segments, bytes: size, starts, streams, findings, .. } = &checkup;
    let size = bytes(*size);
    output::line(&format!(
        "format {format}, {segments} files, {size}, opened {starts} times: every record is whole"
    ))?;
    let widest = streams.iter().map(|one| one.stream.as_str().len()).max().unwrap_or_default();
    for StreamCheckup { stream, durability, tail, oldest } in streams {
        output::line(&format!("stream    {:widest$}  {tail}  {durability}  from {oldest}", stream.as_str()))?;
    }
    findings.iter().try_for_each(|finding| output::line(&format!("note      {finding}")))?;
    Ok(ExitCode::SUCCESS)
}

fn failure(error: &OpenStoreError) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let code = match error {
        OpenStoreError::InUse { .. } => ErrorCode::Conflict,
        _ => ErrorCode::Internal,
    };
    Failure::new(code, format!("{error}{cause}"))
}
