//! How a connection begins: what it may be believed for is found before anything else is asked.

use std::sync::Arc;

use redis::{Cmd, Value};
use undercurrent_types::{Incarnation, Position, Token};

use super::connect::{ConnectError, Connector, Wire};
use super::keys::Keys;
use super::options::SharedStoreOptions;
use super::order::Order;
use super::reply::{Malformed, Reply};
use super::scripts::{CLAIM, Script};
use super::server::Server;

/// How the keys are laid out.
pub(super) const FORMAT: &str = "undercurrent/2";

/// A position with what tells it from another of the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) at: Token,
    pub(super) nonce: Arc<str>,
}

/// A connection whose server is known, with the incarnation of what it holds.
pub(super) struct Claimed {
    pub(super) wire: Wire,
    pub(super) server: Server,
    /// The position at the claim.
    pub(super) begun: Mark,
}

impl Claimed {
    /// Believes of another connection what is believed of this one: what a connection that makes itself anew would do.
    pub(super) fn over(&self, wire: Wire) -> Self {
        Self { wire, server: self.server.clone(), begun: self.begun.clone() }
    }
}

/// Makes a connection and claims it: INFO, CLAIM, and INFO once more with the same id.
/// In the model: `shared::claim::connection`, `shared::claim::claim`.
pub(super) async fn claim(
    connector: &Connector,
    options: &SharedStoreOptions,
    keys: &Keys,
    order: Option<&Order>,
) -> Result<Claimed, ConnectError> {
    let wire = connector.connect(Some(options.response_timeout)).await?;
    let server = Server::ask(&wire).await?;
    let mut command = eval(&CLAIM, keys.order.iter());
    command.arg(random()).arg(&server.replication).arg(random()).arg(FORMAT);
    match order {
        Some(order) => {
            let (known, left) = (order.known(), order.left());
            command.arg(incarnation_text(known.seen.at.inc));
            for Mark { at, nonce } in [known.seen, known.applied] {
                command.arg(at.position.0).arg(&*nonce);
            }
            command.arg(left.iter().map(|inc| incarnation_text(*inc)).collect::<Vec<_>>().join(" "));
        }
        None => {
            command.arg(&["", "0", "", "0", "", ""]);
        }
    }
    command.arg(options.records).arg(options.names);
    let answer = wire.send(&command).await.map_err(|e| match e.code() {
        Some("WRONGTYPE") => format_error(keys, "of another program"),
        _ => ConnectError::Unfit(format!("`{}` refuses CLAIM: {e}", wire.address)),
    })?;
    let begun = read(answer, keys)?;
    if Server::replication_of(&wire).await? != Some(server.replication.clone()) {
        let address = wire.address.clone();
        return Err(ConnectError::Unreachable {
            address,
            reason: "it changed its role meanwhile".to_owned(),
        });
    }
    Ok(Claimed { wire, server, begun })
}

fn read(answer: Value, keys: &Keys) -> Result<Mark, ConnectError> {
    let unfit = |e: Malformed| ConnectError::Unfit(e.to_string());
    let mut reply = Reply::open(answer).map_err(unfit)?;
    if reply.text().map_err(unfit)? == "format" {
        return Err(format_error(keys, &reply.text().map_err(unfit)?));
    }
    let mut parse = || {
        let inc = incarnation(&reply.text()?)?;
        Ok(Mark { at: Token { inc, position: Position(reply.parse()?) }, nonce: reply.text()?.into() })
    };
    parse().map_err(unfit)
}

/// Says that what is there has another format.
pub(super) fn format_error(keys: &Keys, found: &str) -> ConnectError {
    let key = keys.order[0].clone();
    ConnectError::Format { key, found: found.to_owned(), expected: FORMAT }
}

/// Begins the call of a script with its text, for the few that are called once.
pub(super) fn eval<'a>(script: &Script, keys: impl ExactSizeIterator<Item = &'a String>) -> Cmd {
    let mut command = Cmd::new();
    let text = script.ablated();
    command.arg("EVAL").arg(text.as_ref().unwrap_or(&script.text)).arg(keys.len());
    keys.for_each(|key| {
        command.arg(key);
    });
    command
}

/// Returns what nobody else draws: for nonces, and for incarnations.
pub(super) fn random() -> String {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    // Six bits of a random UUID are fixed; none of them are left where both halves meet.
    format!("{:016x}", high.rotate_left(32) ^ low)
}

pub(super) fn incarnation_text(inc: Incarnation) -> String {
    format!("{:016x}", inc.0)
}

pub(super) fn incarnation(text: &str) -> Result<Incarnation, Malformed> {
    let number =
        u64::from_str_radix(text, 16).map_err(|_| Malformed(format!("`{text}` is no incarnation")))?;
    Ok(Incarnation(number))
}
