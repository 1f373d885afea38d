//! The changes of the files below the roots.
//!
//! Owns one inotify instance with a watch for each directory that git does not ignore. Promises that a change in a
//! watched directory is published, in the order in which the kernel tells of it; that a directory counts as watched
//! only while that holds; and that a root is in doubt from before the source starts until everything in it is watched,
//! and again whenever something may have been missed. Never reads the content of a file, except those that tell git
//! what to ignore and where a repository lies.
//!
//! What it can not see, and where keys are therefore verified at each read: directories that git ignores, that can not
//! be watched, or that lie on a file system others write to; files with several hard links; the state of a repository
//! whose `.git` names a place outside the roots; the inside of a `.git`. Writes through a memory map are seen when the
//! file is closed.
//!
//! The life of a change: `watcher` (the kernel's word) → `signal` → `touched` (a batch, path by path) → `look`
//! (what is really there) → `scan` (what is new) → `change` (the event) → `pipeline`, which runs all of it and
//! publishes.

mod change;
mod cookie;
mod filesystem;
mod guard;
mod health;
mod ignored;
mod lease;
mod look;
mod pipeline;
mod publish;
mod reconsider;
mod repos;
mod scan;
mod signal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod touched;
mod tree;
mod watcher;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use undercurrent_types::wire::SourceStatus;

use super::Source;
use crate::cache::Barrier;
use crate::event_stream::EventStream;
use crate::workspace::Workspace;
use change::Channel;
use cookie::{Cookies, RootBarrier};
use guard::Guard;
use health::{Board, Health};
use lease::{Keeper, Lease, Watched};
use pipeline::{Pipeline, Standing};
use publish::Publish;
use signal::CookieJar;
use touched::Sorter;
use tree::Tree;

/// How the roots are watched.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Where the files lie that barriers write and remove; outside every root. Made if it is not there.
    pub cookie_dir: PathBuf,
    /// How long a barrier waits for the watcher.
    pub barrier_time: Duration,
    /// How many signals wait between the watcher's thread and the pipeline. The thread can not be paused, so when there
    /// are more, they count as lost: every root is put in doubt and walked again.
    pub queue: usize,
    /// How often a root that is gone is looked for, and every root is looked at.
    pub retry: Duration,
    /// For how long the watcher is believed without a sign of life; it is asked for one three times in that.
    pub lease: Duration,
    #[cfg(test)]
    faults: testing::Faults,
}

impl LocalOptions {
    /// Returns the usual options, with the directory of the cookies.
    pub fn new(cookie_dir: PathBuf) -> Self {
        Self {
            cookie_dir,
            barrier_time: Duration::from_secs(5),
            queue: 65_536,
            retry: Duration::from_secs(1),
            lease: Duration::from_secs(30),
            #[cfg(test)]
            faults: testing::Faults::default(),
        }
    }
}

/// Why the roots can not be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The cookies would be seen as changes.
    #[error(
        "the directory of the cookies `{dir}` lies in the root `{root}`, where each cookie would be a change"
    )]
    CookiesInRoot {
        /// The directory of the cookies.
        dir: PathBuf,
        /// The root around it.
        root: PathBuf,
    },
    /// The directory of the cookies can not be used.
    #[error("the directory of the cookies `{dir}` can not be used")]
    Cookies {
        /// The directory of the cookies.
        dir: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// There is no watcher to be had.
    #[error("{0}")]
    Watcher(String),
    /// The roots can not be put in doubt.
    #[error("the roots can not be put in doubt: {0}")]
    Publish(String),
}

/// Watches the roots of a workspace. Dropping it stops it too, a little later.
pub struct Local {
    workspace: Arc<Workspace>,
    board: Arc<Board>,
    cookies: Arc<Cookies>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Dropped with the source, which ends the keeper's thread.
    #[expect(dead_code, reason = "held, not used")]
    keeper: std::sync::mpsc::SyncSender<()>,
    #[cfg(test)]
    pipeline: tokio::task::AbortHandle,
}

impl Local {
    /// Puts every root in doubt and begins to watch. The first walk goes on behind it.
    ///
    /// # Errors
    ///
    /// Fails when the cookies have no place, no watcher can be had or nothing can be published; nothing runs then.
    pub async fn start(
        stream: EventStream,
        workspace: Arc<Workspace>,
        options: LocalOptions,
    ) -> Result<Arc<Self>, StartError> {
        Self::start_with(Arc::new(stream), workspace, options).await
    }

    async fn start_with(
        publisher: Arc<dyn Publish>,
        workspace: Arc<Workspace>,
        options: LocalOptions,
    ) -> Result<Arc<Self>, StartError> {
        let jar = lay_out(&workspace, &options)?;
        let channels: Vec<Channel> = workspace.roots().cloned().map(Channel::new).collect();
        let (queue, jar_) = (options.queue, jar.clone());
        let opened = tokio::task::spawn_blocking(move || pipeline::open(queue, &jar_)).await;
        let opened = opened.unwrap_or_else(|error| Err(error.to_string()));
        #[cfg_attr(not(test), expect(unused_mut, reason = "tests put faults in"))]
        let (mut watcher, signals) = opened.map_err(StartError::Watcher)?;
        #[cfg(test)]
        watcher.faults.clone_from(&options.faults);
        let mut tree = Box::new(Tree::new(workspace.clone(), watcher));

        let now = pipeline::now();
        let why = "watching begins; what changed before is not known";
        let events = channels.iter().filter_map(|channel| channel.resync(why, &now)).collect();
        let doubted = publisher.publish(events, guard::doubts(&workspace), why).await;
        doubted.map_err(|refusal| StartError::Publish(refusal.to_string()))?;

        let standings = (0..channels.len()).map(|place| match tree.begin_walk(place) {
            Ok(()) => Standing::First,
            Err(reason) => Standing::Lost(reason),
        });
        let standings = standings.collect();
        let board = Arc::new(Board::new(channels.len()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (cookies, writer) = Cookies::new(jar.clone(), options.barrier_time, stop.clone());
        let lease = Arc::new(Lease::new(options.lease));
        let keeper = Keeper {
            lease: lease.clone(),
            publisher: publisher.clone(),
            workspace: workspace.clone(),
            board: board.clone(),
            cookies: cookies.clone(),
            runtime: Handle::current(),
        };
        let (keeper_tx, ended_rx) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("lease-keeper".to_owned());
        thread
            .spawn(move || keeper.run(&ended_rx))
            .map_err(|error| StartError::Watcher(format!("no thread can be had: {error}")))?;
        let guard = Guard {
            publisher: publisher.clone(),
            workspace: workspace.clone(),
            board: board.clone(),
            cookies: cookies.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            runtime: Handle::current(),
            reason: "the task that watches broke off".into(),
            is_over: false,
        };
        let mut scopes: Vec<_> = workspace.roots().map(|root| root.scope()).collect();
        scopes.push(Workspace::source_scope());
        let watched = Watched { board: board.clone(), publisher: publisher.clone(), scopes };
        let pipeline = Pipeline {
            publisher,
            options,
            channels,
            jar,
            cookies: cookies.clone(),
            board: board.clone(),
            lease: lease.clone(),
            stop: stop.clone(),
            tree: Some(tree),
            signals: Some(signals),
            sorter: Sorter::default(),
            standings,
            untold: None,
            rounds: 0,
        };
        tasks.spawn(writer);
        let (beat, stopped) = (lease.beat(cookies.clone(), watched), stop.clone());
        tasks.spawn(async move {
            stopped.run_until_cancelled(beat).await;
        });
        let pipeline = tasks.spawn(pipeline.run(guard));
        #[cfg(not(test))]
        drop(pipeline);
        Ok(Arc::new(Self {
            workspace,
            board,
            cookies,
            stop,
            tasks,
            keeper: keeper_tx,
            #[cfg(test)]
            pipeline: pipeline.abort_handle(),
        }))
    }

    /// Returns the barrier of each root.
    pub fn barriers(&self) -> Vec<Arc<dyn Barrier>> {
        let barrier =
            |scope| -> Arc<dyn Barrier> { Arc::new(RootBarrier { scope, cookies: self.cookies.clone() }) };
        self.workspace.roots().map(|root| barrier(root.scope())).collect()
    }

    /// Waits until no walk is outstanding: each root is vouched for, or down.
    pub async fn walked(&self) {
        self.board.wait(|health| !matches!(health, Health::Starting | Health::Again(_))).await;
    }
}

impl Source for Local {
    fn status(&self) -> Vec<SourceStatus> {
        self.board.status(&self.workspace)
    }

    fn status_after<'a>(&'a self, known: &'a [SourceStatus]) -> BoxFuture<'a, Vec<SourceStatus>> {
        Box::pin(self.board.status_after(&self.workspace, known))
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.stop.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Makes the directory of the cookies, outside every root, and takes away what a crash has left in it.
fn lay_out(workspace: &Workspace, options: &LocalOptions) -> Result<CookieJar, StartError> {
    let dir = &options.cookie_dir;
    let refuse = |error| StartError::Cookies { dir: dir.clone(), error };
    let in_root = |dir: &PathBuf| {
        let root = workspace.root_of(dir)?;
        Some(StartError::CookiesInRoot { dir: dir.clone(), root: root.path.clone() })
    };
    // Before anything is made, so that a refusal leaves nothing behind.
    if let Some(error) = std::path::absolute(dir).ok().and_then(|dir| in_root(&dir)) {
        return Err(error);
    }
    std::fs::create_dir_all(dir).map_err(refuse)?;
    let dir = dir.canonicalize().map_err(refuse)?;
    if let Some(error) = in_root(&dir) {
        return Err(error);
    }
    for entry in std::fs::read_dir(&dir).map_err(refuse)? {
        let path = entry.map_err(refuse)?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(COOKIE.as_bytes())) {
            std::fs::remove_file(path).map_err(refuse)?;
        }
    }
    Ok(CookieJar { dir, prefix: format!("{COOKIE}{}-", uuid::Uuid::new_v4().simple()) })
}

/// What the names of all cookies begin with.
const COOKIE: &str = "cookie-";
