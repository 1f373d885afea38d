//! An entry as the fields of its hash.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use undercurrent_types::{Key, Name, Position, Version};

use super::clock::Clock;
use super::names::Workspaces;
use super::reply::{Malformed, Reply};
use crate::store::{KeptEntry, Moment};

/// The fields that are made of several.
pub(super) struct Text {
    pub(super) deadline: String,
    pub(super) own_deadline: String,
    pub(super) inputs: String,
    pub(super) rest: String,
}

/// What no script looks at.
#[derive(Serialize, Deserialize)]
struct Rest {
    keys: Vec<(Key, Version)>,
    validator: Option<String>,
    max_age_ms: Option<u64>,
    since_ms: u64,
    took_us: u64,
}

impl Text {
    pub(super) fn of(entry: &KeptEntry, clock: Clock, workspaces: &Workspaces) -> Self {
        let deadline = |moment: Option<Moment>| {
            moment.map_or(String::new(), |moment| clock.to_server(moment).to_string())
        };
        let rest = Rest {
            keys: outward(&entry.keys, workspaces),
            validator: entry.validator.as_ref().map(|bytes| STANDARD.encode(bytes)),
            max_age_ms: entry.max_age.map(|age| age.as_millis() as u64),
            since_ms: clock.to_server(entry.since),
            took_us: entry.took.as_micros() as u64,
        };
        Self {
            deadline: deadline(entry.deadline),
            own_deadline: deadline(entry.own_deadline),
            inputs: serde_json::to_string(&outward(&entry.inputs, workspaces))
                .expect("keys and versions have a JSON form"),
            rest: serde_json::to_string(&rest).expect("it has a JSON form"),
        }
    }
}

/// Writes names one in a line: no name has a control character.
pub(super) fn lines(names: &[Name], workspaces: &Workspaces) -> String {
    names.iter().map(|name| workspaces.outward(name.as_str())).collect::<Vec<_>>().join("\n")
}

fn outward(keys: &[(Key, Version)], workspaces: &Workspaces) -> Vec<(Key, Version)> {
    keys.iter().map(|(key, version)| (workspaces.outward_key(key), *version)).collect()
}

fn inward(keys: Vec<(Key, Version)>, workspaces: &Workspaces) -> Vec<(Key, Version)> {
    keys.into_iter().map(|(key, version)| (workspaces.inward_key(key), version)).collect()
}

/// Reads what READ says of an entry.
pub(super) fn read(reply: &mut Reply, clock: Clock, workspaces: &Workspaces) -> Result<KeptEntry, Malformed> {
    let loader_version = reply.parse()?;
    let closure = names(&reply.text()?, workspaces)?;
    let own = names(&reply.text()?, workspaces)?;
    let mut deadline = || -> Result<Option<Moment>, Malformed> {
        let text = reply.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        let server_ms = text.parse().map_err(|_| Malformed(format!("`{text}` is no time")))?;
        Ok(Some(clock.to_moment(server_ms)))
    };
    let (deadline, own_deadline) = (deadline()?, deadline()?);
    let h = Position(reply.parse()?);
    let version = reply.parse()?;
    let inputs: Vec<(Key, Version)> = json(&reply.text()?)?;
    let is_there = reply.text()? == "there";
    let value = Bytes::from(reply.bytes()?);
    let rest: Rest = json(&reply.text()?)?;
    let validator = rest.validator.map(|text| STANDARD.decode(text)).transpose();
    let validator = validator.map_err(|e| Malformed(format!("a validator is no Base64: {e}")))?;
    Ok(KeptEntry {
        value: is_there.then_some(value),
        version,
        loader_version,
        h,
        own,
        closure,
        keys: inward(rest.keys, workspaces).into(),
        inputs: inward(inputs, workspaces).into(),
        validator: validator.map(Into::into),
        deadline,
        own_deadline,
        max_age: rest.max_age_ms.map(Duration::from_millis),
        since: clock.to_moment(rest.since_ms),
        took: Duration::from_micros(rest.took_us),
    })
}

/// Reads names, sorted as this node knows them.
fn names(text: &str, workspaces: &Workspaces) -> Result<Box<[Name]>, Malformed> {
    let name = |line| workspaces.name(line).ok_or_else(|| Malformed(format!("`{line}` is no name")));
    let mut names: Vec<_> = text.lines().map(name).collect::<Result<_, _>>()?;
    names.sort_unstable();
    Ok(names.into())
}

fn json<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Malformed> {
    serde_json::from_str(text).map_err(|e| Malformed(format!("an entry can not be read: {e}")))
}
