//! `doctor`.

pub(crate) mod store;

use std::path::Path;
use std::process::ExitCode;

use undercurrent::store::embedded::{
    Checkup, Finding, FindingKind, OpenStoreError, StreamCheckup, move_aside, salvage, verify,
};
use undercurrent_types::ErrorCode;

use super::operate::bytes;
use crate::args::Doctor;
use crate::failure::Failure;
use crate::output;

/// Looks at a data directory.
pub(crate) fn run(data: &Path, args: &Doctor, json: bool) -> Result<ExitCode, Failure> {
    if args.salvage {
        return take_out(data);
    }
    let checkup = verify(data).map_err(|error| failure(&error))?;
    if json {
        output::json(&checkup)?;
    } else {
        print(&checkup)?;
    }
    if args.repair
        && let Some(moved) = move_aside(data).map_err(|error| failure(&error))?
    {
        output::note(&format!(
            "the checkpoint was moved to `{}`: the next start reads the whole log",
            moved.display()
        ));
    }
    let bad = |kind| checkup.findings.iter().filter(|finding| finding.kind == kind).count();
    match (bad(FindingKind::Damage), bad(FindingKind::Wrong)) {
        (0, 0) => Ok(ExitCode::SUCCESS),
        (0, _) if args.repair => Ok(ExitCode::SUCCESS),
        (0, wrong) => {
            Err(Failure::internal(format!("the checkpoint says {wrong} things that the log does not"))
                .hint("give `--repair`, which moves it aside: the log says everything"))
        }
        (damaged, _) => Err(Failure::internal(format!("{damaged} places of the log are damaged"))
            .hint("restore the files from a copy, or take out what is whole with `--salvage`")),
    }
}

fn print(checkup: &Checkup) -> Result<(), Failure> {
    let Checkup { format, segments, bytes: size, starts, streams, findings, .. } = checkup;
    let size = bytes(*size);
    let whole = if checkup.sound { "every record is whole" } else { "not all of it is as it was" };
    output::line(&format!("format {format}, {segments} files, {size}, opened {starts} times: {whole}"))?;
    let widest = streams.iter().map(|one| one.stream.as_str().len()).max().unwrap_or_default();
    for StreamCheckup { stream, durability, tail, oldest } in streams {
        output::line(&format!("stream    {:widest$}  {tail}  {durability}  from {oldest}", stream.as_str()))?;
    }
    findings.iter().try_for_each(|finding| output::line(&format!("{:8}  {finding}", word(finding))))
}

fn word(finding: &Finding) -> &'static str {
    match finding.kind {
        FindingKind::Mended => "note",
        FindingKind::Wrong => "wrong",
        _ => "damage",
    }
}

/// Prints every event that lies in a whole record, as `import` reads it.
fn take_out(data: &Path) -> Result<ExitCode, Failure> {
    let mut unread = None;
    let taken = salvage(data, |record| {
        let inner = record.json.strip_prefix(b"{").unwrap_or(&record.json);
        let line = [b"{\"stream\":\"", record.stream.as_str().as_bytes(), b"\",", inner, b"\n"].concat();
        output::bytes(&line).map_err(|failure| {
            unread = Some(failure);
            std::io::Error::other("nobody reads it")
        })
    });
    match (taken, unread) {
        (_, Some(failure)) => Err(failure),
        (Err(error), None) => Err(failure(&error)),
        (Ok(count), None) => {
            output::note(&format!("{count} events lie in whole records; `doctor` says what is damaged"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn failure(error: &OpenStoreError) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let code = match error {
        OpenStoreError::InUse { .. } => ErrorCode::Conflict,
        _ => ErrorCode::Internal,
    };
    Failure::new(code, format!("{error}{cause}"))
}
