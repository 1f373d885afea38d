//! One file for each command, or for a few that are alike.

mod context;
mod doctor;
mod export;
mod groups;
mod import;
mod operate;
mod outcome;
mod publish;
mod rules;
mod serve;
mod streams;
mod tail;
mod work;

use std::process::ExitCode;

use crate::args::{Args, Command, Export, RulesVerb};
use crate::failure::Failure;
use crate::target;

/// Runs the command that was given.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { global, command } = args;
    if let Command::Serve(serve) = &command {
        return serve::run(serve, &global).await;
    }
    if let Command::Rules { verb: RulesVerb::Test(test) } = &command {
        return rules::test(test, &global).await;
    }
    if let Command::Rules { verb: RulesVerb::Apply(serve) } = &command {
        return rules::apply(serve, &global).await;
    }
    if let Command::Doctor(doctor) = &command {
        return doctor::store::run(doctor, &global).await;
    }
    if let Command::Export(Export { streams, data: Some(data) }) = &command {
        return export::offline(streams, data).await;
    }
    let client = target::client(&global).await?;
    let json = global.json;
    match &command {
        // One is a daemon, and the others may do without.
        Command::Serve(_) | Command::Rules { .. } | Command::Doctor(_) => Ok(ExitCode::SUCCESS),
        Command::Publish(publish) => publish::run(publish, &client, json).await,
        Command::Outcome(asked) => outcome::run(asked, &client, json).await,
        Command::Tail(tail) => tail::run(tail, &client, json).await,
        Command::Export(export) => export::run(&export.streams, &client).await,
        Command::Import(import) => import::run(import, &client, json).await,
        Command::Get(get) => context::get(get, &client, json).await,
        Command::Put(put) => context::put(put, &client, json).await,
        Command::Invalidate(invalidate) => context::invalidate(invalidate, &client, json).await,
        Command::Explain(explain) => context::explain(explain, &client, json).await,
        Command::Changes(changes) => context::changes(changes, &client, json).await,
        Command::Wait(wait) => context::wait(wait, &client, json).await,
        Command::Check(check) => context::check(check, &client, json).await,
        Command::Scrub(scrub) => operate::scrub(&client, &scrub.secret, json).await,
        Command::Status => operate::status(&client, json).await,
        Command::Sources => operate::sources(&client, json).await,
        Command::Streams { verb } => streams::run(verb.as_ref(), &client, json).await,
        Command::Groups { verb } => groups::run(verb.as_ref(), &client, json).await,
        Command::Work(work) => work::run(work, &client).await,
    }
}
