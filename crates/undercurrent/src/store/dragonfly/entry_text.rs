//! An entry as the fields of its hash.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use undercurrent_types::{Key, Name, Position, Version};

use super::names::Workspaces;
use super::reply::{Malformed, Reply};
use crate::store::{KeptEntry, Moment};

const NANOS_PER_MS: u128 = 1_000_000;

/// The server's clock in whole milliseconds, and a moment of this node: of when it was asked, or when it had answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) server_ms: u64,
    pub(super) at: Moment,
}

impl Clock {
    /// Returns a moment of this node as the server's time, rounded down.
    fn to_server(self, moment: Moment) -> u64 {
        let ahead = moment.since(self.at).as_nanos() / NANOS_PER_MS;
        let behind = self.at.since(moment).as_nanos().div_ceil(NANOS_PER_MS);
        (self.server_ms + ahead as u64).saturating_sub(behind as u64)
    }

    /// Returns a time of the server as a moment of this node: never later than it is, so that nothing lasts longer here
    /// than where it was loaded. The server's clock was somewhere within its millisecond, at the end of it at worst.
    fn to_moment(self, server_ms: u64) -> Moment {
        let at_worst = self.server_ms + 1;
        let ahead = Duration::from_millis(server_ms.saturating_sub(at_worst));
        let behind = Duration::from_millis(at_worst.saturating_sub(server_ms));
        self.at.after(ahead).before(behind)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a node sees of the server's clock, which is so far ahead of this machine's, at a moment of its own.
    fn seen(at: Moment, server_ahead: Duration) -> Clock {
        Clock { server_ms: (Duration::from_nanos(at.since_boot()) + server_ahead).as_millis() as u64, at }
    }

    #[test]
    fn a_deadline_is_never_later_on_another_node_and_hardly_earlier() {
        let micros = [0, 1, 499, 500, 999];
        let cases = micros.iter().flat_map(|a| micros.iter().flat_map(move |b| micros.map(|c| (*a, *b, c))));
        let start = Moment::now();
        for (of_server, of_writer, of_deadline) in cases {
            let ahead = Duration::from_secs(1000) + Duration::from_micros(of_server);
            let writer = seen(start.after(Duration::from_micros(of_writer)), ahead);
            // The other one asks half a second later.
            let reader = seen(writer.at.after(Duration::from_micros(500_250)), ahead);
            let soon = writer.at.after(Duration::from_secs(5) + Duration::from_micros(of_deadline));
            let over = writer.at.before(Duration::from_secs(1) + Duration::from_micros(of_deadline));
            for deadline in [soon, over] {
                let there = reader.to_moment(writer.to_server(deadline));
                assert!(there <= deadline, "{:?} later: {writer:?}, {reader:?}", there.since(deadline));
                let earlier = deadline.since(there);
                assert!(earlier < Duration::from_millis(3), "{earlier:?} earlier: {writer:?}, {reader:?}");
            }
        }
    }
}
