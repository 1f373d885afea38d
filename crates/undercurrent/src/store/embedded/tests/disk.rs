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

#[derive(Default)]
struct State {
    files: HashMap<PathBuf, Arc<Mutex<Content>>>,
    locked: Vec<PathBuf>,
    syncs: usize,
    bytes_read: usize,
    syncs_held: bool,
    syncs_waiting: usize,
    failing: Option<Failing>,
    /// How many bytes all files together may have.
    capacity: Option<usize>,
    /// What a crash would have left before each change.
    images: Option<Vec<MemoryDisk>>,
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

    /// Has operations succeed again.
    pub(super) fn mend(&self) {
        self.0.state.lock().failing = None;
    }

    /// Keeps what a crash would leave before every change from now on.
    pub(super) fn keep_images(&self) {
        self.0.state.lock().images = Some(Vec::new());
    }

    /// Returns what was kept: for each change what the end of the machine would have left, and of the process.
    pub(super) fn take_images(&self) -> Vec<MemoryDisk> {
        self.0.state.lock().images.take().unwrap_or_default()
    }

    fn about_to_change(&self) {
        if self.0.state.lock().images.is_some() {
            let images = [self.crash(|| false), self.copy()];
            // They may have been taken meanwhile, while another thread makes a segment.
            if let Some(kept) = &mut self.0.state.lock().images {
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
        self.map(Content::clone)
    }

    /// Returns what is left when the machine dies now: all that was synced, and such sectors of the rest as `keeps`
    /// says.
    pub(super) fn crash(&self, mut keeps: impl FnMut() -> bool) -> Self {
        self.map(|content| {
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

    fn map(&self, mut left: impl FnMut(&Content) -> Content) -> Self {
        let state = self.0.state.lock();
        let mut paths: Vec<_> = state.files.keys().collect();
        paths.sort();
        let files = paths.into_iter().map(|path| {
            let content = left(&state.files[path].lock());
            (path.clone(), Arc::new(Mutex::new(content)))
        });
        let state = State { files: files.collect(), ..State::default() };
        Self(Arc::new(Inner { state: Mutex::new(state), changed: Condvar::new() }))
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
        let content = Content::on_disk(bytes);
        self.0.state.lock().files.insert(path.to_owned(), Arc::new(Mutex::new(content)));
    }

    fn file(&self, content: Arc<Mutex<Content>>) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile { disk: self.clone(), content })
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
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.state.lock();
        let inside = state.files.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let mut state = self.0.state.lock();
        if state.locked.iter().any(|locked| locked == path) {
            return Ok(None);
        }
        state.locked.push(path.to_owned());
        Ok(Some(Lock(Box::new(MemoryLock { disk: self.clone(), path: path.to_owned() }))))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let content = self.0.state.lock().files.get(path).cloned();
        Ok(self.file(content.ok_or(io::ErrorKind::NotFound)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.check(Failing::Writes)?;
        let content = Arc::<Mutex<Content>>::default();
        self.0.state.lock().files.insert(path.to_owned(), content.clone());
        Ok(self.file(content))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.about_to_change();
        let mut state = self.0.state.lock();
        let content = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.about_to_change();
        self.0.state.lock().files.remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
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
        Ok(self.content.lock().bytes.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
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
        self.disk.check(Failing::Syncs)?;
        let mut content = self.content.lock();
        content.synced = content.bytes.clone();
        content.unsynced.clear();
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.about_to_change();
        let mut content = self.content.lock();
        content.bytes.resize(len as usize, 0);
        content.synced.truncate(len as usize);
        content.unsynced.retain(|(at, _)| (*at as u64) < len);
        Ok(())
    }
}
