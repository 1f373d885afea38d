//! The daemons that this user runs, so that a command finds the one that serves its directory.
//!
//! Each writes one file into the directory `daemons` of the user's state directory, and takes it away at its end. A
//! file that a crash left behind misleads nobody: what it says counts only when the daemon at its address answers
//! with the same random instance.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use undercurrent_client::Client;

/// How long a daemon may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a daemon says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Daemon {
    /// Where it answers.
    pub(crate) url: String,
    /// The random name that `/healthz` answers with.
    pub(crate) instance: String,
    /// The namespace that it serves.
    pub(crate) namespace: String,
    /// The directories that it watches, with all links followed.
    pub(crate) roots: Vec<PathBuf>,
    /// Where its data lies.
    pub(crate) data: PathBuf,
}

/// The file of a running daemon; taken away when this is dropped.
#[derive(Debug)]
pub(crate) struct Registered(PathBuf);

impl Drop for Registered {
    fn drop(&mut self) {
        // Where it can not be taken away it is found to be stale.
        let _ = fs::remove_file(&self.0);
    }
}

/// Returns the directory of the files; `None` for a user without a home.
pub(crate) fn dir() -> Option<PathBuf> {
    let data = undercurrent::Config::default_data_dir(&[]).ok()?;
    Some(data.parent()?.join("daemons"))
}

/// Writes the file of a daemon, in the place of those that others have left behind for the same data.
pub(crate) fn register(dir: &Path, daemon: &Daemon) -> io::Result<Registered> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    for (path, other) in all(dir) {
        // The data is locked by one daemon at a time, so the other one has ended.
        if other.data == daemon.data {
            fs::remove_file(path)?;
        }
    }
    let path = dir.join(format!("{}.json", daemon.instance));
    let unfinished = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(&serde_json::to_vec(daemon)?)?;
    fs::rename(&unfinished, &path)?;
    Ok(Registered(path))
}

/// Returns the daemon with the innermost root around a directory, if it answers.
pub(crate) async fn serving(dir: &Path, here: &Path, namespace: Option<&str>) -> Option<Daemon> {
    let depth = |daemon: &Daemon| {
        let around = daemon.roots.iter().filter(|root| here.starts_with(root));
        around.map(|root| root.components().count()).max()
    };
    let mut found: Vec<(usize, Daemon)> = all(dir)
        .filter(|(_, daemon)| namespace.is_none_or(|namespace| daemon.namespace == namespace))
        .filter_map(|(_, daemon)| Some((depth(&daemon)?, daemon)))
        .collect();
    found.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
    for (_, daemon) in found {
        if answers(&daemon).await {
            return Some(daemon);
        }
    }
    None
}

/// Returns the daemon that has this data directory open, if it answers.
pub(crate) async fn holding(dir: &Path, data: &Path) -> Option<Daemon> {
    for (_, daemon) in all(dir) {
        if daemon.data == data && answers(&daemon).await {
            return Some(daemon);
        }
    }
    None
}

/// Returns every file that can be read, with what it says.
fn all(dir: &Path) -> impl Iterator<Item = (PathBuf, Daemon)> + use<> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.filter_map(|path| {
        let daemon = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        Some((path, daemon))
    })
}

async fn answers(daemon: &Daemon) -> bool {
    let Ok(client) = Client::new(&daemon.url) else { return false };
    let health = tokio::time::timeout(PATIENCE, client.health()).await;
    matches!(health, Ok(Ok(health)) if health.instance == daemon.instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(instance: &str, data: &str) -> Daemon {
        Daemon {
            url: "http://127.0.0.1:1".into(),
            instance: instance.into(),
            namespace: "default".into(),
            roots: vec!["/home/a".into()],
            data: data.into(),
        }
    }

    #[test]
    fn a_file_stands_as_long_as_its_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("daemons");
        let first = register(&dir, &daemon("1", "/data/a")).unwrap();
        let second = register(&dir, &daemon("2", "/data/b")).unwrap();
        assert_eq!(all(&dir).count(), 2);
        drop(first);
        assert_eq!(all(&dir).map(|(_, daemon)| daemon).collect::<Vec<_>>(), [daemon("2", "/data/b")]);
        std::mem::forget(second);
        let _third = register(&dir, &daemon("3", "/data/b")).unwrap();
        assert_eq!(all(&dir).map(|(_, daemon)| daemon.instance).collect::<Vec<_>>(), ["3"]);
    }

    #[tokio::test]
    async fn a_file_left_behind_misleads_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let _left = register(dir.path(), &daemon("1", "/data/a")).unwrap();
        fs::write(dir.path().join("torn.json"), "{").unwrap();
        assert_eq!(serving(dir.path(), Path::new("/home/a/src"), None).await, None);
        assert_eq!(holding(dir.path(), Path::new("/data/a")).await, None);
    }
}
