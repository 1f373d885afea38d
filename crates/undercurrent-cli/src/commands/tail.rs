//! `tail`: history, then live.

use std::process::ExitCode;

use undercurrent_client::{Client, Delivery, Received, Subscription};

use crate::args::Tail;
use crate::failure::Failure;
use crate::{keys, line, output};

pub(crate) async fn run(args: &Tail, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let mut subscribe = client.subscribe(&args.stream).from(args.from);
    for pattern in &args.types {
        subscribe = subscribe.with_type(pattern);
    }
    for prefix in &args.sources {
        subscribe = subscribe.with_source(prefix);
    }
    for subject in &args.subjects {
        subscribe = subscribe.with_subject(&keys::subject(subject)?);
    }
    if args.limit == Some(0) {
        return Ok(ExitCode::SUCCESS);
    }
    let subscription = subscribe.open().await?;
    tokio::select! {
        ended = follow(args, subscription, json) => ended?,
        () = output::until_closed() => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn follow(args: &Tail, mut subscription: Subscription, json: bool) -> Result<(), Failure> {
    let mut left = args.limit;
    let mut is_interrupted = false;
    loop {
        let delivery = subscription.next().await?;
        if is_interrupted && !matches!(delivery, Delivery::Interrupted(_)) {
            output::note("connected again");
            is_interrupted = false;
        }
        match delivery {
            Delivery::Event(received) => {
                print(&received, json)?;
                left = left.map(|left| left.saturating_sub(1));
                if left == Some(0) {
                    return Ok(());
                }
            }
            Delivery::CaughtUp(_) if args.no_follow => return Ok(()),
            Delivery::Gap(gap) => output::note(&format!(
                "gap: what follows {} is not there any more ({}); the stream goes on after {}",
                gap.after, gap.reason, gap.resumes
            )),
            Delivery::Interrupted(error) => {
                if !is_interrupted {
                    output::note(&format!("{error}; connecting again"));
                }
                is_interrupted = true;
            }
            _ => {}
        }
    }
}

fn print(received: &Received, json: bool) -> Result<(), Failure> {
    if json {
        let mut text = received.json.to_vec();
        text.push(b'\n');
        return output::bytes(&text);
    }
    let event = received.event();
    let event =
        event.map_err(|error| Failure::internal(format!("the daemon sent what is no event: {error}")))?;
    output::line(&line::of_stream(&event))
}
