//! What a repository says about itself.

mod command;
mod repository;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use undercurrent_types::{Key, Level};

use self::command::Git;
use self::repository::{Found, Repository};
use crate::cache::{Inputs, LoadError, Loaded, Loader};
use crate::workspace::Workspace;

/// How long a load may take, all its commands together.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// How many loads run at once; a load waits for its turn without counting that as its time. More would only make each
/// slower, since a status reads the whole tree.
const AT_ONCE: usize = 4;

/// How often a load is begun again because the repository was exchanged for another.
const TRIES: u32 = 3;

/// Loads `git:/root#<part>` with the `git` program, for the top directory of a work tree below a root:
///
/// | part | value |
/// |---|---|
/// | `status` | `git status --porcelain=v2 --branch`, untracked directories as one line |
/// | `head` | the id of the checked-out commit, without a line feed; empty before the first commit |
/// | `branch` | the name of the checked-out branch, without a line feed; empty when the head is detached |
/// | `diff` | `git diff HEAD`: tracked files against the last commit, against nothing before the first |
/// | `log` | the last 50 commits: id, committer's time in seconds, author, subject, with tabs between them |
///
/// What is no work tree's top is not there, which is a value; a directory inside a work tree is an error that names
/// its top. Submodules are compared by their commit alone: each is a repository of its own. There is no validator, so
/// asking is loading.
///
/// Repositories are not trusted. Git runs without hooks, file system monitor, pager, external diff, text conversion,
/// signature checks and network, and without the filters that the repository's own configuration names; those of the
/// user's configuration run. It writes nothing, the index included. Its output is limited to 16 MiB and its time to
/// 30 s. A git directory outside every root is used only if it knows this work tree as its own. Not covered: links and
/// alternates inside a git directory that lead out of the roots, and a repository's configuration that changes between
/// being looked through and being used.
#[derive(Debug)]
pub struct GitLoader {
    workspace: Arc<Workspace>,
    turns: Semaphore,
}

impl GitLoader {
    /// Loads what lies below the roots of a workspace.
    pub fn new(workspace: Arc<Workspace>) -> Self {
        Self { workspace, turns: Semaphore::new(AT_ONCE) }
    }

    pub(super) async fn read(&self, key: &Key) -> Result<Loaded, LoadError> {
        let broken = |reason: String| LoadError::Broken { key: key.clone(), reason };
        let _turn = self.turns.acquire().await.map_err(|e| broken(e.to_string()))?;
        let limited = tokio::time::timeout(TIME_LIMIT, self.read_steadily(key)).await;
        limited.unwrap_or_else(|_| Err(LoadError::TimedOut { key: key.clone(), limit: TIME_LIMIT }))
    }

    /// Reads until the repository at the end is the one of the beginning.
    async fn read_steadily(&self, key: &Key) -> Result<Loaded, LoadError> {
        for _ in 0..TRIES {
            let mut repository = match self.find(key).await? {
                Found::Repository(repository) => repository,
                Found::Nothing(names) => return Ok(Loaded { names, ..Loaded::default() }),
            };
            let value = self.ask(key, &mut repository).await?;
            match self.find(key).await? {
                Found::Repository(now) if now.is_same(&repository) => {
                    return Ok(Loaded { value: Some(value), names: repository.names, ..Loaded::default() });
                }
                _ => {}
            }
        }
        Err(LoadError::Unstable { key: key.clone(), tries: TRIES })
    }

    async fn find(&self, key: &Key) -> Result<Found, LoadError> {
        let (workspace, owned) = (Arc::clone(&self.workspace), key.clone());
        let ended = tokio::task::spawn_blocking(move || Repository::find(&workspace, &owned)).await;
        ended.unwrap_or_else(|e| Err(LoadError::Broken { key: key.clone(), reason: e.to_string() }))
    }

    async fn ask(&self, key: &Key, repository: &mut Repository) -> Result<Bytes, LoadError> {
        let git = Git::new(key, repository);
        match key.git_part() {
            Some("head") => Ok(git.head().await?.into()),
            Some("branch") => git.branch().await,
            Some("log") => match git.head().await?.as_str() {
                "" => Ok(Bytes::new()),
                _ => git.log().await,
            },
            Some("status" | "diff") => {
                let git = git.without_filters().await?;
                let tracked = git.tracked_though_ignored().await?;
                repository.also_reads(&self.workspace, &tracked);
                match key.git_part() {
                    Some("diff") => git.diff(&git.head().await?).await,
                    _ => git.status().await,
                }
            }
            part => Err(LoadError::Failed {
                key: key.clone(),
                reason: format!("a repository has no part `{}`", part.unwrap_or_default()),
            }),
        }
    }
}

impl Loader for GitLoader {
    fn name(&self) -> &'static str {
        "git"
    }

    fn default_level(&self) -> Level {
        Level::Synced
    }

    fn offers(&self, _key: &Key, _level: Level) -> Result<(), String> {
        Ok(())
    }

    fn load<'a>(&'a self, key: &'a Key, _inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        self.read(key).boxed()
    }
}
