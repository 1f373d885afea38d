//! The names of the keys of one namespace.

use undercurrent_types::{Key, Name, StreamName};

use super::names::Workspaces;

/// Makes the keys of a namespace. All of them carry the same hash tag, so they share a slot of a cluster and a thread of
/// a Dragonfly.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) workspaces: Workspaces,
    tag: Box<str>,
    /// `control`, `last`, `log`, `sources`: the first keys of every script.
    pub(super) order: [String; 4],
}

impl Keys {
    /// Returns the keys of a namespace below a prefix.
    pub(super) fn new(prefix: &str, namespace: &str, workspace: &str) -> Self {
        let tag = format!("{{{prefix}:{namespace}}}");
        let order = ["control", "last", "log", "sources"].map(|word| format!("{tag}:{word}"));
        Self { workspaces: Workspaces::new(workspace), tag: tag.into(), order }
    }

    /// Returns the key of this rest.
    pub(super) fn of(&self, rest: &str) -> String {
        format!("{}:{rest}", self.tag)
    }

    pub(super) fn log(&self) -> &str {
        &self.order[2]
    }

    /// The names of all streams.
    pub(super) fn streams(&self) -> String {
        self.of("streams")
    }

    pub(super) fn stream(&self, stream: &StreamName) -> String {
        self.of(&format!("stream:{stream}"))
    }

    pub(super) fn meta(&self, stream: &StreamName) -> String {
        // Not behind the name, which may end with any word.
        self.of(&format!("meta:{stream}"))
    }

    /// The two halves of the ids of a stream.
    pub(super) fn ids(&self, stream: &StreamName) -> [String; 2] {
        ["a", "b"].map(|half| self.of(&format!("ids:{half}:{stream}")))
    }

    /// The keys whose last state is known, by time.
    pub(super) fn facts(&self) -> String {
        self.of("latest")
    }

    pub(super) fn latest(&self, key: &Key) -> String {
        self.of(&format!("latest:{key}"))
    }

    /// The bytes of each table.
    pub(super) fn tables(&self) -> String {
        self.of("tables")
    }

    pub(super) fn table(&self, table: &str) -> String {
        self.of(&format!("table:{table}"))
    }

    /// The keys whose values other programs see and that depend on a name.
    pub(super) fn plain(&self, name: &Name) -> String {
        self.of(&format!("plain:{}", self.workspaces.outward(name.as_str())))
    }

    /// Whose turn it is to let go what need not be kept.
    pub(super) fn turn(&self) -> String {
        self.of("turn")
    }

    /// What is written so that others may be waited for.
    pub(super) fn waited(&self) -> String {
        self.of("waited")
    }

    pub(super) fn context(&self, key: &Key) -> String {
        self.of(&format!("context:{}", self.workspaces.outward(key.as_str())))
    }

    pub(super) fn lease(&self, key: &Key) -> String {
        self.of(&format!("lease:{}", self.workspaces.outward(key.as_str())))
    }
}
