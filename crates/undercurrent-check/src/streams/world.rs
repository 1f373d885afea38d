//! The streams, what is known of them, and what was recorded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use undercurrent::StreamName;

use super::door::Door;
use super::history::{Answer, Id, Operation, Place, Stream, Time};
use super::http::Http;
use super::local::Local;
use super::plans::{Ends, Over, Plan};

/// How many streams there are.
pub(crate) const STREAMS: u32 = 3;

/// The streams of a workload, and its history.
pub(crate) struct World {
    pub(crate) plan: Plan,
    dir: PathBuf,
    names: Vec<StreamName>,
    /// Held while anything is recorded, so that what is recorded as seen was seen before a crash began.
    way: RwLock<Way>,
    ticks: AtomicU64,
    ids: AtomicU64,
    history: Mutex<Vec<Operation>>,
    /// The events that were to be appended, and the highest place that somebody was told, of each stream.
    asked: Vec<Mutex<Vec<Id>>>,
    told: Vec<Mutex<Place>>,
    /// How many still write.
    pub(crate) writing: AtomicU32,
    /// Whether all that writes is done. A watch, since those who follow wait for it.
    pub(crate) done: watch::Sender<bool>,
}

/// The way to the streams: another one after each end.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) door: Arc<dyn Door>,
    crashes: u64,
}

impl World {
    pub(crate) async fn open(plan: Plan, dir: &Path) -> Self {
        let first = dir.join("0");
        let way = RwLock::new(Way { door: open(plan, &first).await, crashes: 0 });
        let names = (0..STREAMS).map(|stream| format!("s/{stream}").parse().expect("a name")).collect();
        Self {
            plan,
            dir: dir.to_owned(),
            names,
            way,
            ticks: AtomicU64::new(1),
            ids: AtomicU64::new(1),
            history: Mutex::default(),
            asked: (0..STREAMS).map(|_| Mutex::default()).collect(),
            told: (0..STREAMS).map(|_| Mutex::default()).collect(),
            writing: AtomicU32::new(0),
            done: watch::Sender::new(false),
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn name(&self, stream: Stream) -> &StreamName {
        &self.names[stream as usize]
    }

    pub(crate) fn way(&self) -> Way {
        self.way.read().clone()
    }

    /// Takes an id that no event has, and notes that it was asked for.
    pub(crate) fn new_id(&self, stream: Stream) -> Id {
        let id = self.ids.fetch_add(1, Ordering::SeqCst);
        self.asked[stream as usize].lock().push(id);
        id
    }

    /// Returns one of the last ids of a stream.
    pub(crate) fn recent_id(&self, stream: Stream, back: u64) -> Option<Id> {
        let asked = self.asked[stream as usize].lock();
        asked.get(asked.len().checked_sub(1 + back as usize)?).copied()
    }

    /// Returns the highest place that somebody was told.
    pub(crate) fn told(&self, stream: Stream) -> Place {
        *self.told[stream as usize].lock()
    }

    /// Records what ended by now, unless a crash took the one who asked.
    pub(crate) fn record(
        &self,
        way: &Way,
        stream: Stream,
        make: impl FnOnce(Time) -> (Operation, Option<Place>),
    ) -> bool {
        let now = self.way.read();
        if now.crashes != way.crashes {
            return false;
        }
        let (operation, told) = make(self.now());
        if let Some(place) = told {
            let mut highest = self.told[stream as usize].lock();
            *highest = place.max(*highest);
        }
        self.history.lock().push(operation);
        true
    }

    /// Records the answers to an append; after a crash nobody knows them.
    pub(crate) fn record_append(
        &self,
        way: &Way,
        stream: Stream,
        (ids, expected): (&[Id], Option<u64>),
        (begin, answers): (Time, &[Answer]),
    ) {
        for (i, id) in ids.iter().enumerate() {
            let expected = expected.filter(|_| i == 0);
            let append = |answer, end| Operation::Append { stream, id: *id, expected, answer, begin, end };
            let answer = answers.get(i).copied().unwrap_or(Answer::Unknown);
            let told = match answer {
                Answer::New(place) | Answer::Again(place) => Some(place),
                _ => None,
            };
            if !self.record(way, stream, |end| (append(answer, end), told)) {
                let end = self.now();
                self.history.lock().push(append(Answer::Unknown, end));
            }
        }
    }

    pub(crate) fn records(&self) -> usize {
        self.history.lock().len()
    }

    pub(crate) fn take_history(&self) -> Vec<Operation> {
        std::mem::take(&mut *self.history.lock())
    }

    /// Ends what is behind the door, in the way of the plan, and opens it again.
    pub(crate) async fn end_and_open(&self, times: u64) {
        let before = self.way();
        match self.plan.ends {
            Ends::Never => {}
            Ends::Closed => {
                before.door.close().await;
                let door = open(self.plan, &self.dir.join("0")).await;
                self.way.write().door = door;
            }
            Ends::Crash => {
                let left = self.dir.join(times.to_string());
                {
                    let mut way = self.way.write();
                    way.crashes += 1;
                    let at = self.now();
                    self.history.lock().push(Operation::Crashed { at });
                    copy_newest_first(&self.dir.join((times - 1).to_string()), &left);
                    way.door = Arc::new(Local::open(&left, self.plan.durability));
                }
                before.door.close().await;
            }
        }
    }
}

async fn open(plan: Plan, dir: &Path) -> Arc<dyn Door> {
    match plan.over {
        Over::Store => Arc::new(Local::open(dir, plan.durability)),
        Over::Http => Arc::new(Http::start(dir, plan.durability).await),
    }
}

/// Copies the log file by file, each as it was in one moment. What is older is copied later, so nothing is missing before
/// what is there.
fn copy_newest_first(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("log")).expect("a directory");
    let files = std::fs::read_dir(from.join("log")).expect("a directory");
    let mut names: Vec<_> = files.map(|file| file.expect("a file").file_name()).collect();
    names.retain(|name| name.to_string_lossy().ends_with(".seg"));
    names.sort();
    for name in names.iter().rev() {
        let read = || std::fs::read(from.join("log").join(name)).expect("a file");
        // Written to meanwhile, it would be of two moments.
        let (mut bytes, mut again) = (read(), read());
        while bytes != again {
            (bytes, again) = (again, read());
        }
        std::fs::write(to.join("log").join(name), bytes).expect("a file");
    }
}
