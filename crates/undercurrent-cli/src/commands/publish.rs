//! `publish`: one event, or one per line of stdin.

pub(super) mod lines;

use std::process::ExitCode;

use undercurrent_client::{Client, PublishOptions};
use undercurrent_types::{Data, ErrorCode, Event, EventError, EventSource, EventType, wire};

use crate::args::Publish;
use crate::failure::Failure;
use crate::{input, keys, output};

pub(crate) async fn run(args: &Publish, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    if args.lines {
        lines::run(args, client, json).await?;
    } else {
        let event = one_event(args)?;
        let options = PublishOptions {
            expected_seq: args.expected_seq,
            durability: args.durability,
            ..PublishOptions::default()
        };
        if args.ephemeral {
            let passed = client.publish_ephemeral(&args.stream, &event).await?;
            let text = format!("given to {} and not kept", passed.listeners);
            if json {
                output::json(&passed)?;
            } else {
                output::line(&text)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let ack = client.publish(&args.stream, &event, options).await?;
        print(&ack, json)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn one_event(args: &Publish) -> Result<Event, Failure> {
    let ty = args.ty.clone().ok_or_else(|| Failure::usage("`--type` is missing"))?;
    let mut event = blank(args, ty)?;
    if let Some(id) = &args.id {
        event = event.with_id(id.as_str());
    }
    event.datacontenttype.clone_from(&args.content_type);
    if let Some(given) = &args.data {
        let bytes = input::read(given)?;
        let data = if args.content_type.as_deref().is_none_or(is_json) {
            let hint = "text is JSON in quotes: --data '\"hello\"'; other bytes need --content-type, such as text/plain";
            Data::from_json(&bytes).map_err(|error| refused(&error).hint(hint))?
        } else {
            Data::Binary(bytes)
        };
        event = event.with_data(data);
    }
    event.validate().map_err(|error| refused(&error))?;
    Ok(event)
}

/// Returns an event without data: of now, unless it has an id of its own.
fn blank(args: &Publish, ty: EventType) -> Result<Event, Failure> {
    let source = args.source.clone().unwrap_or_else(login);
    let event = Event::new(ty, source);
    // The time is part of the event: with an id, the same command again is the same event, whenever it runs.
    let event = match &args.id {
        Some(_) => event,
        None => event.with_time(jiff::Timestamp::now().to_string()),
    };
    match &args.subject {
        Some(subject) => Ok(event.with_subject(keys::subject(subject)?)),
        None => Ok(event),
    }
}

fn is_json(media_type: &str) -> bool {
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    media_type == "application/json" || media_type == "text/json" || media_type.ends_with("+json")
}

/// Returns the source of what is published by hand.
pub(super) fn login() -> EventSource {
    let login = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let named = format!("user/{login}").parse();
    named.unwrap_or_else(|_| "user/unknown".parse().expect("it is a source"))
}

fn refused(error: &EventError) -> Failure {
    let code = if error.is_over_limit() { ErrorCode::TooLarge } else { ErrorCode::InvalidEvent };
    Failure::new(code, error.to_string())
}

pub(super) fn print(ack: &wire::Ack, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(ack);
    }
    let wire::Ack { stream, seq, durability, token, .. } = ack;
    let again = if ack.duplicate { "  published before" } else { "" };
    output::line(&format!("{stream} #{seq}  {durability}  token {token}{again}"))
}
