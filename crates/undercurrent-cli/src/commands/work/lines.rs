//! Events on stdout, and on stdin what becomes of them.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use undercurrent_client::{ClientError, Group};
use undercurrent_types::{Lease, parse_time};

use super::{Taking, ended_by_signal};
use crate::args::Work;
use crate::failure::Failure;
use crate::output;

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Ack,
    Nack(Option<Duration>, Option<String>),
    Term(Option<String>),
    Extend(Option<Duration>),
    Release,
}

/// A lease that is out.
#[derive(Clone, Copy)]
struct Out {
    /// How long it is by default.
    time: Duration,
    until: Instant,
}

pub(super) async fn run(args: &Work, mut taking: Taking) -> Result<ExitCode, Failure> {
    let group = taking.group.clone();
    let mut lines_rx = read_stdin()?;
    // What is out, and until when; at most as many as `--jobs` says.
    let mut out: BTreeMap<Lease, Out> = BTreeMap::new();
    let (signals, closed) = (ended_by_signal(), output::until_closed());
    tokio::pin!(signals, closed);
    while !(taking.is_over && out.is_empty()) {
        let room = usize::from(args.jobs) - out.len();
        let expiry = out.values().map(|out| out.until).min();
        tokio::select! {
            taken = taking.next(room) => {
                for delivery in taken? {
                    let time = Duration::from_millis(delivery.lease_ms);
                    out.insert(delivery.lease, Out { time, until: Instant::now() + time });
                    output::json(&delivery)?;
                }
            }
            line = lines_rx.recv() => match line {
                Some(line) => hear(&group, &mut out, &line).await,
                None => break,
            },
            () = sleep_until(expiry.unwrap_or_else(Instant::now)), if expiry.is_some() => {
                let now = Instant::now();
                out.retain(|lease, out| {
                    let counts = out.until > now;
                    if !counts {
                        output::note(&format!("{lease}: the lease ran out; somebody else may be given it"));
                    }
                    counts
                });
            }
            ended = &mut signals => {
                ended?;
                break;
            }
            () = &mut closed => break,
        }
    }
    taking.finish(out.into_keys().collect()).await;
    Ok(ExitCode::SUCCESS)
}

/// Reads lines on a thread of its own, since a read of stdin can not be given up. A few wait; then stdin does.
fn read_stdin() -> Result<mpsc::Receiver<String>, Failure> {
    let (lines_tx, lines_rx) = mpsc::channel(16);
    let read = move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if lines_tx.blocking_send(line).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("stdin".to_owned()).spawn(read);
    thread.map_err(|error| Failure::internal(format!("stdin can not be read: {error}")))?;
    Ok(lines_rx)
}

async fn hear(group: &Group, out: &mut BTreeMap<Lease, Out>, line: &str) {
    if line.trim().is_empty() {
        return;
    }
    let (said, lease) = match read(line) {
        Ok(heard) => heard,
        Err(why) => {
            output::note(&why);
            return;
        }
    };
    let leases = vec![lease];
    let result = match said {
        Said::Ack => group.ack(leases).await,
        Said::Nack(delay, reason) => group.nack(leases, delay, reason).await,
        Said::Term(reason) => group.term(leases, reason).await,
        Said::Release => group.release(leases).await,
        Said::Extend(by) => {
            let extended = group.extend(leases, by).await;
            if extended.is_ok()
                && let Some(out) = out.get_mut(&lease)
            {
                out.until = Instant::now() + by.unwrap_or(out.time);
            }
            return tell(extended.map(drop));
        }
    };
    // Where nobody heard it, it can be said again.
    if !result.as_ref().is_err_and(ClientError::is_retryable) {
        out.remove(&lease);
    }
    tell(result.map(drop));
}

/// A refusal is about one event, so the member goes on.
fn tell(result: Result<(), ClientError>) {
    if let Err(error) = result {
        output::note(&error.to_string());
    }
}

fn read(line: &str) -> Result<(Said, Lease), String> {
    let refuse = |why: &str| format!("`{line}` is passed over: {why}");
    let mut words = line.trim().splitn(2, ' ');
    let first = words.next().unwrap_or_default();
    if let Ok(lease) = first.parse() {
        return Ok((Said::Ack, lease));
    }
    let rest = words.next().unwrap_or_default().trim();
    let (lease, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let lease: Lease = lease.parse().map_err(|error| refuse(&format!("{error}")))?;
    let rest = Some(rest.trim()).filter(|rest| !rest.is_empty());
    let time = |text: Option<&str>| match text {
        None | Some("-") => Ok(None),
        Some(text) => parse_time(text)
            .map(Some)
            .ok_or_else(|| refuse(&format!("`{text}` is no time such as 500ms, 30s or 10m"))),
    };
    let said = match first {
        "ack" => Said::Ack,
        "nack" => {
            let (delay, why) = rest.map_or((None, None), |rest| match rest.split_once(' ') {
                Some((delay, why)) => (Some(delay), Some(why.trim().to_owned())),
                None => (Some(rest), None),
            });
            Said::Nack(time(delay)?, why)
        }
        "term" => Said::Term(rest.map(str::to_owned)),
        "extend" => Said::Extend(time(rest)?),
        "release" => Said::Release,
        _ => return Err(refuse("expected `ack`, `nack`, `term`, `extend` or `release`, and a lease")),
    };
    Ok((said, lease))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let lease: Lease = "7:3".parse().unwrap();
        let second = Some(Duration::from_secs(1));
        let cases = [
            ("7:3", Said::Ack),
            (" ack 7:3 ", Said::Ack),
            ("nack 7:3", Said::Nack(None, None)),
            ("nack 7:3 1s", Said::Nack(second, None)),
            ("nack 7:3 - it is not ready", Said::Nack(None, Some("it is not ready".to_owned()))),
            ("term 7:3 no JSON", Said::Term(Some("no JSON".to_owned()))),
            ("extend 7:3 1s", Said::Extend(second)),
            ("release 7:3", Said::Release),
        ];
        for (line, said) in cases {
            assert_eq!(read(line).unwrap(), (said, lease), "`{line}`");
        }
        for bad in ["ok", "ack", "ack 7", "nack 7:3 soon", "done 7:3"] {
            assert!(read(bad).unwrap_err().contains(bad));
        }
    }
}
