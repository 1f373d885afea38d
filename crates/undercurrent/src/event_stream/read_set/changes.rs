//! The notice of what has changed since a session read it.

use futures_util::{StreamExt, stream};
use undercurrent_types::wire::{Change, ChangeState, Notice};
use undercurrent_types::{Key, SessionName, Version};

use super::set::Unsure;
use super::{ReadSets, now_ms};
use crate::event_stream::EventStream;

/// How many keys are read at once that memory can not vouch for.
const AT_ONCE: usize = 64;
/// How many digits of a version stand in a notice.
const DIGITS: usize = 12;

/// Keys with the versions that a session was given, sorted.
type Given = Vec<(Key, Version)>;

/// What became of a key.
enum Now {
    Version { version: Version, exists: bool },
    Unknown,
}

impl EventStream {
    /// Returns what has changed since a session was given it, in one notice.
    ///
    /// Everything that happened at the sources before the call is taken into account where a source can say how far
    /// it has told, as for `synced` reads; what memory can not vouch for is read anew. With `ack` what the notice
    /// says counts as given, and is not said again; what is `unknown` stays until it can be read.
    pub async fn changes(&self, session: &SessionName, ack: bool) -> Notice {
        let sets = &self.0.read_sets;
        // Of what other nodes moved, memory knows as far as it has asked.
        let synced = self.0.cache.wait_for_all().await && self.0.store.barrier().await.is_ok();
        let Some((keys, unsure)) = sets.given(session) else {
            return Notice {
                session: session.clone(),
                incomplete: Some("nothing is remembered of this session".to_owned()),
                changes: Vec::new(),
            };
        };
        let asked: Vec<_> = keys
            .into_iter()
            .filter(|(key, version)| {
                let standing = self.0.cache.peek(key).filter(|entry| synced && entry.version == *version);
                !standing.is_some_and(|entry| self.0.cache.is_valid(&entry))
            })
            .collect();
        let now: Vec<_> = stream::iter(asked)
            .map(async |(key, old)| (self.now(&key).await, key, old))
            .buffered(AT_ONCE)
            .filter(|(now, _, old)| {
                let same = matches!(now, Now::Version { version, .. } if version == old);
                std::future::ready(!same)
            })
            .collect()
            .await;
        if ack {
            sets.told(session, &now, unsure);
        }
        Notice {
            session: session.clone(),
            incomplete: unsure.map(|why| why.text().to_owned()),
            changes: now.iter().map(|(now, key, old)| change(now, key, *old)).collect(),
        }
    }

    async fn now(&self, key: &Key) -> Now {
        match self.get_app_context(key).await {
            Ok(answer) => Now::Version { version: answer.version(), exists: answer.value().is_some() },
            Err(_) => Now::Unknown,
        }
    }
}

impl ReadSets {
    /// Returns what a session was given, sorted by key; `None` where nothing is remembered of it.
    fn given(&self, session: &SessionName) -> Option<(Given, Option<Unsure>)> {
        let mut sets = self.sets.lock();
        let clock = sets.tick();
        let set = sets.by_name.get_mut(session)?;
        set.touch(clock, now_ms());
        Some((set.keys(), set.unsure()))
    }

    /// Notes what a session has been told.
    fn told(&self, session: &SessionName, told: &[(Now, Key, Version)], unsure: Option<Unsure>) {
        let mut sets = self.sets.lock();
        let Some(set) = sets.by_name.get_mut(session) else { return };
        for (now, key, old) in told {
            if let Now::Version { version, .. } = now {
                set.seen(key, *old, *version);
            }
        }
        if let Some(unsure) = unsure {
            set.told(unsure);
        }
    }
}

fn change(now: &Now, key: &Key, old: Version) -> Change {
    let (state, new) = match now {
        Now::Version { version, exists: true } => (ChangeState::Changed, Some(short(*version))),
        Now::Version { exists: false, .. } => (ChangeState::Gone, None),
        Now::Unknown => (ChangeState::Unknown, None),
    };
    Change { key: key.clone(), state, old: short(old), new }
}

fn short(version: Version) -> String {
    let mut text = version.to_string();
    text.truncate(DIGITS);
    text
}
