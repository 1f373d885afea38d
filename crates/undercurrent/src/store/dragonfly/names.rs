//! Names as the nodes of all machines share them: what is made from a path carries the workspace that it is of.
//!
//! Inside a node a path is of its own machine, and `file:/src/main.rs` needs no more. On the server the same key is
//! `file://<workspace>/src/main.rs`, so that two machines with one path never meet. The change is made here and nowhere
//! else, on the way out and on the way in.

use std::borrow::Cow;

use undercurrent_types::{Key, Name, OF_WORKSPACES};

/// What names that are made from a path begin with, besides the kinds of keys.
const BEFORE_PATHS: [&str; 4] = ["tag:tree:", "tag:repo:", "unwatched:", "scope:local:"];
/// The scope of the source that watches all roots of a machine.
const WATCHER: &str = "scope:local";

/// The workspace of this node.
#[derive(Clone, Debug)]
pub(super) struct Workspaces {
    /// `//` and its name.
    own: Box<str>,
}

impl Workspaces {
    pub(super) fn new(own: &str) -> Self {
        Self { own: format!("//{own}").into() }
    }

    /// Returns a name as the server knows it.
    pub(super) fn outward<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if name == WATCHER {
            return Cow::Owned(format!("{WATCHER}:{}", self.own));
        }
        match split(name) {
            Some((before, rest)) if !rest.starts_with("//") => {
                Cow::Owned(format!("{before}{}{}{rest}", self.own, slash(rest)))
            }
            _ => Cow::Borrowed(name),
        }
    }

    /// Returns a name as this node knows it.
    pub(super) fn inward<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match split(name) {
            Some((before, rest)) => match rest.strip_prefix(&*self.own) {
                Some("") => Cow::Borrowed(WATCHER),
                Some(own) if before == "command:" => Cow::Owned(format!("{before}{}", &own[1..])),
                Some(own) if own.starts_with('/') => Cow::Owned(format!("{before}{own}")),
                _ => Cow::Borrowed(name),
            },
            None => Cow::Borrowed(name),
        }
    }

    /// Returns a name as this node knows it, where it is one.
    pub(super) fn name(&self, text: &str) -> Option<Name> {
        self.inward(text).parse().ok()
    }

    /// Returns a key as the server knows it.
    pub(super) fn outward_key(&self, key: &Key) -> Key {
        match self.outward(key.as_str()) {
            Cow::Borrowed(_) => key.clone(),
            Cow::Owned(text) => text.parse().expect("a key with a workspace is a key"),
        }
    }

    /// Returns a key as this node knows it.
    pub(super) fn inward_key(&self, key: Key) -> Key {
        match self.inward(key.as_str()) {
            Cow::Borrowed(_) => key,
            Cow::Owned(text) => text.parse().expect("a key without its workspace is a key"),
        }
    }
}

/// Splits a name that is made from a path before it.
fn split(name: &str) -> Option<(&str, &str)> {
    let kind =
        OF_WORKSPACES.iter().find(|kind| name.strip_prefix(**kind).is_some_and(|rest| rest.starts_with(':')));
    let before = match kind {
        Some(kind) => kind.len() + 1,
        None => BEFORE_PATHS.iter().find(|before| name.starts_with(**before))?.len(),
    };
    Some(name.split_at(before))
}

/// What stands between a workspace and what is no path.
fn slash(rest: &str) -> &'static str {
    if rest.starts_with('/') { "" } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_from_a_path_carries_the_workspace() {
        let names = Workspaces::new("w-1");
        let cases = [
            ("file:/a/b", "file://w-1/a/b"),
            ("dir:/", "dir://w-1/"),
            ("git:/r#status", "git://w-1/r#status"),
            ("command:build", "command://w-1/build"),
            ("tag:tree:/a", "tag:tree://w-1/a"),
            ("tag:repo:/a", "tag:repo://w-1/a"),
            ("unwatched:/a", "unwatched://w-1/a"),
            ("scope:local:/a", "scope:local://w-1/a"),
            ("scope:local", "scope:local://w-1"),
            ("state:task-7", "state:task-7"),
            ("tag:team", "tag:team"),
            ("filed:/a", "filed:/a"),
            ("file://other/a", "file://other/a"),
        ];
        for (own, shared) in cases {
            assert_eq!(names.outward(own), shared, "from `{own}`");
            assert_eq!(names.inward(shared), own, "from `{shared}`");
            assert!(names.name(shared).is_some(), "`{shared}`");
        }
    }

    #[test]
    fn the_names_of_another_workspace_stay_its_own() {
        let names = Workspaces::new("w");
        for other in ["file://w-1/a", "scope:local://w-1", "tag:tree://ww/a", "command://x/w"] {
            assert_eq!((names.inward(other), names.outward(other)), (other.into(), other.into()));
        }
    }
}
