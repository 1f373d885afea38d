//! `rules`: what they say of an event, and how they read.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use undercurrent::rules::RuleSet;
use undercurrent_types::Event;

use crate::args::RulesVerb;
use crate::failure::Failure;
use crate::{input, output, settings};

/// A name that an event makes stale, and the rule that says so.
#[derive(Serialize)]
struct Stale {
    name: String,
    rule: String,
    /// The place of the rule in the whole set, from 1.
    number: usize,
    /// The file that the rule stands in; `shipped.toml` for those of the program.
    file: String,
}

pub(crate) fn run(verb: &RulesVerb, json: bool) -> Result<ExitCode, Failure> {
    match verb {
        RulesVerb::Print { config } => print(config.as_deref(), json)?,
        RulesVerb::Test { event, config } => {
            let refused = super::publish::refused;
            let event = Event::from_json(&input::read(event)?).map_err(|error| refused(&error))?;
            event.validate().map_err(|error| refused(&error))?;
            test(&event, config.as_deref(), json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(config: Option<&Path>, json: bool) -> Result<(), Failure> {
    let (rules, _) = settings::rules_of(config)?;
    let (version, toml) = (rules.version(), rules.to_toml());
    if json {
        return output::json(&serde_json::json!({ "version": version, "toml": toml }));
    }
    output::line(&format!("# version {version}\n\n{}", toml.trim_end()))
}

fn test(event: &Event, config: Option<&Path>, json: bool) -> Result<(), Failure> {
    let (rules, file) = settings::rules_of(config)?;
    let stale = stale(&rules, file.as_deref(), event);
    if json {
        return output::json(&stale);
    }
    if stale.is_empty() {
        output::note("the event makes nothing stale");
    }
    let widest = stale.iter().map(|one| one.name.len()).max().unwrap_or_default();
    stale.iter().try_for_each(|Stale { name, rule, number, file }| {
        output::line(&format!("{name:widest$}  rule {number} `{rule}` of {file}"))
    })
}

fn stale(rules: &RuleSet, file: Option<&Path>, event: &Event) -> Vec<Stale> {
    let shipped = RuleSet::shipped().rules().len();
    let of_rule = |(rule, name): (&str, undercurrent_types::Name)| {
        let at = rules.rules().iter().position(|one| one.name() == rule).expect("the rule is of this set");
        let added = file.filter(|_| at >= shipped).map(|file| file.display().to_string());
        let file = added.unwrap_or_else(|| "shipped.toml".to_owned());
        Stale { name: name.to_string(), rule: rule.to_owned(), number: at + 1, file }
    };
    rules.matches(event).into_iter().map(of_rule).collect()
}
