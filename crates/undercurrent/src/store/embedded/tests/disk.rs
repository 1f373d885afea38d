//! A disk in memory that counts, waits, fails and forgets as a test wants it to.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::store::embedded::file::{Disk, DiskFile, Lock};

/// What a write is torn into when the machine dies.
const SECTOR: usize = 512;

/// A disk in memory. Clones are the same disk; [`MemoryDisk::copy`] and [`MemoryDisk::crash`] make another one.
#[derive(Clone, Default)]
pub(super) struct MemoryDisk(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

type Files = HashMap<PathBuf, Arc<Mutex<Content>>>;

/// What was done with names, in order: none of it lasts before those that came before it.
#[derive(Clone)]
enum Naming {
    Created(PathBuf, Arc<Mutex<Content>>),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
}

impl Naming {
    fn apply(&self, files: &mut Files) {
        match self {
            Self::Created(path, content) => drop(files.insert(path.clone(), content.clone())),
            Self::Renamed(from, to) => {
                if let Some(content) = files.remove(from) {
                    files.insert(to.clone(), content);
                }
            }
            Self::Removed(path) => drop(files.remove(path)),
        }
    }
}

#[derive(Default)]
struct State {
    files: Files,
    /// The files that there are after a crash whatever happens, and what was done with names since.
    synced: Files,
    unsynced: Vec<Naming>,
    locked: Vec<PathBuf>,
    syncs: usize,
    bytes_read: usize,
    syncs_held: bool,
    syncs_waiting: usize,
    failing: Option<Failing>,
    /// How many calls succeed from now on, and whether more than the one after them fails.
    calls_left: Option<(usize, bool)>,
    /// How many bytes all files together may have.
    capacity: Option<usize>,
    /// What a crash would have left before each change.
    images: Option<Vec<MemoryDisk>>,
    /// How often images were begun to be kept.
    kept: usize,
}

/// Dropping it lets syncs go on.
pub(super) struct HeldSyncs(MemoryDisk);

impl Drop for HeldSyncs {
    fn drop(&mut self) {
        self.0.0.state.lock().syncs_held = false;
        self.0.0.changed.notify_all();
    }
}

/// Which operations fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Failing {
    Writes,
    Syncs,
    /// Every write, half done, for want of room: as where no write takes the place of another.
    Room,
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// What was written since, in order.
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl Content {
    fn on_disk(bytes: Vec<u8>) -> Self {
        Self { synced: bytes.clone(), bytes, unsynced: Vec::new() }
    }
}

impl MemoryDisk {
    /// Returns how often a file was synced.
    pub(super) fn syncs(&self) -> usize {
        self.0.state.lock().syncs
    }

    /// Returns how much has been read.
    pub(super) fn bytes_read(&self) -> usize {
        self.0.state.lock().bytes_read
    }

    /// Has every sync wait until what is returned is dropped.
    pub(super) fn hold_syncs(&self) -> HeldSyncs {
        self.0.state.lock().syncs_held = true;
        HeldSyncs(self.clone())
    }

    /// Waits until a sync waits.
    pub(super) fn wait_for_held_sync(&self) {
        let mut state = self.0.state.lock();
        while state.syncs_waiting == 0 {
            self.0.changed.wait(&mut state);
        }
    }

    /// Has operations fail from now on.
    pub(super) fn fail(&self, failing: Failing) {
        self.0.state.lock().failing = Some(failing);
    }

    /// Has the call of any kind fail that comes after so many others, and with `on` all that follow it.
    pub(super) fn fail_call(&self, after: usize, on: bool) {
        self.0.state.lock().calls_left = Some((after, on));
    }

    /// Has operations succeed again.
    pub(super) fn mend(&self) {
        let mut state = self.0.state.lock();
        (state.failing, state.calls_left) = (None, None);
    }

    /// Counts a call, and says whether it succeeds.
    fn call(&self) -> io::Result<()> {
        let mut state = self.0.state.lock();
        match &mut state.calls_left {
            Some((0, on)) => {
                if !*on {
                    state.calls_left = None;
                }
                Err(io::Error::other("the call fails"))
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Does something with names, which lasts once the directory is synced.
    fn name(&self, naming: Naming) {
        let mut state = self.0.state.lock();
        naming.apply(&mut state.files);
        state.unsynced.push(naming);
    }

    /// Keeps what a crash would leave before every change from now on.
    pub(super) fn keep_images(&self) {
        let mut state = self.0.state.lock();
        state.images = Some(Vec::new());
        state.kept += 1;
    }

    /// Returns what was kept: for each change what the end of the machine would have left, and of the process.
    pub(super) fn take_images(&self) -> Vec<MemoryDisk> {
        self.0.state.lock().images.take().unwrap_or_default()
    }

    fn about_to_change(&self) {
        let begun = || {
            let state = self.0.state.lock();
            (state.images.is_some(), state.kept)
        };
        if let before @ (true, _) = begun() {
            let images = [self.crash(|| false), self.copy()];
            let mut state = self.0.state.lock();
            // They may have been taken meanwhile, while another thread makes a segment. What others are kept for came
            // later than these.
            if before == (true, state.kept)
                && let Some(kept) = &mut state.images
            {
                kept.extend(images);
            }
        }
    }

    /// Lets files grow by so many bytes and no further.
    pub(super) fn fill(&self, room: usize) {
        let mut state = self.0.state.lock();
        let used: usize = state.files.values().map(|file| file.lock().bytes.len()).sum();
        state.capacity = Some(used + room);
    }

    /// Lets files grow.
    pub(super) fn empty(&self) {
        self.0.state.lock().capacity = None;
    }

    /// Returns how much of a write has room.
    fn room_for(&self, file: &Mutex<Content>, end: usize, len: usize) -> usize {
        let state = self.0.state.lock();
        if state.failing == Some(Failing::Room) {
            return len / 2;
        }
        let Some(capacity) = state.capacity else { return len };
        let used: usize = state.files.values().map(|file| file.lock().bytes.len()).sum();
        let beyond = end.saturating_sub(file.lock().bytes.len());
        len - beyond.saturating_sub(capacity.saturating_sub(used)).min(len)
    }

    /// Returns what is left when the process dies now: everything that was written, synced or not.
    pub(super) fn copy(&self) -> Self {
        let files = self.0.state.lock().files.clone();
        Self::holding(&files, Content::clone)
    }

    /// Returns what is left when the machine dies now: all that was synced, and such sectors of the rest as `keeps`
    /// says; of what was done with names, as much as it says.
    pub(super) fn crash(&self, mut keeps: impl FnMut() -> bool) -> Self {
        let state = self.0.state.lock();
        let (mut files, unsynced) = (state.synced.clone(), state.unsynced.clone());
        drop(state);
        unsynced.iter().take_while(|_| keeps()).for_each(|naming| naming.apply(&mut files));
        Self::holding(&files, |content| {
            let mut bytes = content.synced.clone();
            for (at, written) in &content.unsynced {
                for (i, sector) in written.chunks(SECTOR).enumerate() {
                    if keeps() {
                        put(&mut bytes, at + i * SECTOR, sector);
                    }
                }
            }
            Content::on_disk(bytes)
        })
    }

    /// Returns a disk with what is left of files, all of it synced.
    fn holding(files: &Files, mut left: impl FnMut(&Content) -> Content) -> Self {
        let mut paths: Vec<_> = files.keys().collect();
        paths.sort();
        let disk = Self::default();
        for path in paths {
            let content = left(&files[path].lock());
            disk.hold(path, content);
        }
        disk
    }

    fn hold(&self, path: &Path, content: Content) {
        let content = Arc::new(Mutex::new(content));
        let mut state = self.0.state.lock();
        state.files.insert(path.to_owned(), content.clone());
        state.synced.insert(path.to_owned(), content);
    }

    /// Returns the names of the files in a directory, in order.
    pub(super) fn names(&self, dir: &Path) -> Vec<String> {
        let mut names = self.list(dir).unwrap();
        names.sort();
        names
    }

    pub(super) fn read(&self, path: &Path) -> Vec<u8> {
        self.0.state.lock().files[path].lock().bytes.clone()
    }

    /// Puts a file in place, all of it on disk.
    pub(super) fn put(&self, path: &Path, bytes: Vec<u8>) {
        self.hold(path, Content::on_disk(bytes));
    }

    fn file(&self, content: Arc<Mutex<Content>>) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile { disk: self.clone(), content })
    }

    fn find(&self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
        Ok(self.0.state.lock().files.get(path).cloned().ok_or(io::ErrorKind::NotFound)?)
    }

    fn check(&self, what: Failing) -> io::Result<()> {
        match self.0.state.lock().failing {
            Some(failing) if failing == what => Err(io::Error::other("the disk is broken")),
            _ => Ok(()),
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    bytes.resize(bytes.len().max(at + part.len()), 0);
    bytes[at..at + part.len()].copy_from_slice(part);
}

impl Disk for MemoryDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.call()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.call()?;
        let state = self.0.state.lock();
        let inside = state.files.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        self.call()?;
        let mut state = self.0.state.lock();
        if state.locked.iter().any(|locked| locked == path) {
            return Ok(None);
        }
        state.locked.push(path.to_owned());
        Ok(Some(Lock(Box::new(MemoryLock { disk: self.clone(), path: path.to_owned() }))))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.call()?;
        Ok(self.file(self.find(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.about_to_change();
        self.call()?;
        self.check(Failing::Writes)?;
        let content = Arc::<Mutex<Content>>::default();
        self.name(Naming::Created(path.to_owned(), content.clone()));
        Ok(self.file(content))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.about_to_change();
        self.call()?;
        self.find(from)?;
        self.name(Naming::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.about_to_change();
        self.call()?;
        self.find(path)?;
        self.name(Naming::Removed(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.about_to_change();
        self.call()?;
        let mut state = self.0.state.lock();
        state.synced = state.files.clone();
        state.unsynced.clear();
        Ok(())
    }
}

struct MemoryLock {
    disk: MemoryDisk,
    path: PathBuf,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.disk.0.state.lock().locked.retain(|locked| *locked != self.path);
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    content: Arc<Mutex<Content>>,
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.call()?;
        Ok(self.content.lock().bytes.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.disk.call()?;
        let content = self.content.lock();
        let rest = content.bytes.get(at as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        drop(content);
        self.disk.0.state.lock().bytes_read += len;
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.disk.about_to_change();
        self.disk.call()?;
        self.disk.check(Failing::Writes)?;
        let room = self.disk.room_for(&self.content, at as usize + bytes.len(), bytes.len());
        let mut content = self.content.lock();
        put(&mut content.bytes, at as usize, &bytes[..room]);
        content.unsynced.push((at as usize, bytes[..room].to_vec()));
        if room == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.about_to_change();
        let mut state = self.disk.0.state.lock();
        state.syncs += 1;
        state.syncs_waiting += 1;
        self.disk.0.changed.notify_all();
        while state.syncs_held {
            self.disk.0.changed.wait(&mut state);
        }
        state.syncs_waiting -= 1;
        drop(state);
        self.disk.call()?;
        self.disk.check(Failing::Syncs)?;
        let mut content = self.content.lock();
        content.synced = content.bytes.clone();
        content.unsynced.clear();
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.about_to_change();
        self.disk.call()?;
        let mut content = self.content.lock();
        content.bytes.resize(len as usize, 0);
        content.synced.truncate(len as usize);
        content.unsynced.retain(|(at, _)| (*at as u64) < len);
        Ok(())
    }
}
