//! A command for each event, whose exit status says what becomes of it.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use undercurrent_client::{ClientError, Group};
use undercurrent_types::Lease;
use undercurrent_types::wire::GroupDelivery;

use super::{PAUSE, Taking, ended_by_signal};
use crate::args::Work;
use crate::failure::Failure;
use crate::output;

/// What all events have in common.
struct Job {
    group: Group,
    command: Vec<std::ffi::OsString>,
    term_status: Option<i32>,
    /// Cancelled by the first signal: what fails from then on is given back.
    ending: CancellationToken,
}

/// What becomes of an event.
enum Outcome {
    Done,
    /// The member goes, and the command has not done it.
    Undone,
    Failed(String),
    Hopeless(String),
    /// The lease is lost, so nothing is said of it.
    Lost,
}

pub(super) async fn run(args: &Work, mut taking: Taking) -> Result<ExitCode, Failure> {
    let job = Arc::new(Job {
        group: taking.group.clone(),
        command: args.command.clone(),
        term_status: args.term_status,
        ending: CancellationToken::new(),
    });
    let mut running: JoinSet<Result<(), Failure>> = JoinSet::new();
    let signals = ended_by_signal();
    tokio::pin!(signals);
    loop {
        if taking.is_over && running.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        let room = usize::from(args.jobs) - running.len();
        tokio::select! {
            taken = taking.next(room) => {
                for delivery in taken? {
                    running.spawn(work(Arc::clone(&job), delivery));
                }
            }
            Some(ended) = running.join_next() => joined(ended)?,
            ended = &mut signals => {
                ended?;
                break;
            }
        }
    }
    job.ending.cancel();
    taking.finish(Vec::new()).await;
    let again = ended_by_signal();
    tokio::pin!(again);
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(ended) => joined(ended)?,
                None => return Ok(ExitCode::SUCCESS),
            },
            // Commands end with their tasks; their leases run out.
            ended = &mut again => return ended.map(|()| ExitCode::SUCCESS),
        }
    }
}

fn joined(ended: Result<Result<(), Failure>, tokio::task::JoinError>) -> Result<(), Failure> {
    ended.map_err(|error| Failure::internal(format!("a worker broke off: {error}")))?
}

/// Runs the command for one event and says what became of it.
async fn work(job: Arc<Job>, delivery: GroupDelivery) -> Result<(), Failure> {
    let outcome = match outcome(&job, &delivery).await? {
        Outcome::Failed(_) if job.ending.is_cancelled() => Outcome::Undone,
        outcome => outcome,
    };
    let seq = delivery.seq;
    match &outcome {
        Outcome::Lost => output::note(&format!("event {seq}: the lease is lost, and the command was ended")),
        Outcome::Failed(why) => output::note(&format!("event {seq}: {why}")),
        Outcome::Hopeless(why) => output::note(&format!("event {seq}: {why}; it is a dead letter")),
        Outcome::Done | Outcome::Undone => {}
    }
    let until = Instant::now() + Duration::from_millis(delivery.lease_ms);
    // Until it is heard or the lease has run out: a lease outlives a restart of the daemon.
    loop {
        match say(&job.group, delivery.lease, &outcome).await {
            Err(error) if error.is_retryable() && Instant::now() < until => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                output::note(&format!("event {seq}: {error}"));
                return Ok(());
            }
            Ok(()) => return Ok(()),
        }
    }
}

async fn say(group: &Group, lease: Lease, outcome: &Outcome) -> Result<(), ClientError> {
    match outcome {
        Outcome::Lost => return Ok(()),
        Outcome::Done => group.ack(vec![lease]).await,
        Outcome::Undone => group.release(vec![lease]).await,
        Outcome::Failed(why) => group.nack(vec![lease], None, Some(why.clone())).await,
        Outcome::Hopeless(why) => group.term(vec![lease], Some(why.clone())).await,
    }
    .map(drop)
}

async fn outcome(job: &Job, delivery: &GroupDelivery) -> Result<Outcome, Failure> {
    let mut child = start(job, delivery)?;
    let feed = feed(child.stdin.take(), delivery);
    let lost = keep(job, delivery);
    tokio::pin!(lost);
    tokio::select! {
        (status, ()) = async { tokio::join!(child.wait(), feed) } => {
            let status = status
                .map_err(|error| Failure::internal(format!("the command can not be waited for: {error}")))?;
            Ok(read(status, job.term_status))
        }
        () = &mut lost => Ok(Outcome::Lost),
    }
}

fn start(job: &Job, delivery: &GroupDelivery) -> Result<Child, Failure> {
    let program = &job.command[0];
    Command::new(program)
        .args(&job.command[1..])
        .env("UNDERCURRENT_GROUP", job.group.name().as_str())
        .env("UNDERCURRENT_SEQ", delivery.seq.to_string())
        .env("UNDERCURRENT_DELIVERIES", delivery.deliveries.to_string())
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::usage(format!("`{}` can not be run: {error}", program.display())))
}

/// Writes the event to the command, which need not read it.
async fn feed(stdin: Option<tokio::process::ChildStdin>, delivery: &GroupDelivery) {
    let Some(mut stdin) = stdin else { return };
    let line = format!("{}\n", delivery.event.get());
    // A command that does not read closes its end.
    let _ = stdin.write_all(line.as_bytes()).await;
}

/// Extends the lease again and again; returns when it is lost.
async fn keep(job: &Job, delivery: &GroupDelivery) {
    let every = Duration::from_millis((delivery.lease_ms / 3).max(1));
    let mut lasts_until = Instant::now() + 3 * every;
    loop {
        tokio::time::sleep(every).await;
        match job.group.extend(vec![delivery.lease], None).await {
            Ok(_) => lasts_until = Instant::now() + 3 * every,
            Err(error) if error.is_retryable() && Instant::now() < lasts_until => {}
            Err(_) => return,
        }
    }
}

fn read(status: ExitStatus, term_status: Option<i32>) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(0), _) => Outcome::Done,
        (Some(code), _) if Some(code) == term_status => Outcome::Hopeless(format!("exit status {code}")),
        (Some(code), _) => Outcome::Failed(format!("exit status {code}")),
        (None, signal) => Outcome::Failed(format!("ended by signal {}", signal.unwrap_or_default())),
    }
}
