//! `outcome`.

use std::process::ExitCode;

use undercurrent_client::Client;
use undercurrent_types::ErrorCode;
use undercurrent_types::wire::{IdWindow, OutcomeState};

use super::publish::{login, print};
use crate::args::Outcome;
use crate::failure::Failure;
use crate::output;

pub(crate) async fn run(args: &Outcome, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let Outcome { stream, id, source } = args;
    let source = source.clone().unwrap_or_else(login);
    let outcome = client.outcome(stream, &source, id).await?;
    if json {
        output::json(&outcome)?;
    } else if let Some(ack) = &outcome.ack {
        print(ack, json)?;
    }
    let IdWindow { ids, seconds } = outcome.window;
    let (code, text) = match outcome.state {
        OutcomeState::Published => return Ok(ExitCode::SUCCESS),
        OutcomeState::UnderWay => (ErrorCode::Busy, "is under way: ask again"),
        OutcomeState::NotKnown => (ErrorCode::NotFound, "is not known"),
    };
    if json {
        return Ok(ExitCode::from(code.exit_code()));
    }
    let named = format!("the event `{id}` of `{source}` {text}");
    let hint = format!(
        "of the last {ids} ids, those of the last {seconds} s are known; publishing it again is safe"
    );
    Err(Failure::new(code, named).hint(hint))
}
