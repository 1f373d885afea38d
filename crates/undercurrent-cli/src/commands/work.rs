//! `work`: a member of a group.

mod command;
mod lines;

use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::signal::unix::{SignalKind, signal};
use undercurrent_client::{Client, ClientError, Group};
use undercurrent_types::Lease;
use undercurrent_types::wire::{Fetched, GroupDelivery, GroupOptions};

use super::groups::tell_gap;
use crate::args::Work;
use crate::failure::Failure;
use crate::output;

/// How long one request waits for events; the next one follows at once.
const WAIT: Duration = Duration::from_secs(30);
/// How long a request that is under way at the end is listened to: it is answered at once where it is.
const LAST: Duration = Duration::from_millis(250);
/// How long after a failed request the next one is made.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: &Work, client: &Client) -> Result<ExitCode, Failure> {
    let options = GroupOptions {
        stream: Some(args.stream.clone()),
        from: args.from.clone(),
        ..GroupOptions::default()
    };
    let group = client.group(args.group.clone());
    match group.status().await {
        // It is made, or it is found to be another.
        Ok(status) if status.stream == args.stream && args.from.is_none() => {}
        _ => drop(client.create_group(&args.group, &options).await?),
    }
    let taking = Taking::new(args, group);
    if args.command.is_empty() { lines::run(args, taking).await } else { command::run(args, taking).await }
}

/// Takes events one request at a time, across broken connections.
struct Taking {
    group: Group,
    no_follow: bool,
    /// How many events may still be taken; none for any number.
    left: Option<u64>,
    /// The request that is under way. It is not dropped while the member goes on, since its answer has leases.
    request: Option<BoxFuture<'static, Result<Fetched, ClientError>>>,
    is_interrupted: bool,
    /// Whether nothing more is to be taken.
    is_over: bool,
}

impl Taking {
    fn new(args: &Work, group: Group) -> Self {
        let (left, no_follow) = (args.limit, args.no_follow);
        Self { group, no_follow, left, request: None, is_interrupted: false, is_over: left == Some(0) }
    }

    /// Waits for events, at most so many; for ever if there is no room or it is over. May be dropped and called again.
    async fn next(&mut self, room: usize) -> Result<Vec<GroupDelivery>, Failure> {
        loop {
            let most = self.left.map_or(room, |left| room.min(usize::try_from(left).unwrap_or(room)));
            if self.request.is_none() {
                if self.is_over || most == 0 {
                    return std::future::pending().await;
                }
                self.request = Some(self.ask(most));
            }
            let Some(request) = &mut self.request else { continue };
            let answer = request.await;
            self.request = None;
            match answer {
                Ok(fetched) => {
                    self.is_interrupted = false;
                    fetched.gaps.iter().for_each(tell_gap);
                    let count = fetched.deliveries.len();
                    self.left = self.left.map(|left| left.saturating_sub(count as u64));
                    self.is_over = self.left == Some(0) || self.no_follow && count == 0;
                    if count > 0 || self.is_over {
                        return Ok(fetched.deliveries);
                    }
                }
                Err(error) if error.is_retryable() => {
                    if !self.is_interrupted {
                        output::note(&format!("{error}; trying again"));
                    }
                    self.is_interrupted = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives events back, and those that the request under way is answered with meanwhile: they may be the same.
    async fn finish(mut self, mut leases: Vec<Lease>) {
        loop {
            if !leases.is_empty()
                && let Err(error) = self.group.release(std::mem::take(&mut leases)).await
            {
                output::note(&error.to_string());
            }
            let Some(request) = self.request.take() else { return };
            if let Ok(Ok(fetched)) = tokio::time::timeout(LAST, request).await {
                leases = fetched.deliveries.iter().map(|one| one.lease).collect();
            }
        }
    }

    fn ask(&self, most: usize) -> BoxFuture<'static, Result<Fetched, ClientError>> {
        let (group, pause) = (self.group.clone(), self.is_interrupted);
        let wait = if self.no_follow { Duration::ZERO } else { WAIT };
        async move {
            if pause {
                tokio::time::sleep(PAUSE).await;
            }
            group.fetch(most, wait).await
        }
        .boxed()
    }
}

/// Waits for the user or the system to end the command.
async fn ended_by_signal() -> Result<(), Failure> {
    let failed = |error| Failure::internal(format!("signals can not be waited for: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
