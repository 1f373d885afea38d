//! `tail`: history, then live.

use std::process::ExitCode;

use undercurrent_client::{Client, Delivery, Place, Received, Subscribe, Subscription};
use undercurrent_types::{Event, StreamName};

use crate::args::Tail;
use crate::failure::Failure;
use crate::{keys, line, output};

pub(crate) async fn run(args: &Tail, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    if args.stream.contains('*') || args.stream.starts_with('$') {
        if args.ephemeral {
            return Err(Failure::usage("ephemeral events are those of one stream: name it"));
        }
        return tail(args, client.subscribe_all(&args.stream), json).await;
    }
    let stream = args.stream.parse::<StreamName>().map_err(|error| Failure::usage(error.to_string()))?;
    let subscribe = client.subscribe(&stream);
    tail(args, if args.ephemeral { subscribe.with_ephemeral() } else { subscribe }, json).await
}

async fn tail<C: Place>(args: &Tail, subscribe: Subscribe<C>, json: bool) -> Result<ExitCode, Failure> {
    let start = args.from.parse().map_err(|error: C::Err| Failure::usage(error.to_string()))?;
    let mut subscribe = subscribe.from(start);
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

async fn follow<C: Place>(args: &Tail, mut subscription: Subscription<C>, json: bool) -> Result<(), Failure> {
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
            Delivery::Ephemeral(event, dropped) => print_ephemeral(&event, dropped, json)?,
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

fn print<C>(received: &Received<C>, json: bool) -> Result<(), Failure> {
    if json {
        let mut text = received.json.to_vec();
        text.push(b'\n');
        return output::bytes(&text);
    }
    let event = received.event();
    let event =
        event.map_err(|error| Failure::internal(format!("the daemon sent what is no event: {error}")))?;
    output::line(&match stream_of(&received.json) {
        Some(stream) => format!("{} {}", line::printable(&stream), line::of(&event)),
        None => line::of_stream(&event),
    })
}

fn print_ephemeral(event: &[u8], dropped: u64, json: bool) -> Result<(), Failure> {
    if dropped > 0 {
        output::note(&format!("({dropped} ephemeral events were dropped)"));
    }
    if json {
        return output::bytes(&[event, b"\n"].concat());
    }
    let event = Event::from_json(event)
        .map_err(|error| Failure::internal(format!("the daemon sent what is no event: {error}")))?;
    output::line(&format!("~ {}", line::of(&event)))
}

/// Returns the stream that an event of several streams is in.
fn stream_of(json: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct InStream {
        stream: String,
    }
    serde_json::from_slice(json).ok().map(|InStream { stream }| stream)
}
