//! `rules test`: what an event would make stale.

use std::process::ExitCode;

use serde_json::{Map, Value};
use undercurrent_types::Event;
use undercurrent_types::wire::RulesTested;

use crate::args::{Global, RulesTest, Serve};
use crate::failure::Failure;
use crate::{input, output, settings, target};

/// Asks the daemon, or the rules of a file where one is named.
pub(crate) async fn test(args: &RulesTest, global: &Global) -> Result<ExitCode, Failure> {
    let event = read(&input::read(&args.event)?)?;
    let tested = match &args.rules {
        Some(file) => settings::read_rules(file)?.test(&event),
        None => target::client(global).await?.test_rules(&event).await?,
    };
    print(&tested, global.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Puts the rules of a configuration in force for all nodes of its store.
pub(crate) async fn apply(args: &Serve, global: &Global) -> Result<ExitCode, Failure> {
    let config = settings::read(args, global.namespace.as_deref())?.engine;
    if config.shared.is_none() {
        return Err(Failure::usage(
            "the rules of an embedded store are those that its daemon is started with",
        )
        .hint("name a shared store with `--store URL` or in the configuration"));
    }
    let version = undercurrent::apply_rules(config)
        .await
        .map_err(|error| Failure::from(undercurrent_server::ServeError::from(error).body()))?;
    if global.json {
        output::json(&serde_json::json!({ "rules": version }))?;
    } else {
        output::line(&format!("rules {version} are in force"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads an event; what only a published one needs is filled in.
fn read(json: &[u8]) -> Result<Event, Failure> {
    let mut attributes: Map<String, Value> = serde_json::from_slice(json)
        .map_err(|error| Failure::usage(format!("the event is no JSON object: {error}")))?;
    attributes.entry("specversion").or_insert_with(|| "1.0".into());
    attributes.entry("id").or_insert_with(|| "test".into());
    let json = Value::Object(attributes).to_string();
    let event = Event::from_json(json.as_bytes()).and_then(|event| event.validate().map(|()| event));
    event.map_err(|error| Failure::usage(error.to_string()))
}

fn print(tested: &RulesTested, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(tested);
    }
    if tested.stale.is_empty() {
        return output::line("nothing: no rule is about this event");
    }
    let widest = tested.stale.iter().map(|one| one.rule.len()).max().unwrap_or_default();
    tested.stale.iter().try_for_each(|one| output::line(&format!("{:widest$}  {}", one.rule, one.name)))
}
