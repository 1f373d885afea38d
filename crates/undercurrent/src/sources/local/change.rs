//! What was found to have changed, and the events that say so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use undercurrent_types::{Event, EventSource, EventType, Key, Name, StreamName, path_text};

use crate::event_stream::Outgoing;
use crate::store::Invalidation;
use crate::workspace::Root;

/// One thing that has changed below a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) path: PathBuf,
    pub(super) what: What,
    /// The nearest repository around it.
    pub(super) repo: Option<PathBuf>,
}

/// What has happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    File(FileChange),
    Dir(DirChange),
    /// The state of the repository at the path.
    Git,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileChange {
    Created,
    Modified,
    Deleted,
    Moved { from: Option<PathBuf> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DirChange {
    Created,
    Deleted,
    Moved { from: PathBuf, from_repo: Option<PathBuf> },
    Permissions,
}

impl Change {
    /// Returns the names that the rules derive from its event, for when the event can not be published.
    pub(super) fn names(&self) -> Vec<Name> {
        let mut names = Vec::new();
        let mut add_key = |key: Result<Key, _>| names.extend(key.ok().map(Name::from));
        let parent = self.path.parent();
        match &self.what {
            What::Git => {}
            What::File(_) => {
                add_key(Key::file(&self.path));
                parent.into_iter().for_each(|parent| add_key(Key::dir(parent)));
            }
            What::Dir(change) => {
                let from = match change {
                    DirChange::Moved { from, .. } => Some(from.as_path()),
                    _ => None,
                };
                for dir in [Some(self.path.as_path()), from].into_iter().flatten() {
                    add_key(Key::dir(dir));
                    dir.parent().into_iter().for_each(|parent| add_key(Key::dir(parent)));
                }
                for dir in [Some(self.path.as_path()), from].into_iter().flatten() {
                    names.push(Name::tree(&path_text(dir)));
                }
                if let DirChange::Moved { from_repo: Some(repo), .. } = change {
                    names.push(Name::repo(&path_text(repo)));
                }
            }
        }
        names.extend(self.repo.as_deref().map(|repo| Name::repo(&path_text(repo))));
        names
    }
}

/// Where the events about a root go.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) root: Arc<Root>,
    source: EventSource,
    stream: StreamName,
}

impl Channel {
    pub(super) fn new(root: Arc<Root>) -> Self {
        let source = root.source_text.parse().expect("the name of a root is a word of a source");
        let stream = root.source_text.parse().expect("the name of a root is a word of a stream");
        Self { root, source, stream }
    }

    /// Returns the event that says a change; `None` for a path longer than an attribute or a key may be.
    pub(super) fn tell(&self, change: &Change, now: &str) -> Option<Outgoing> {
        let path = path_text(&change.path);
        let (ty, subject, word) = match &change.what {
            What::File(change) => ("observation.file_change", format!("file:{path}"), change.word()),
            What::Dir(change) => ("observation.directory_change", format!("dir:{path}"), change.word()),
            What::Git => ("observation.git_change", format!("git:{path}#status"), "modified"),
        };
        if subject.len() > Key::LONGEST {
            return None;
        }
        let mut attributes = vec![("repo", change.repo.as_deref())];
        match &change.what {
            What::File(FileChange::Moved { from }) => attributes.push(("movedfrom", from.as_deref())),
            What::Dir(DirChange::Moved { from, from_repo }) => {
                attributes.push(("movedfrom", Some(from)));
                attributes.push(("movedfromrepo", from_repo.as_deref()));
            }
            _ => {}
        }
        let mut event = self.event(ty, now).with_subject(subject).with_extension("change", word).ok()?;
        for (name, path) in attributes {
            event = event.with_extension(name, path.map(path_text)).ok()?;
        }
        Some(self.outgoing(event))
    }

    /// Returns the event that says that anything below the root may have changed.
    pub(super) fn resync(&self, reason: &str, now: &str) -> Option<Outgoing> {
        let event = self.event("system.resync", now).with_extension("scope", self.root.scope_text()).ok()?;
        let event = event.with_json(&serde_json::json!({ "reason": reason })).ok()?;
        Some(self.outgoing(event))
    }

    fn event(&self, ty: &str, now: &str) -> Event {
        let ty: EventType = ty.parse().expect("the types of this source are types");
        Event::new(ty, self.source.clone()).with_time(now)
    }

    fn outgoing(&self, event: Event) -> Outgoing {
        Outgoing { stream: self.stream.clone(), event, durability: None, expected_seq: None }
    }
}

impl FileChange {
    fn word(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
            Self::Moved { .. } => "moved",
        }
    }
}

impl DirChange {
    fn word(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Deleted => "deleted",
            Self::Moved { .. } => "moved",
            Self::Permissions => "permissions",
        }
    }
}

/// What a look at the file system brought.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) changes: Vec<Change>,
    /// Names that no event speaks of: what is no longer watched or is watched now, and the repositories around one.
    pub(super) names: Vec<Name>,
    /// The roots that are not where they were, by their place, with the reason.
    pub(super) lost_roots: Vec<(usize, String)>,
}

impl Found {
    pub(super) fn push_tree(&mut self, dir: &Path) {
        self.names.push(Name::tree(&path_text(dir)));
    }

    pub(super) fn push_repo(&mut self, repo: &Path) {
        self.names.push(Name::repo(&path_text(repo)));
    }
}

/// Turns names into plain invalidations, each once.
pub(super) fn invalidations(names: impl IntoIterator<Item = Name>) -> Vec<Invalidation> {
    let mut seen = std::collections::HashSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).map(Invalidation::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn channel() -> (tempfile::TempDir, Channel) {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(vec![dir.path().to_owned()]).unwrap();
        let root = workspace.roots().next().unwrap().clone();
        (dir, Channel::new(root))
    }

    #[test]
    fn an_event_carries_what_the_rules_read() {
        let (_dir, channel) = channel();
        let path = Path::new(OsStr::from_bytes(b"/r/\xff\n"));
        let moved = DirChange::Moved { from: "/r/old".into(), from_repo: Some("/q".into()) };
        let cases = [
            (
                What::File(FileChange::Modified),
                "observation.file_change",
                r"file:/r/\xff\x0a",
                "modified",
                None,
            ),
            (What::Dir(moved), "observation.directory_change", r"dir:/r/\xff\x0a", "moved", Some("/r/old")),
            (What::Git, "observation.git_change", r"git:/r/\xff\x0a#status", "modified", None),
        ];
        for (what, ty, subject, word, from) in cases {
            let change = Change { path: path.to_owned(), what, repo: Some("/r".into()) };
            let outgoing = channel.tell(&change, "2026-01-01T00:00:00Z").unwrap();
            let event = outgoing.event;
            event.validate().unwrap();
            assert_eq!((event.ty.as_str(), event.subject.as_deref()), (ty, Some(subject)));
            assert_eq!(event.extension("change").as_deref(), Some(word));
            assert_eq!(event.extension("repo").as_deref(), Some("/r"));
            assert_eq!(event.extension("movedfrom").as_deref(), from);
            assert_eq!(event.source.as_str(), outgoing.stream.as_str());
            assert!(event.subject_key().is_some());
        }
        let resync = channel.resync("an overflow", "2026-01-01T00:00:00Z").unwrap().event;
        let scope = resync.extension("scope").unwrap().into_owned();
        assert_eq!(Name::scope(&scope), channel.root.scope());
    }

    #[test]
    fn a_path_too_long_for_a_key_has_no_event() {
        let (_dir, channel) = channel();
        let path = PathBuf::from(format!("/r/{}", "\n".repeat(2000)));
        let change = Change { path, what: What::File(FileChange::Created), repo: None };
        assert!(channel.tell(&change, "2026-01-01T00:00:00Z").is_none());
        assert_eq!(change.names(), [Name::from(Key::dir(Path::new("/r")).unwrap())]);
    }
}
