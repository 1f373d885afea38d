//! `get`, `put`, `invalidate`, `changes`, `check` and `explain`.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use undercurrent_client::{Client, ClientError, PutOptions};
use undercurrent_types::{ErrorCode, Key, Level, Version, wire};

use super::operate::{bytes, span};
use crate::args::{Changes, Check, Get, Invalidate, OneKey, Put, Wait};
use crate::failure::Failure;
use crate::{input, keys, output};

/// Prints exactly the bytes of the value, or with `--json` all that is known about it.
pub(crate) async fn get(args: &Get, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let key = keys::key(&args.key)?;
    let get = prepare(args, client, &key);
    if let Some(version) = args.if_version {
        return changed(&key, &get.changed_since(version).await?, json);
    }
    let known = || Failure::new(ErrorCode::Internal, "the daemon sent no value");
    if json {
        let context = get.context().await?.ok_or_else(known)?;
        output::json(&context)?;
        return if context.exists { Ok(ExitCode::SUCCESS) } else { Err(absent(&key)) };
    }
    let answer = get.answer().await?.ok_or_else(known)?;
    output::bytes(&answer.value.ok_or_else(|| absent(&key))?)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the difference, or the value where none can be told.
fn changed(key: &Key, changed: &wire::Changed, json: bool) -> Result<ExitCode, Failure> {
    if json {
        output::json(changed)?;
    }
    match (changed.state, &changed.diff) {
        (wire::ChangedState::Gone, _) => return Err(absent(key)),
        _ if json => {}
        (wire::ChangedState::Unchanged, _) => output::note("unchanged"),
        (wire::ChangedState::Changed, Some(diff)) => output::bytes(diff.as_bytes())?,
        (wire::ChangedState::Changed, None) => {
            output::note("changed; the difference is not known, and this is the value");
            output::bytes(&value_of(&changed.context)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn value_of(context: &wire::Context) -> Result<Vec<u8>, Failure> {
    match (&context.value, &context.value_base64) {
        (Some(text), _) => Ok(text.clone().into_bytes()),
        (None, Some(text)) => STANDARD
            .decode(text)
            .map_err(|error| Failure::new(ErrorCode::Internal, format!("the value is no base64: {error}"))),
        (None, None) => Err(absent(&context.key)),
    }
}

/// Waits until a value is another, and prints its version.
pub(crate) async fn wait(args: &Wait, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let key = keys::key(&args.key)?;
    let answer = client.get(&key).changed_from(args.version, args.timeout).await?;
    let (version, exists) = (answer.version, answer.value.is_some());
    if json {
        output::json(&serde_json::json!({ "key": key, "version": version, "exists": exists }))?;
    } else {
        output::line(&version.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn prepare(args: &Get, client: &Client, key: &Key) -> undercurrent_client::Get {
    let mut get = client.get(key);
    if let Some(level) = args.level {
        get = get.level(level);
    }
    if let Some(token) = args.after {
        get = get.after(token);
    }
    if args.reload {
        get = get.reload();
    }
    if let Some(session) = &args.session {
        get = get.session(session.clone());
    }
    if args.stale_on_error { get.stale_on_error() } else { get }
}

fn absent(key: &Key) -> Failure {
    Failure::new(ErrorCode::NotFound, format!("what `{key}` names is not there"))
}

pub(crate) async fn put(args: &Put, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let key = keys::key(&args.key)?;
    let value = input::read(&args.value)?;
    let options = PutOptions {
        ticket: args.ticket.clone(),
        inputs: args.inputs.iter().map(|given| keys::input(given)).collect::<Result<_, _>>()?,
        tags: args.tags.iter().map(|given| keys::tag(given)).collect::<Result<_, _>>()?,
        max_age: args.ttl,
    };
    written(&client.put(&key, value, &options).await?, json)
}

pub(crate) async fn invalidate(args: &Invalidate, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let keys = args.keys.iter().map(|given| keys::key(given).map(Into::into));
    let tags = args.tags.iter().map(|given| keys::tag(given));
    let names = keys.chain(tags).collect::<Result<_, _>>()?;
    written(&client.invalidate(names).await?, json)
}

fn written(written: &wire::Written, json: bool) -> Result<ExitCode, Failure> {
    if json {
        output::json(written)?;
    } else {
        output::line(&written.token.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints one notice of all that has changed.
pub(crate) async fn changes(args: &Changes, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let notice = client.changes(&args.session, args.ack).await?;
    if json {
        output::json(&notice)?;
    } else {
        output::bytes(notice.to_string().as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the source where it can be asked, and otherwise reads at the key's own level.
pub(crate) async fn check(args: &Check, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let key = keys::key(&args.key)?;
    let get = client.get(&key).if_version_is_not(args.version);
    let answer = match get.clone().level(Level::Verified).answer().await {
        Err(ClientError::Refused(body)) if body.code == ErrorCode::LevelNotOffered => get.answer().await?,
        other => other?,
    };
    let now = answer.map_or(args.version, |answer| answer.version);
    let is_current = now == args.version;
    if json {
        output::json(&serde_json::json!({ "key": key, "current": is_current, "version": now }))?;
    }
    if is_current {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(
        ErrorCode::Conflict,
        format!("`{key}` is at version {now} now; read it again before it is overwritten"),
    ))
}

pub(crate) async fn explain(args: &OneKey, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let explanation = client.explain(&keys::key(&args.key)?).await?;
    if json {
        output::json(&explanation)?;
    } else {
        output::bytes(tree(&explanation).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes an explanation for people.
fn tree(explanation: &wire::Explanation) -> String {
    let wire::Explanation { key, default_level, loader, entry, answer, invalidations } = explanation;
    let mut text =
        format!("{key}\n  made by {loader}, read at {default_level} unless another level is named\n");
    match answer {
        Some(answer) => push(
            &mut text,
            1,
            &format!(
                "last answer: version {}, at {}, because {} ({})",
                short(answer.version),
                answer.level,
                answer.because,
                answer.why
            ),
        ),
        None => push(&mut text, 1, "last answer: none yet"),
    }
    match entry {
        Some(entry) => describe(&mut text, entry),
        None => push(&mut text, 1, "in memory: nothing"),
    }
    if invalidations.is_empty() {
        push(&mut text, 1, "made stale by: nothing that is remembered");
    } else {
        push(&mut text, 1, "made stale by, latest first:");
    }
    for one in invalidations {
        push(&mut text, 2, &format!("{} at position {}: {}", one.name, one.position, cause(one)));
    }
    text
}

fn describe(text: &mut String, entry: &wire::ExplainedEntry) {
    let what =
        if entry.exists { bytes(entry.bytes as u64) } else { "the answer that it is not there".to_owned() };
    let age = span(Duration::from_millis(entry.age_ms));
    let standing = if entry.valid { "would be served at fresh" } else { "would not be served at fresh" };
    push(text, 1, &format!("in memory: {what}, version {}, {standing}", short(entry.version)));
    push(
        text,
        2,
        &format!(
            "known to be good {age} ago, at position {}; the load began at position {} and took {} µs, by version {} of the loader",
            entry.as_of, entry.loaded_at, entry.load_us, entry.loader_version
        ),
    );
    if let Some(validator) = &entry.validator {
        push(text, 2, &format!("its source is asked for: {validator}"));
    }
    if let Some(left) = entry.expires_in_ms {
        push(text, 2, &format!("served for another {} at most", span(Duration::from_millis(left))));
    }
    describe_inputs(text, 2, &entry.inputs);
    for name in &entry.closure {
        let moved = name.last.map_or_else(
            || "not moved as far as is remembered".to_owned(),
            |at| format!("moved at position {at}"),
        );
        let doubt = if name.in_doubt { ", in doubt" } else { "" };
        push(text, 2, &format!("depends on {}: {moved}{doubt}", name.name));
    }
}

fn describe_inputs(text: &mut String, depth: usize, inputs: &[wire::ExplainedInput]) {
    for input in inputs {
        let standing = if input.valid { "" } else { ", which would not be served at fresh" };
        push(text, depth, &format!("made from {}, version {}{standing}", input.key, short(input.version)));
        describe_inputs(text, depth + 1, &input.inputs);
    }
}

fn cause(one: &wire::ExplainedInvalidation) -> String {
    match (&one.stream, &one.sequence, &one.event_type, &one.event_id) {
        (Some(stream), Some(sequence), Some(ty), Some(id)) => format!("{ty} {id} in {stream} at {sequence}"),
        _ => one.cause.clone(),
    }
}

/// Returns the beginning of a version, enough to tell two apart by eye.
fn short(version: Version) -> String {
    version.to_string().chars().take(12).collect()
}

fn push(text: &mut String, depth: usize, line: &str) {
    writeln!(text, "{:indent$}{}", "", crate::line::printable(line), indent = 2 * depth)
        .expect("writing to a string does not fail");
}
