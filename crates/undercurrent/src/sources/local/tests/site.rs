//! A real directory that is watched, and what was published about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;
use undercurrent_types::{Event, Name, path_text};

use crate::cache::BarrierError;
use crate::event_stream::Outgoing;
use crate::sources::Source;
use crate::sources::local::publish::{Publish, Refusal};
use crate::sources::local::{Local, LocalOptions};
use crate::store::{Invalidation, Mark};
use crate::workspace::Workspace;

/// What was published, in order.
pub(super) struct Recorder {
    batches: Mutex<Vec<Batch>>,
    /// What every batch is answered that the function does not let pass.
    refusal: Mutex<Option<(Which, Refusal)>>,
    is_open: watch::Sender<bool>,
    /// How many batches have begun, those at the gate included.
    begun: watch::Sender<usize>,
}

/// Which batches are meant, by their events.
type Which = fn(&[Outgoing]) -> bool;

#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    pub(super) names: Vec<Invalidation>,
    pub(super) cause: String,
}

impl Recorder {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            batches: Mutex::default(),
            refusal: Mutex::default(),
            is_open: watch::Sender::new(true),
            begun: watch::Sender::new(0),
        })
    }

    /// Has every batch wait until [`Recorder::release`].
    pub(super) fn hold(&self) {
        self.is_open.send_replace(false);
    }

    pub(super) fn release(&self) {
        self.is_open.send_replace(true);
    }

    /// Waits until a batch stands at the gate or has passed it, after so many.
    pub(super) async fn begun_after(&self, before: usize) {
        self.begun.subscribe().wait_for(|begun| *begun > before).await.unwrap();
    }

    pub(super) fn begun(&self) -> usize {
        *self.begun.borrow()
    }

    /// Refuses the batches with such events.
    pub(super) fn refuse(&self, which: Which, refusal: Refusal) {
        *self.refusal.lock() = Some((which, refusal));
    }

    pub(super) fn accept(&self) {
        *self.refusal.lock() = None;
    }

    pub(super) fn batches(&self) -> Vec<Batch> {
        self.batches.lock().clone()
    }

    /// Says which mark a name had last.
    pub(super) fn mark(&self, name: &Name) -> Option<Mark> {
        self.marks(name).pop()
    }

    /// Returns the marks that a name was given, in order.
    pub(super) fn marks(&self, name: &Name) -> Vec<Mark> {
        let batches = self.batches.lock();
        let names = batches.iter().flat_map(|batch| &batch.names);
        names.filter(|one| one.name == *name && one.mark != Mark::Keep).map(|one| one.mark).collect()
    }
}

impl Publish for Recorder {
    fn publish<'a>(
        &'a self,
        events: Vec<Outgoing>,
        names: Vec<Invalidation>,
        cause: &'a str,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            self.begun.send_modify(|begun| *begun += 1);
            self.is_open.subscribe().wait_for(|is_open| *is_open).await.unwrap();
            if let Some((which, refusal)) = &*self.refusal.lock()
                && which(&events)
            {
                return Err(refusal.clone());
            }
            for outgoing in &events {
                outgoing.event.validate().expect("only valid events are published");
                assert_eq!(outgoing.stream.as_str(), outgoing.event.source.as_str());
            }
            assert!(events.len() <= 512, "a batch has {} events", events.len());
            let events = events.into_iter().map(|outgoing| outgoing.event).collect();
            self.batches.lock().push(Batch { events, names, cause: cause.to_owned() });
            Ok(())
        })
    }
}

/// A root beside a directory that is outside of it.
pub(super) struct Site {
    dir: TempDir,
    pub(super) root: PathBuf,
    pub(super) outside: PathBuf,
    pub(super) options: LocalOptions,
    pub(super) recorder: Arc<Recorder>,
    /// How many batches were looked at.
    seen: Mutex<usize>,
}

impl Site {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().canonicalize().unwrap();
        let (root, outside) = (at.join("root"), at.join("outside"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&outside).unwrap();
        let mut options = LocalOptions::new(at.join("data/cookies"));
        options.barrier_time = Duration::from_secs(60);
        options.retry = Duration::from_millis(5);
        Self { dir, root, outside, options, recorder: Recorder::new(), seen: Mutex::new(0) }
    }

    /// Returns where everything lies.
    pub(super) fn at(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(super) fn mkdir(&self, path: &str) {
        fs::create_dir_all(self.path(path)).unwrap();
    }

    pub(super) fn write(&self, path: &str, content: &str) {
        fs::write(self.path(path), content).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Starts without waiting for the walk.
    pub(super) async fn begin(&self) -> Watched<'_> {
        let workspace = Arc::new(Workspace::new(vec![self.root.clone()]).unwrap());
        self.begin_with(workspace).await
    }

    pub(super) async fn begin_with(&self, workspace: Arc<Workspace>) -> Watched<'_> {
        let publisher = self.recorder.clone();
        let local = Local::start_with(publisher, workspace.clone(), self.options.clone()).await.unwrap();
        Watched { site: self, workspace, local }
    }

    /// Starts, waits until everything is watched, and forgets what that published.
    pub(super) async fn watch(&self) -> Watched<'_> {
        let watched = self.begin().await;
        watched.local.walked().await;
        watched.told().await;
        watched
    }

    pub(super) fn short(&self, text: &str) -> String {
        text.replace(&path_text(&self.root), "R").replace(&path_text(&self.outside), "O")
    }
}

/// A site that is watched.
pub(super) struct Watched<'a> {
    pub(super) site: &'a Site,
    pub(super) workspace: Arc<Workspace>,
    pub(super) local: Arc<Local>,
}

impl Watched<'_> {
    pub(super) async fn try_barrier(&self) -> Result<(), BarrierError> {
        let barrier = self.local.barriers().remove(0);
        barrier.barrier().await
    }

    pub(super) async fn barrier(&self) {
        self.try_barrier().await.unwrap();
    }

    /// Returns the batches since the last call, after a barrier.
    pub(super) async fn batches(&self) -> Vec<Batch> {
        self.barrier().await;
        self.new_batches()
    }

    /// Returns the batches since the last call, as they are.
    pub(super) fn new_batches(&self) -> Vec<Batch> {
        let batches = self.site.recorder.batches();
        let mut seen = self.site.seen.lock();
        batches[std::mem::replace(&mut *seen, batches.len())..].to_vec()
    }

    /// Returns what was told since the last call, after a barrier: `created file:R/a`, each once, in order.
    pub(super) async fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        for event in self.batches().await.iter().flat_map(|batch| &batch.events) {
            let line = self.line(event);
            if !told.contains(&line) {
                told.push(line);
            }
        }
        told
    }

    /// The same, without what is told of a file again: a write may be told in two batches.
    pub(super) async fn told_first(&self) -> Vec<String> {
        let mut told: Vec<String> = Vec::new();
        for line in self.told().await {
            let is_again = line.starts_with("modified") && told.iter().any(|one| one.ends_with(&line[8..]));
            if !is_again {
                told.push(line);
            }
        }
        told
    }

    /// Returns the names that were moved since the last call, after a barrier: those that the rules derive as well.
    pub(super) async fn stale(&self) -> Vec<String> {
        let batches = self.batches().await;
        batches.iter().flat_map(|batch| self.names(batch)).collect()
    }

    pub(super) fn names(&self, batch: &Batch) -> Vec<String> {
        let mut names: Vec<String> = batch.names.iter().map(|one| self.short(one.name.as_str())).collect();
        for event in &batch.events {
            let of = |name: &str| event.extension(name).map(std::borrow::Cow::into_owned);
            let subject = event.subject.clone().unwrap_or_default();
            names.extend(event.subject.clone().filter(|_| event.ty.as_str() != "observation.git_change"));
            names.extend(of("repo").map(|repo| format!("tag:repo:{repo}")));
            names.extend(of("scope").map(|scope| format!("scope:{scope}")));
            if let Some(path) = subject.strip_prefix("dir:") {
                names.push(format!("tag:tree:{path}"));
                names.extend(of("movedfrom").map(|from| format!("tag:tree:{from}")));
            }
        }
        names.iter().map(|name| self.short(name)).collect()
    }

    fn line(&self, event: &Event) -> String {
        let word = match event.ty.as_str() {
            "observation.git_change" => "git".into(),
            "system.resync" => "resync".into(),
            _ => event.extension("change").unwrap(),
        };
        let subject = event.subject.clone().unwrap_or_default();
        let from = event.extension("movedfrom").map(|from| format!(" from {from}")).unwrap_or_default();
        self.short(&format!("{word} {subject}{from}"))
    }

    fn short(&self, text: &str) -> String {
        self.site.short(text)
    }

    /// Returns the watched directories below the root, sorted.
    pub(super) fn watched(&self) -> Vec<String> {
        let mut dirs = Vec::new();
        let mut todo = vec![self.site.root.clone()];
        while let Some(dir) = todo.pop() {
            if self.workspace.is_watched(&dir) {
                dirs.push(self.short(&path_text(&dir)));
            }
            let entries = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap());
            todo.extend(
                entries.filter(|entry| entry.file_type().unwrap().is_dir()).map(|entry| entry.path()),
            );
        }
        assert_eq!(dirs.len(), self.workspace.watched_count(self.workspace.roots().next().unwrap()));
        dirs.sort();
        dirs
    }

    pub(super) fn is_watched(&self, path: &str) -> bool {
        self.workspace.is_watched(Path::new(&self.site.path(path)))
    }

    pub(super) fn scope(&self) -> Name {
        self.workspace.roots().next().unwrap().scope()
    }

    pub(super) fn mark(&self) -> Option<Mark> {
        self.site.recorder.mark(&self.scope())
    }

    /// Returns the marks of the first root but for so many at the beginning.
    pub(super) fn marks_after(&self, count: usize) -> Vec<Mark> {
        self.site.recorder.marks(&self.scope()).split_off(count)
    }

    /// Returns the health of the first root, with the reason.
    pub(super) fn health(&self) -> (String, String) {
        let status = self.local.status().remove(0);
        (status.health, status.reason.unwrap_or_default())
    }

    /// Waits for a condition that no barrier stands for.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is_so(self) {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        waited.unwrap_or_else(|_| panic!("waited for `{what}`; {:?}", self.health()));
    }
}
