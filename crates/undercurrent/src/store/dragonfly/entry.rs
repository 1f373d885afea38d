//! Values that the store keeps for all of its nodes: READ, COMMIT and the lease of who fills a key.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use undercurrent_types::{Key, Name, Position, Token};

use super::claim::{incarnation_text, random};
use super::clock::Clock;
use super::connection::{Answer, Call, Link};
use super::entry_text::{self, Text};
use super::names::Workspaces;
use super::reply::Malformed;
use super::scripts::{COMMIT, JUDGE, READ, RELEASE};
use crate::store::{Commit, Committed, Kept, Lease, Moment, Over, Read, StoreError};

/// How long a node that fills a key is waited for. It only saves double work, so a slow fill is overtaken.
const LEASE: Duration = Duration::from_secs(3);
/// How long a value stays that nobody reads.
const LASTS: Duration = Duration::from_secs(60 * 60);
/// The largest value that is kept; a larger one stays in the memory of the node that loaded it.
const LARGEST: usize = 1 << 20;

/// What this node is known by as the one who fills a key.
pub(super) struct Entries {
    holder: String,
    /// The keys whose lease this node has; a mutex held for a look. At most as many as are filled at once.
    leased: Mutex<HashSet<Key>>,
}

impl Default for Entries {
    fn default() -> Self {
        Self { holder: random(), leased: Mutex::default() }
    }
}

impl Entries {
    /// Asks what is kept under a key, and for the lease where nothing valid is.
    /// In the model: `shared::scripts::read_at_store`.
    pub(super) async fn read(
        &self,
        link: &Link,
        key: &Key,
        loader_version: Option<u32>,
        lease: bool,
    ) -> Result<Read, StoreError> {
        let keys = &link.keys;
        let call = Call::of(&READ)
            .key(keys.context(key))
            .key(keys.lease(key))
            .arg(loader_version.map_or(String::new(), |version| version.to_string()))
            .arg(if lease { &*self.holder } else { "" })
            .number(millis(LEASE))
            .number(millis(LASTS));
        let sent = Moment::now();
        let mut answer = link.ask(&call).await?;
        // What is left of a deadline is counted from before the request was sent.
        let clock = Clock { server_ms: answer.time_ms, at: sent };
        let read = read_answer(&mut answer, clock, &keys.workspaces).map_err(|e| link.malformed(&e))?;
        if lease && read.lease == Lease::Held && !matches!(read.kept, Kept::Valid(_)) {
            self.leased.lock().insert(key.clone());
        }
        Ok(read)
    }

    /// Gives up the lease on a key.
    pub(super) async fn release(&self, link: &Link, key: &Key) {
        if !self.leased.lock().remove(key) {
            return;
        }
        let call = Call::of(&RELEASE).key(link.keys.lease(key)).arg(&*self.holder);
        // One that can not be given up ends by itself.
        if let Err(error) = link.ask(&call).await {
            tracing::debug!(%key, %error, "a lease was not given up");
        }
    }

    /// Asks whether a value is good, and has it kept.
    /// In the model: `shared::scripts::commit`.
    pub(super) async fn commit(&self, link: &Link, commit: Commit<'_>) -> Result<Committed, StoreError> {
        let Some(keep) = commit.keep else { return judge(link, commit).await };
        let Some(nonce) = link.order.nonce_of(commit.h) else {
            // Nobody can say that the position was not given twice.
            return Ok(Committed::Moved);
        };
        let (key, entry) = (keep.key, keep.entry);
        let (clock, workspaces) = (link.clock().await?, &link.keys.workspaces);
        let text = Text::of(entry, clock, workspaces);
        let state = match &entry.value {
            None => "gone",
            Some(value) if value.len() > LARGEST => "large",
            Some(_) => "there",
        };
        let mut call = Call::of(&COMMIT).key(link.keys.context(key)).key(link.keys.lease(key));
        call = call
            .arg(incarnation_text(commit.h.inc))
            .number(commit.h.position.0)
            .arg(&*nonce)
            .arg(if keep.over == Over::Same { "same" } else { "anything" })
            .arg(commit.announce.map_or("", |_| "yes"))
            .arg(workspaces.outward(key.as_str()))
            .number(entry.loader_version.into())
            .arg(entry_text::lines(commit.closure, workspaces))
            .arg(entry_text::lines(&entry.own, workspaces))
            .arg(text.deadline)
            .arg(text.own_deadline)
            .arg(entry.version.to_string())
            .arg(text.inputs)
            .arg(state);
        let value = entry.value.as_deref().filter(|_| state == "there").unwrap_or_default();
        call.push_bytes(value);
        call = call.arg(text.rest).arg(&*self.holder).number(millis(LASTS));
        link.add_plain(&mut call, key, commit.closure);
        let mut answer = link.ask(&call).await?;
        // The step has given it up.
        self.leased.lock().remove(key);
        let verdict = answer.rest.text().map_err(|e| link.malformed(&e))?;
        // It may have been moved by this step; whether it was, the floors need not know.
        if verdict == "disagree" || answer.at.at.position > answer.since.at.position {
            link.order.raise([&Name::from(key)], answer.at.at);
        }
        Ok(committed(&verdict, &answer))
    }
}

/// Evaluates the predicate over a closure of which nothing is kept.
async fn judge(link: &Link, commit: Commit<'_>) -> Result<Committed, StoreError> {
    let workspaces = &link.keys.workspaces;
    let announced = commit.announce.map_or("".into(), |key| workspaces.outward(key.as_str()));
    let nonce: Arc<str> = if commit.h.position <= link.order.known().applied.at.position {
        "".into()
    } else if let Some(nonce) = link.order.nonce_of(commit.h) {
        nonce
    } else {
        // Nobody can say that the position was not given twice.
        return Ok(Committed::Moved);
    };
    let mut call = Call::of(&JUDGE)
        .arg(incarnation_text(commit.h.inc))
        .number(commit.h.position.0)
        .arg(&*nonce)
        .arg(announced);
    commit.closure.iter().for_each(|name| call.push(workspaces.outward(name.as_str())));
    let mut answer = link.ask(&call).await?;
    let verdict = answer.rest.text().map_err(|e| link.malformed(&e))?;
    if let Some(key) = commit.announce.filter(|_| verdict == "valid") {
        link.order.raise([&Name::from(key)], answer.at.at);
        return Ok(Committed::Accepted(answer.at.at.position));
    }
    Ok(committed(&verdict, &answer))
}

/// Evaluates the predicate over names now.
pub(super) async fn valid(
    link: &Link,
    closure: &[Name],
    as_of: Token,
) -> Result<Option<Position>, StoreError> {
    Ok(match judge(link, Commit::of(as_of, closure)).await? {
        Committed::Accepted(position) => Some(position),
        Committed::Moved | Committed::InDoubt => None,
    })
}

fn committed(verdict: &str, answer: &Answer) -> Committed {
    match verdict {
        "valid" => Committed::Accepted(known(answer)),
        "doubt" => Committed::InDoubt,
        _ => Committed::Moved,
    }
}

/// Returns up to where something that was found valid is known to be good in the memory of this node: the floors tell
/// what follows.
/// In the model: `shared::scripts::kept_at`.
fn known(answer: &Answer) -> Position {
    answer.at.at.position.min(answer.since.at.position)
}

fn read_answer(answer: &mut Answer, clock: Clock, workspaces: &Workspaces) -> Result<Read, Malformed> {
    let (at, known) = (answer.at.at, known(answer));
    let rest = &mut answer.rest;
    let left: u64 = rest.parse()?;
    let lease = if left == 0 { Lease::Held } else { Lease::Elsewhere(Duration::from_millis(left)) };
    let verdict = rest.text()?;
    let kept = match &*verdict {
        "none" => Kept::Nothing,
        "valid" => Kept::Valid(Arc::new(entry_text::read(rest, clock, workspaces)?)),
        _ => {
            let entry = Arc::new(entry_text::read(rest, clock, workspaces)?);
            Kept::Invalid { entry, own_moved: verdict == "moved" }
        }
    };
    Ok(Read { at, known, kept, lease })
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
