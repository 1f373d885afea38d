//! `groups`.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use undercurrent_client::{Client, ClientError};
use undercurrent_types::wire::{Fetched, GroupGap, GroupOptions, GroupStatus, Settled};
use undercurrent_types::{Event, GroupName};

use super::operate::span;
use crate::args::{GroupsCreate, GroupsVerb};
use crate::failure::Failure;
use crate::{line, output};

pub(crate) async fn run(verb: Option<&GroupsVerb>, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let group = |name: &GroupName| client.group(name.clone());
    match verb {
        None | Some(GroupsVerb::Ls) => list(&client.groups().await?, json)?,
        Some(GroupsVerb::Create(create)) => {
            told(&client.create_group(&create.group, &options(create)).await?, json, |status| {
                line(status, 0)
            })?;
        }
        Some(GroupsVerb::Show(one)) => told(&group(&one.group).status().await?, json, shown)?,
        Some(GroupsVerb::Rm(rm)) => {
            told(&client.delete_group(&rm.group).await?, json, |gone| format!("{} is deleted", gone.group))?;
        }
        Some(GroupsVerb::Fetch(fetch)) => {
            fetched(&group(&fetch.group).fetch(fetch.max, fetch.wait).await?, json)?;
        }
        Some(GroupsVerb::Ack(said)) => settled(group(&said.group).ack(said.leases.clone()).await, json)?,
        Some(GroupsVerb::Release(said)) => {
            settled(group(&said.group).release(said.leases.clone()).await, json)?;
        }
        Some(GroupsVerb::Nack(said)) => {
            let (which, reason) = (&said.which, said.reason.clone());
            settled(group(&which.group).nack(which.leases.clone(), said.delay, reason).await, json)?;
        }
        Some(GroupsVerb::Extend(said)) => {
            let which = &said.which;
            settled(group(&which.group).extend(which.leases.clone(), said.by).await, json)?;
        }
        Some(GroupsVerb::Term(said)) => {
            let which = &said.which;
            settled(group(&which.group).term(which.leases.clone(), said.reason.clone()).await, json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn options(create: &GroupsCreate) -> GroupOptions {
    let millis =
        |time: Option<Duration>| time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    GroupOptions {
        stream: create.stream.clone(),
        from: create.from.clone(),
        order: create.order,
        lease_ms: millis(create.lease),
        max_deliveries: create.max_deliveries,
        backoff_ms: millis(create.backoff),
        max_backoff_ms: millis(create.max_backoff),
        max_open: create.max_open,
        dead_letters: create.dead_letters.clone(),
    }
}

fn list(groups: &[GroupStatus], json: bool) -> Result<(), Failure> {
    if json {
        return output::json(&groups);
    }
    let widest = groups.iter().map(|one| one.group.as_str().len()).max().unwrap_or_default();
    groups.iter().try_for_each(|one| output::line(&line(one, widest)))
}

fn told<T: Serialize>(value: &T, json: bool, line: impl Fn(&T) -> String) -> Result<(), Failure> {
    if json { output::json(value) } else { output::line(&line(value)) }
}

fn settled(settled: Result<Settled, ClientError>, json: bool) -> Result<(), Failure> {
    told(&settled?, json, |settled| format!("{} done", settled.done))
}

/// Prints deliveries: with `--json` as the daemon gave them, one a line.
fn fetched(fetched: &Fetched, json: bool) -> Result<(), Failure> {
    fetched.gaps.iter().for_each(tell_gap);
    if fetched.full {
        output::note("nothing: as many events are open as may be; acknowledge some, or raise `--max-open`");
    }
    for one in &fetched.deliveries {
        if json {
            output::json(one)?;
            continue;
        }
        let event = Event::from_committed_json(one.event.get().as_bytes());
        let event =
            event.map_err(|error| Failure::internal(format!("the daemon sent what is no event: {error}")))?;
        output::line(&format!("{}  {}", one.lease, line::of(&event)))?;
    }
    Ok(())
}

/// Tells what a group has missed.
pub(super) fn tell_gap(gap: &GroupGap) {
    let GroupGap { reason, after, resumes, events } = gap;
    let events = events.map_or_else(|| "events".to_owned(), |events| format!("{events} events"));
    output::note(&format!(
        "gap: {events} after {after} are not there any more ({reason}); the group goes on after {resumes}"
    ));
}

fn line(status: &GroupStatus, widest: usize) -> String {
    let GroupStatus { group, stream, lag, out, waiting, held, dead, .. } = status;
    let group = format!("{:widest$}", group.as_str());
    format!("{group}  {stream}  lag {lag}  out {out}  waiting {waiting}  held {held}  dead {dead}")
}

fn shown(status: &GroupStatus) -> String {
    let time = |ms| span(Duration::from_millis(ms));
    let mut lines = vec![
        line(status, 0),
        format!("done up to     {}", status.cursor),
        format!("began at       {}", status.from),
        format!("order          {}", status.order),
        format!("lease          {}", time(status.lease_ms)),
        format!("deliveries     at most {}", status.max_deliveries),
        format!("back-off       {} to {}", time(status.backoff_ms), time(status.max_backoff_ms)),
        format!("open           at most {}", status.max_open),
        format!("dead letters   {} in {}", status.dead, status.dead_letters),
        format!("lost           {}", status.lost),
    ];
    if let Some(gap) = &status.gap {
        lines.push(format!("last gap       {} after {}, up to {}", gap.reason, gap.after, gap.resumes));
    }
    lines.join("\n")
}
