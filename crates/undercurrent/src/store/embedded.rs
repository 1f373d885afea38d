//! A store without a server: one segmented log in a directory, for one process.
//!
//! Owns the log, the positions, `last`, `latest` and the tables of one namespace. Promises that an acknowledged event is as safe
//! as its stream says, that what a crash may undo was never shown, and that no position is given twice. Entries are
//! not kept here: they live in the cache, in memory alone.
//!
//! A publishing caller takes the [`order`](shared::Order) itself, puts the names in force and hands the record to the
//! [flusher](flusher::Flusher), one thread that writes and syncs for all. Readers take the newest events from memory
//! and older ones from the files.

mod body;
mod checkpoint;
mod clean;
mod closing;
mod codec;
mod commit;
mod control;
mod error;
mod file;
mod flusher;
mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod history;
mod ids;
mod index;
mod last;
mod latest;
mod log;
mod manage;
mod outcome;
mod publish;
mod queue;
mod reader;
mod recover;
mod replay;
mod rewrite;
mod scan;
mod scrub;
mod segment;
mod shared;
mod streams;
mod tables;
mod take_back;
#[cfg(test)]
mod tests;
mod verify;
mod window;

use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, broadcast, watch};
use undercurrent_types::{Cursor, Epoch, Key, Name, Position, Seq, StreamName, Token};

use self::clean::Cleaner;
use self::closing::Closing;
use self::commit::CommitView;
pub(crate) use self::file::Lock;
use self::file::{Disk, RealDisk};
use self::flusher::Flusher;
use self::frame::Kind;
use self::history::Source;
use self::last::{Last, Standing};
use self::latest::State;
use self::log::{Log, now_ms};
use self::manage::Done;
use self::outcome::{Awaiting, Place as IdPlace};
use self::publish::{BLOCK, Draft};
use self::queue::{Failure, Queue, Refused};
use self::recover::{Sizes, recover};
use self::scrub::Scrub;
use self::shared::{Order, ROOM, Shared};
use self::streams::{Place, Stream, Streams};
use super::{
    Batch, Commit, Committed, CreateStreamError, Horizon, InvalidationRecord, LogPage, NameState, Outcome,
    Page, PublishError, Published, ReadLogError, ReadStreamError, Record, Row, Scrubbed, Secret, Store,
    StoreError, StoreState, StreamSettings, StreamState,
};
use crate::ablation::{Gap, Step, gap, skips};

pub use self::error::OpenStoreError;
pub use self::verify::{Checkup, Finding, FindingKind, StreamCheckup, move_aside, salvage, verify};

/// About how many bytes a page of a stream has at most.
const PAGE: usize = 1 << 20;

/// How a store lays out its files.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// The size of the files that the log is cut into; the first one is smaller. A larger commit gets a larger file.
    pub segment_bytes: u64,
    /// The size of the first file.
    pub first_segment_bytes: u64,
    /// How many streams there may be; each takes about 400 bytes of memory, and 32 for each mark of its index.
    pub streams: usize,
    /// How many names have their last invalidation remembered.
    pub names: usize,
    /// How often streams let go what they need not keep; `None` for never.
    pub clean_every: Option<Duration>,
    /// How often a disk that was found full is tried again.
    pub full_retry: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            first_segment_bytes: 8 << 20,
            streams: 1 << 18,
            names: last::NAMES,
            clean_every: Some(Duration::from_secs(60)),
            full_retry: Duration::from_secs(1),
        }
    }
}

/// The store in a directory.
///
/// [`Store::close`] ends it cleanly; dropping it does too, and waits for the disk.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    closed_rx: watch::Receiver<bool>,
    /// Joined once, by whoever drops the store.
    flusher: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedStore {
    /// Opens the store in a directory, or makes one there.
    ///
    /// Reads the log to its end, cuts what a crash tore there, and takes positions that none before it took.
    ///
    /// # Errors
    ///
    /// Fails when another process has the directory open, the log is damaged or of a newer version, or the file
    /// system refuses.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, OpenStoreError> {
        Self::open_on(Arc::new(RealDisk), dir, options)
    }

    fn open_on(disk: Arc<dyn Disk>, dir: &Path, options: StoreOptions) -> Result<Self, OpenStoreError> {
        let log_dir = dir.join("log");
        disk.create_dir(&log_dir).map_err(OpenStoreError::io(&log_dir, "created"))?;
        let lock = take_lock(&*disk, dir)?;
        let size = |bytes: u64| bytes.max(1024).next_multiple_of(8);
        let sizes = Sizes { first: size(options.first_segment_bytes), others: size(options.segment_bytes) };
        let recovered = recover(&*disk, &log_dir, sizes)?;

        let mut replay = recovered.replay;
        let start = recovered.end.start;
        let (position, epoch) = match replay.closed_at {
            Some(position) => (position, replay.epoch),
            None => (replay.reserved, replay.epoch_after_unclean(start)),
        };
        let volatile_epoch = if replay.closed_at.is_some() { replay.volatile_epoch } else { epoch };
        let reserved = Position(position.0 + BLOCK);
        let segments = recovered.segments;
        let mut log =
            Log::at_end(disk.clone(), log_dir.clone(), segments.clone(), sizes.others, recovered.end);
        let begun = log.place(Kind::Start, position, now_ms(), &reserved.0.to_le_bytes());
        begun
            .and_then(|_| log.write())
            .and_then(|()| log.sync())
            .map_err(OpenStoreError::io(&log_dir, "written"))?;

        let streams = Streams::default();
        for known in replay.streams(volatile_epoch) {
            streams.add(known);
        }
        let order = Order { position, asked: reserved, ids: replay.ids, closed: false };
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            incarnation: recovered.incarnation,
            epoch: AtomicU64::new(epoch.0),
            id_hasher: replay.id_hasher,
            horizon: Horizon::starting_at(recovered.incarnation, position),
            room: Arc::new(Semaphore::new(ROOM)),
            awaiting: Awaiting::default(),
            order: Mutex::new(order),
            streams,
            most_streams: options.streams,
            last: RwLock::new(Last::starting_at(position, options.names)),
            latest: replay.latest,
            history: Mutex::new(replay.history),
            tables: replay.tables,
            places: replay.places,
            written: AtomicU64::new(log.end()),
            tidying: Mutex::new(recovered.checkpoint),
            queue: Queue::default(),
            closing: Closing::default(),
            unclean_epoch: volatile_epoch,
            log_bytes: AtomicU64::new(log.end() - segments.oldest()),
            segments,
            failure: OnceLock::new(),
            full: Mutex::new(None),
            reserved: AtomicU64::new(reserved.0),
            last_unsettled: AtomicU64::new(0),
            settled_tx: watch::Sender::new(position.0),
        });
        let (closed_tx, closed_rx) = watch::channel(false);
        let cleaner = match options.clean_every {
            Some(every) => {
                let cleaner = Cleaner::new(shared.clone(), disk.clone(), log_dir.clone());
                let thread = std::thread::Builder::new().name("log-cleaner".to_owned());
                let spawned = thread.spawn(move || cleaner.run(every));
                Some(spawned.map_err(OpenStoreError::io(&log_dir, "given a thread that gives room back"))?)
            }
            None => None,
        };
        let flusher = Flusher::new(shared.clone(), log, cleaner, options.full_retry);
        let thread = std::thread::Builder::new().name("log-flusher".to_owned());
        let flusher = thread
            .spawn(move || flusher.run(lock, &closed_tx))
            .map_err(OpenStoreError::io(&log_dir, "given a thread that writes it"))?;
        Ok(Self { shared, disk, closed_rx, flusher: Mutex::new(Some(flusher)) })
    }

    fn end(&self) {
        self.shared.order.lock().closed = true;
        self.shared.queue.close();
    }

    async fn publish_batch(&self, batch: Batch) -> Result<Published, PublishError> {
        let shared = &self.shared;
        let draft = Draft::new(shared, batch)?;
        let placed = match shared.room_now(&draft) {
            None if draft.must_be_logged() => {
                // Until it has its place, or is dropped without one.
                let _waits = shared.awaiting.enter(draft.ids());
                // Not asked first, since a task that has done much would be made to wait for nothing. Never closed.
                let room = shared.room.clone().acquire_many_owned(draft.room()).await.ok();
                shared.place(&draft, room)?
            }
            room => shared.place(&draft, room)?,
        };
        drop(draft);
        let Some(done_rx) = placed.done_rx else { return Ok(placed.published) };
        done(done_rx).await.map(|()| placed.published)
    }

    async fn outcome_of(&self, name: &StreamName, source: &str, id: &str) -> Result<Outcome, StoreError> {
        let (cursor, durability, done_rx) = match self.shared.place_of(name, source, id) {
            IdPlace::At(cursor, durability, done_rx) => (cursor, durability, done_rx),
            IdPlace::Awaited => return Ok(Outcome::UnderWay),
            IdPlace::Nowhere => return Ok(Outcome::NotKnown),
        };
        if let Some(done_rx) = done_rx {
            match done(done_rx).await {
                Ok(()) => {}
                // It was taken back.
                Err(PublishError::Full { .. }) => return Ok(Outcome::NotKnown),
                Err(error) => return Err(store_error(error)),
            }
        }
        let page = self.read_page(name, Some(outcome::before(cursor)), 1).await;
        let record = page.ok().and_then(|page| page.records.into_iter().next());
        let token =
            record.map_or_else(|| self.shared.token(self.shared.horizon.applied()), |record| record.token);
        Ok(Outcome::Published { cursor, token, durability })
    }

    async fn create(
        &self,
        name: &StreamName,
        settings: StreamSettings,
    ) -> Result<StreamState, CreateStreamError> {
        let (stream, done_rx) = self.shared.create(name, settings)?;
        done(done_rx).await?;
        // It may keep less than before.
        self.shared.closing.hurry();
        Ok(stream.state())
    }

    async fn delete(&self, name: &StreamName) -> Result<bool, PublishError> {
        match self.shared.delete(name)? {
            Some(done_rx) => done(done_rx).await.map(|()| true),
            None => Ok(false),
        }
    }

    fn commit_now(
        &self,
        h: Token,
        closure: &[Name],
        announce: Option<&Key>,
    ) -> Result<Committed, StoreError> {
        let shared = &self.shared;
        if h.inc != shared.incarnation {
            return Ok(Committed::Moved);
        }
        let mut committed = Committed::Moved;
        let between = if announce.is_some() { Gap::Ordered } else { Gap::Open };
        let mut holds = || {
            // Before the look at `last`: what is set later has a higher position.
            let mut applied = shared.horizon.applied();
            gap(between);
            let standing = shared.last.read().standing(closure, h.position);
            if skips(Step::CommitAppliedFirst) {
                gap(between);
                applied = shared.horizon.applied();
            }
            committed = match standing {
                Standing::Valid => Committed::Accepted(applied),
                Standing::Moved => Committed::Moved,
                Standing::InDoubt => Committed::InDoubt,
            };
            matches!(committed, Committed::Accepted(_))
        };
        match announce {
            None => {
                holds();
            }
            Some(key) => {
                if let Some(position) = shared.announce(key, holds).map_err(store_error)? {
                    committed = Committed::Accepted(position);
                }
            }
        }
        Ok(committed)
    }

    async fn read_page(
        &self,
        name: &StreamName,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, ReadStreamError> {
        match self.try_read_page(name, after, limit).await {
            // Room may have been given back just there; then the places are others now.
            Err(ReadStreamError::Store(_)) => self.try_read_page(name, after, limit).await,
            page => page,
        }
    }

    async fn try_read_page(
        &self,
        name: &StreamName,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, ReadStreamError> {
        let Some(stream) = self.shared.streams.get(name) else {
            return empty_page(name, self.shared.epoch(), after);
        };
        let from = begin_of(&stream, after)?;
        let visible = stream.visible();
        let records = match stream.after(from, limit, PAGE) {
            Place::Memory(records) => records,
            Place::Log { to } if from >= to || limit == 0 => Vec::new(),
            Place::Log { to } => {
                let shared = self.shared.clone();
                let stream = stream.clone();
                let read = move || reader::read_events(&shared, &stream, from, to, limit, PAGE);
                blocking(read).await??
            }
        };
        let next = records.last().map_or(from, |record| record.cursor.seq);
        let at_tail = next >= visible;
        Ok(Page { records, next: Cursor { epoch: stream.epoch, seq: next }, at_tail })
    }

    async fn latest_of(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        match self.try_latest_of(key).await {
            // As above.
            Err(StoreError::Io(_)) => self.try_latest_of(key).await,
            value => value,
        }
    }

    async fn try_latest_of(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        match self.shared.latest.get(key) {
            None | Some(State::Deleted) => Ok(None),
            Some(State::Value(value)) => Ok(Some(value)),
            Some(State::InLog { offset, event }) => {
                let segments = self.shared.segments.clone();
                blocking(move || reader::read_state(&segments, offset, event)).await?
            }
        }
    }

    async fn take_out(&self, secret: &Secret) -> Result<(Scrubbed, Vec<Name>), StoreError> {
        let (shared, disk, secret) = (self.shared.clone(), self.disk.clone(), secret.clone());
        let scrub = move || {
            let dir = shared.dir.join("log");
            Scrub { shared: &shared, disk: &*disk, dir: &dir, secret: &secret }.run()
        };
        blocking(scrub).await?.map_err(|e| StoreError::Io(e.to_string()))
    }

    async fn past(&self, names: &[Name], limit: usize) -> Vec<InvalidationRecord> {
        let found = self.shared.history.lock().find(names, limit);
        let shared = self.shared.clone();
        let read = move || found.into_iter().map(|past| past_of(&shared, past)).collect();
        blocking(read).await.unwrap_or_default()
    }
}

/// Waits until a record is on disk, or refused.
async fn done(done_rx: Done) -> Result<(), PublishError> {
    match done_rx.await {
        Ok(result) => result.map_err(Refused::doubt),
        Err(_) => Err(PublishError::Unknown { reason: "the writer of the log broke off".to_owned() }),
    }
}

/// Takes a data directory for this process, for those who keep something else in it than a store.
pub(crate) fn lock(dir: &Path) -> Result<Lock, OpenStoreError> {
    take_lock(&RealDisk, dir)
}

fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Lock, OpenStoreError> {
    let path = dir.join("LOCK");
    let lock = disk.lock(&path).map_err(OpenStoreError::io(&path, "locked"))?;
    lock.ok_or_else(|| OpenStoreError::InUse { dir: dir.to_owned() })
}

/// Runs what may wait for the disk on a thread that may wait.
async fn blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(read).await.map_err(|e| StoreError::Io(e.to_string()))
}

fn store_error(error: PublishError) -> StoreError {
    match error {
        PublishError::Closed => StoreError::Closed,
        other => StoreError::Io(other.to_string()),
    }
}

/// A stream that nobody has published to: empty, and only its beginning can be continued.
fn empty_page(name: &StreamName, epoch: Epoch, after: Option<Cursor>) -> Result<Page, ReadStreamError> {
    let begin = Cursor { epoch, seq: Seq(0) };
    match after {
        Some(given) if given != begin => {
            let reason = if given.epoch == epoch { "future" } else { "epoch" };
            Err(ReadStreamError::Gone { stream: name.clone(), given, oldest: begin, reason })
        }
        _ => Ok(Page { records: Vec::new(), next: begin, at_tail: true }),
    }
}

/// Returns the seq after which to read, if the cursor can be continued.
fn begin_of(stream: &Stream, after: Option<Cursor>) -> Result<Seq, ReadStreamError> {
    let before_oldest = Seq(stream.oldest().0 - 1);
    let Some(given) = after else { return Ok(before_oldest) };
    let reason = match given {
        _ if given.epoch != stream.epoch => "epoch",
        _ if given.seq > stream.visible() => "future",
        _ if given.seq < before_oldest => "retention",
        _ => return Ok(given.seq),
    };
    let oldest = Cursor { epoch: stream.epoch, seq: before_oldest };
    Err(ReadStreamError::Gone { stream: stream.name.clone(), given, oldest, reason })
}

/// Reads the commit of an invalidation and finds what caused it.
fn past_of(shared: &Shared, (name, position, source): (Name, Position, Source)) -> InvalidationRecord {
    let payload = match source {
        Source::Memory(payload) => Ok(payload),
        Source::Log(offset) => reader::read_commit(&shared.segments, offset),
    };
    let payload = match payload {
        Ok(payload) => payload,
        Err(e) => {
            let cause = e.to_string();
            return InvalidationRecord { name, position, event: None, cause };
        }
    };
    let view = CommitView::parse(&payload).ok();
    let event = view.and_then(|view| {
        let by = view.names().find(|moved| moved.text == name.as_str())?.event?;
        view.events().nth(by)?.ok()
    });
    InvalidationRecord {
        name,
        position,
        event: event.and_then(|event| {
            let stream = event.stream.parse().ok()?;
            Some(event.record(&payload, stream, event.cursor, shared.token(position)))
        }),
        cause: view.map(|view| view.cause.to_owned()).unwrap_or_default(),
    }
}

impl Store for EmbeddedStore {
    fn horizon(&self) -> &Horizon {
        &self.shared.horizon
    }

    fn publish(&self, batch: Batch) -> BoxFuture<'_, Result<Published, PublishError>> {
        Box::pin(self.publish_batch(batch))
    }

    fn outcome<'a>(
        &'a self,
        stream: &'a StreamName,
        source: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        Box::pin(self.outcome_of(stream, source, id))
    }

    fn barrier(&self) -> BoxFuture<'_, Result<Token, StoreError>> {
        Box::pin(async { Ok(self.shared.token(self.shared.horizon.applied())) })
    }

    fn barrier_now(&self) -> Option<Position> {
        Some(self.shared.horizon.applied())
    }

    fn commit<'a>(&'a self, commit: Commit<'a>) -> BoxFuture<'a, Result<Committed, StoreError>> {
        Box::pin(async move { self.commit_now(commit.h, commit.closure, commit.announce) })
    }

    fn valid<'a>(
        &'a self,
        closure: &'a [Name],
        as_of: Token,
    ) -> BoxFuture<'a, Result<Option<Position>, StoreError>> {
        let is_ours = as_of.inc == self.shared.incarnation;
        let valid = is_ours.then(|| self.still_valid(closure, as_of.position)).flatten();
        Box::pin(std::future::ready(Ok(valid)))
    }

    fn still_valid(&self, closure: &[Name], as_of: Position) -> Option<Position> {
        let applied = self.shared.horizon.applied();
        gap(Gap::Open);
        let standing = self.shared.last.read().standing(closure, as_of);
        (standing == Standing::Valid).then_some(applied)
    }

    fn settled(&self, at: Position) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.settled(at))
    }

    fn latest<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(self.latest_of(key))
    }

    fn read_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, ReadStreamError>> {
        Box::pin(self.read_page(stream, after, limit))
    }

    fn read_log(
        &self,
        after: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<LogPage, ReadLogError>> {
        let shared = self.shared.clone();
        // Room may be given back while it is read; then the places are others.
        let read = move || match shared.read_log(after, limit) {
            Err(ReadLogError::Store(_)) => shared.read_log(after, limit),
            page => page,
        };
        Box::pin(async move { blocking(read).await? })
    }

    fn visible(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(std::future::ready(Ok(self.shared.visible())))
    }

    fn watch_visible(&self) -> watch::Receiver<u64> {
        self.shared.settled_tx.subscribe()
    }

    fn follow(&self, stream: &StreamName) -> broadcast::Receiver<Record> {
        self.shared.streams.follow(stream)
    }

    fn observe(&self) -> broadcast::Receiver<Record> {
        self.shared.streams.observe()
    }

    fn scrub<'a>(&'a self, secret: &'a Secret) -> BoxFuture<'a, Result<(Scrubbed, Vec<Name>), StoreError>> {
        Box::pin(self.take_out(secret))
    }

    fn tail<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Cursor, StoreError>> {
        let stream = self.shared.streams.get(stream);
        let begin = Cursor { epoch: self.shared.epoch(), seq: Seq(0) };
        Box::pin(std::future::ready(Ok(stream.map_or(begin, |stream| stream.tail()))))
    }

    fn create_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        settings: StreamSettings,
    ) -> BoxFuture<'a, Result<StreamState, CreateStreamError>> {
        Box::pin(self.create(stream, settings))
    }

    fn delete_stream<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<bool, PublishError>> {
        Box::pin(self.delete(stream))
    }

    fn streams(&self) -> BoxFuture<'_, Result<Vec<StreamState>, StoreError>> {
        Box::pin(std::future::ready(Ok(self.shared.streams.states())))
    }

    fn invalidations<'a>(
        &'a self,
        names: &'a [Name],
        limit: usize,
    ) -> BoxFuture<'a, Vec<InvalidationRecord>> {
        Box::pin(self.past(names, limit))
    }

    fn last<'a>(&'a self, names: &'a [Name]) -> BoxFuture<'a, Result<Vec<NameState>, StoreError>> {
        let last = self.shared.last.read();
        let standing = |name| {
            let (position, in_doubt) = last.get(name);
            NameState { position, in_doubt }
        };
        Box::pin(std::future::ready(Ok(names.iter().map(standing).collect())))
    }

    fn row<'a>(&'a self, table: &'a str, id: &'a str) -> BoxFuture<'a, Result<Option<Row>, StoreError>> {
        Box::pin(std::future::ready(Ok(self.shared.tables.get(table, id))))
    }

    fn rows<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<Vec<(String, Row)>, StoreError>> {
        Box::pin(std::future::ready(Ok(self.shared.tables.all(table))))
    }

    fn state(&self) -> StoreState {
        let failed = self.shared.refusal().map(|refused| match refused {
            Refused::Full(Failure { since, reason }) => {
                format!("the disk has been full since {since} ({reason}): make room, and events are accepted again")
            }
            Refused::Failed(Failure { since, reason }) => {
                format!("the log can not be written since {since}: {reason}; restart when that is mended")
            }
        });
        let log_bytes = self.shared.log_bytes.load(Ordering::Relaxed);
        StoreState { failed, place: self.shared.dir.display().to_string(), log_bytes }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.end();
        let mut closed_rx = self.closed_rx.clone();
        Box::pin(async move {
            // The sender goes only when the thread has ended, which is what is waited for.
            let _ = closed_rx.wait_for(|closed| *closed).await;
        })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.end();
        if let Some(flusher) = self.flusher.lock().take() {
            let _ = flusher.join();
        }
    }
}
