//! What the watcher says, in this source's own words.

use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind, RenameMode};

/// One thing that the watcher says. It is a hint where to look: paths may have moved on since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Something is at this path now; `is_dir` where the watcher knows it.
    Appeared { path: PathBuf, is_dir: Option<bool>, tracker: Option<usize> },
    /// What was at this path is not there any more.
    Vanished { path: PathBuf, is_dir: Option<bool>, tracker: Option<usize> },
    /// The content was written, or may have been.
    Written { path: PathBuf },
    /// Permissions, owner or times were set.
    Restamped { path: PathBuf },
    /// The cookie with this number was written: everything before it has been said.
    Cookie(u64),
    /// Something was not said, with the reason.
    Lost(String),
}

/// Where cookies lie, and what the names of this start's begin with.
#[derive(Clone, Debug)]
pub(super) struct CookieJar {
    pub(super) dir: PathBuf,
    pub(super) prefix: String,
}

impl CookieJar {
    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{}{number}", self.prefix))
    }

    fn number(&self, path: &Path) -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix(&self.prefix)?.parse().ok()
    }
}

impl Signal {
    /// Says whether something has moved away, to where the next signal may tell.
    pub(super) fn is_departure(&self) -> bool {
        matches!(self, Self::Vanished { tracker: Some(_), .. })
    }

    /// Translates what notify says; `None` for what changes nothing, such as reading.
    pub(super) fn read(event: notify::Result<notify::Event>, cookies: &CookieJar) -> Option<Self> {
        let event = match event {
            Ok(event) => event,
            Err(error) => return Some(Self::Lost(format!("the watcher failed: {error}"))),
        };
        if event.need_rescan() {
            return Some(Self::Lost("the kernel's queue of changes overflowed".into()));
        }
        let tracker = event.attrs.tracker();
        let kind = event.kind;
        let path = event.paths.into_iter().next()?;
        if path.parent() == Some(&cookies.dir) {
            let is_new = matches!(kind, EventKind::Create(_));
            return cookies.number(&path).filter(|_| is_new).map(Self::Cookie);
        }
        match kind {
            EventKind::Create(kind) => {
                let is_dir = match kind {
                    CreateKind::Folder => Some(true),
                    CreateKind::File => Some(false),
                    _ => None,
                };
                Some(Self::Appeared { path, is_dir, tracker })
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                Some(Self::Appeared { path, is_dir: None, tracker })
            }
            // Without a tracker it is a watched directory that says so of itself.
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                Some(Self::Vanished { path, is_dir: tracker.is_none().then_some(true), tracker })
            }
            // The same once more.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => None,
            EventKind::Remove(RemoveKind::Folder) => {
                Some(Self::Vanished { path, is_dir: Some(true), tracker })
            }
            // Also said, as a file, of a watched directory that is gone.
            EventKind::Remove(_) => Some(Self::Vanished { path, is_dir: None, tracker }),
            EventKind::Modify(ModifyKind::Metadata(_)) => Some(Self::Restamped { path }),
            // A write through a memory map says nothing until the file is closed.
            EventKind::Modify(_) | EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                Some(Self::Written { path })
            }
            EventKind::Access(_) => None,
            EventKind::Any | EventKind::Other => {
                Some(Self::Lost(format!("the watcher said something unknown about `{}`", path.display())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::Event;
    use notify::event::{DataChange, Flag, MetadataKind};

    #[test]
    fn what_notify_says_is_translated() {
        let cookies = CookieJar { dir: "/d/cookies".into(), prefix: "a-".into() };
        let path = || PathBuf::from("/r/x");
        let said = |is_dir, tracker| (path(), is_dir, tracker);
        let appeared = |(path, is_dir, tracker)| Some(Signal::Appeared { path, is_dir, tracker });
        let vanished = |(path, is_dir, tracker)| Some(Signal::Vanished { path, is_dir, tracker });
        let written = Some(Signal::Written { path: path() });
        let name = |mode| EventKind::Modify(ModifyKind::Name(mode));
        let cases = [
            (EventKind::Create(CreateKind::Folder), None, appeared(said(Some(true), None))),
            (EventKind::Create(CreateKind::File), None, appeared(said(Some(false), None))),
            (name(RenameMode::To), Some(7), appeared(said(None, Some(7)))),
            (name(RenameMode::From), Some(7), vanished(said(None, Some(7)))),
            (name(RenameMode::From), None, vanished(said(Some(true), None))),
            (name(RenameMode::Both), Some(7), None),
            (EventKind::Remove(RemoveKind::Folder), None, vanished(said(Some(true), None))),
            (EventKind::Remove(RemoveKind::File), None, vanished(said(None, None))),
            (EventKind::Modify(ModifyKind::Data(DataChange::Any)), None, written.clone()),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), None, written),
            (EventKind::Access(AccessKind::Close(AccessMode::Read)), None, None),
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), None, None),
            (
                EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
                None,
                Some(Signal::Restamped { path: path() }),
            ),
        ];
        for (kind, tracker, expected) in cases {
            let mut event = Event::new(kind).add_path(path());
            if let Some(tracker) = tracker {
                event = event.set_tracker(tracker);
            }
            assert_eq!(Signal::read(Ok(event), &cookies), expected, "{kind:?}");
        }
    }

    #[test]
    fn only_a_new_cookie_of_this_start_counts() {
        let cookies = CookieJar { dir: "/d/cookies".into(), prefix: "a-".into() };
        let event = |kind, path: &str| Ok(Event::new(kind).add_path(path.into()));
        let created = EventKind::Create(CreateKind::File);
        let removed = EventKind::Remove(RemoveKind::File);
        assert_eq!(cookies.path(3), Path::new("/d/cookies/a-3"));
        assert_eq!(Signal::read(event(created, "/d/cookies/a-3"), &cookies), Some(Signal::Cookie(3)));
        assert_eq!(Signal::read(event(removed, "/d/cookies/a-3"), &cookies), None);
        assert_eq!(Signal::read(event(created, "/d/cookies/b-3"), &cookies), None);
    }

    #[test]
    fn whatever_was_not_said_is_a_loss() {
        let cookies = CookieJar { dir: "/d".into(), prefix: "a".into() };
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(matches!(Signal::read(Ok(overflow), &cookies), Some(Signal::Lost(_))));
        let failed = notify::Error::generic("x");
        assert!(matches!(Signal::read(Err(failed), &cookies), Some(Signal::Lost(_))));
    }
}
