//! Which repository a path belongs to.

use std::fs;
use std::path::{Path, PathBuf};

use super::Workspace;

impl Workspace {
    /// Returns the nearest directory at or above a path that has a `.git`; it may lie above the root.
    ///
    /// Asks the file system once for each directory on the way.
    pub fn repo_of(&self, path: &Path) -> Option<PathBuf> {
        self.root_of(path)?;
        path.ancestors().find(|dir| dir.join(".git").symlink_metadata().is_ok()).map(Path::to_owned)
    }
}

/// Returns the directories in which git keeps the state of a repository: its `.git`, or for a linked worktree or a
/// submodule what its `.git` file names, with the directory shared with the main worktree. Empty where that can not be
/// read.
pub(crate) fn git_dirs(repo: &Path) -> Vec<PathBuf> {
    let dot_git = repo.join(".git");
    let Ok(metadata) = dot_git.symlink_metadata() else { return Vec::new() };
    if metadata.is_dir() {
        return vec![dot_git];
    }
    let Some(git_dir) = path_in(&dot_git, "gitdir:") else { return Vec::new() };
    let mut dirs = vec![git_dir.clone()];
    if let Some(common) = path_in(&git_dir.join("commondir"), "") {
        dirs.push(common);
    }
    dirs
}

/// Reads the path that a small file of git's names, relative to where the file lies.
fn path_in(file: &Path, before: &str) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = fs::read(file).ok()?;
    let line = bytes.strip_prefix(before.as_bytes())?.trim_ascii();
    file.parent()?.join(std::ffi::OsStr::from_bytes(line)).canonicalize().ok()
}
