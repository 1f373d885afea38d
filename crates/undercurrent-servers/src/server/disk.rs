//! Starting a server again: with what it has on disk, with nothing, or with what it had once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::Server;
use crate::error::ServerError;
use crate::process::Process;

/// What a server kept on disk at some moment.
#[derive(Debug)]
pub struct Snapshot {
    folder: TempDir,
}

impl Server {
    /// Kills it, if it runs, and starts it with what it has on disk; returns when it answers.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&self) -> Result<(), ServerError> {
        self.kill();
        let output = self.folder.path().join("output");
        let process = Process::start(self.program.path(), &self.args, self.folder.path(), output)?;
        *self.process.lock() = Arc::new(process);
        self.answers().await
    }

    /// Kills it and starts it with an empty disk.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart_empty(&self) -> Result<(), ServerError> {
        self.restart_with(|_| Ok(())).await
    }

    /// Keeps what it has now: a saved snapshot, or the append-only file as it stands.
    ///
    /// # Errors
    ///
    /// Fails where the server can not save.
    pub async fn snapshot(&self) -> Result<Snapshot, ServerError> {
        if !self.setup.durable {
            let () = self.command(&["SAVE"]).await?;
        }
        let failed = "copying what a server has on disk";
        let folder = tempfile::tempdir().map_err(ServerError::system(failed))?;
        copy(&self.data(), folder.path()).map_err(ServerError::system(failed))?;
        Ok(Snapshot { folder })
    }

    /// Kills it and starts it with a snapshot, of this server or of another.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart_from(&self, snapshot: &Snapshot) -> Result<(), ServerError> {
        self.restart_with(|data| copy(snapshot.folder.path(), data)).await
    }

    async fn restart_with(&self, fill: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), ServerError> {
        self.kill();
        let data = self.data();
        let emptied = std::fs::remove_dir_all(&data).and_then(|()| std::fs::create_dir(&data));
        emptied
            .and_then(|()| fill(&data))
            .map_err(ServerError::system("replacing what a server has on disk"))?;
        self.restart().await
    }

    /// Returns the folder in which the server keeps what it saves.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

/// Copies a folder with what is in it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
