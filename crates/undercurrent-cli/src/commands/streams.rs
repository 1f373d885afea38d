//! `streams`.

use std::process::ExitCode;
use std::time::Duration;

use undercurrent_client::{Client, StreamOptions};
use undercurrent_types::wire::StreamStatus;

use super::operate::{bytes, span};
use crate::args::{StreamsCreate, StreamsVerb};
use crate::failure::Failure;
use crate::output;

pub(crate) async fn run(
    verb: Option<&StreamsVerb>,
    client: &Client,
    json: bool,
) -> Result<ExitCode, Failure> {
    match verb {
        None | Some(StreamsVerb::Ls) => list(client, json).await,
        Some(StreamsVerb::Create(create)) => self::create(create, client, json).await,
        Some(StreamsVerb::Rm(rm)) => {
            let deleted = client.delete_stream(&rm.stream).await?;
            if json {
                output::json(&deleted)?;
            } else {
                output::line(&format!("{} is deleted", deleted.stream))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let streams = client.streams().await?;
    if json {
        output::json(&streams)?;
        return Ok(ExitCode::SUCCESS);
    }
    let widest = streams.iter().map(|one| one.stream.as_str().len()).max().unwrap_or_default();
    streams.iter().try_for_each(|one| output::line(&line(one, widest)))?;
    Ok(ExitCode::SUCCESS)
}

async fn create(create: &StreamsCreate, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let StreamsCreate { stream, durability, max_age, max_bytes, max_count } = create;
    let (max_age, max_bytes, max_count) = (max_age.clone(), max_bytes.clone(), max_count.clone());
    let options = StreamOptions { durability: *durability, max_age, max_bytes, max_count };
    let status = client.create_stream(stream, &options).await?;
    if json {
        output::json(&status)?;
    } else {
        output::line(&line(&status, 0))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(status: &StreamStatus, widest: usize) -> String {
    let StreamStatus { stream, cursor, durability, oldest, .. } = status;
    let limits = [
        status.max_age_s.map(|seconds| span(Duration::from_secs(seconds))),
        status.max_bytes.map(bytes),
        status.max_count.map(|count| format!("{count} events")),
    ];
    let limits: Vec<_> = limits.into_iter().flatten().collect();
    let keeps = if limits.is_empty() { "everything".to_owned() } else { limits.join(" or ") };
    format!("{:widest$}  {cursor}  {durability}  from {oldest}  keeps {keeps}", stream.as_str())
}
