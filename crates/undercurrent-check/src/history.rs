//! What happened, as seen from outside.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A moment: ticks of a run on one thread, where every begin and end takes the next; nanoseconds on many threads.
pub type Time = u64;

/// The place of a leaf: a key whose value is a version counted by its one writer.
pub type Leaf = u32;

/// What was done. Times are those of begin and end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// The source of a leaf went to a version. Versions of a leaf rise by one.
    Write {
        /// Which leaf.
        leaf: Leaf,
        /// To which version.
        version: u64,
        /// Begin.
        begin: Time,
        /// End.
        end: Time,
    },
    /// Reads that begin after the end must see at least this version.
    ///
    /// An invalidation that returned; a change that was found and announced; a change older than the time for which
    /// values of its leaf may be served.
    Announce {
        /// Which leaf.
        leaf: Leaf,
        /// The version that the source had at the begin.
        version: u64,
        /// End: the invalidation has returned.
        end: Time,
    },
    /// Somebody has seen the event that says so: what it makes stale is announced (I8), and where the log is the source
    /// the read is answered from it (I9).
    Visible {
        /// Which leaf.
        leaf: Leaf,
        /// The version that the event speaks of.
        version: u64,
        /// When it had been seen.
        at: Time,
    },
    /// A read answered.
    Read {
        /// What it promises.
        promise: Promise,
        /// What it saw of each leaf, once for each way by which the leaf came into the value.
        saw: Vec<(Leaf, Seen)>,
        /// Begin.
        begin: Time,
        /// End.
        end: Time,
    },
}

/// What a read promises about how new its value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Promise {
    /// Only that the value once was (I5).
    Nothing,
    /// Everything that was announced before it began (I1).
    Announced,
    /// Everything that was announced before that moment: the one of a token (I3), or the begin less an age (I4).
    AnnouncedBefore(Time),
    /// Everything that was written before it began (I2, `synced`).
    Written,
    /// The state of all its leaves at one instant of the read (I2, `verified`).
    Instant,
    /// Nothing, since it could not be loaded: for those who asked for that (I7).
    OnError {
        /// Whether the reader did.
        asked: bool,
    },
}

/// What a read saw of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Seen {
    /// A version.
    Version(u64),
    /// That the leaf is not there: true of every version for which [`is_absent`] says so (I6).
    Absent,
}

/// Says in which versions a leaf is not there.
pub fn is_absent(version: u64) -> bool {
    version % 4 == 3
}

/// Where operations are recorded.
#[derive(Debug)]
pub enum Recorder {
    /// In memory.
    Memory(Mutex<Vec<Operation>>),
    /// In a file: what was recorded outlives the process, however that ends.
    Disk(Lines),
}

/// A file with one record in each line, each written at once.
#[derive(Debug)]
pub struct Lines(Mutex<File>);

impl Lines {
    /// Opens a file, behind what is there.
    ///
    /// # Errors
    ///
    /// Fails when the file can not be opened.
    pub fn in_file(path: &Path) -> std::io::Result<Self> {
        Ok(Self(Mutex::new(File::options().append(true).create(true).open(path)?)))
    }

    pub(crate) fn write(&self, record: &impl Serialize) {
        let mut line = serde_json::to_vec(record).expect("a record has a JSON form");
        line.push(b'\n');
        self.0.lock().write_all(&line).expect("a file that is open can be written");
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::Memory(Mutex::default())
    }
}

impl Recorder {
    /// Records in a file, behind what is there.
    ///
    /// # Errors
    ///
    /// Fails when the file can not be opened.
    pub fn in_file(path: &Path) -> std::io::Result<Self> {
        Ok(Self::Disk(Lines::in_file(path)?))
    }

    /// Says whether its process may end at any moment.
    pub fn outlives(&self) -> bool {
        matches!(self, Self::Disk(_))
    }

    pub(crate) fn record(&self, operation: Operation) {
        match self {
            Self::Memory(all) => all.lock().push(operation),
            Self::Disk(lines) => lines.write(&operation),
        }
    }

    pub(crate) fn take(&self) -> Vec<Operation> {
        match self {
            Self::Memory(all) => std::mem::take(&mut *all.lock()),
            Self::Disk(_) => Vec::new(),
        }
    }
}

/// Reads what was recorded in a file. The last line may be torn: its process was killed while it wrote.
///
/// # Errors
///
/// Fails when the file can not be read.
pub fn recorded<T: DeserializeOwned>(path: &Path) -> std::io::Result<Vec<T>> {
    let lines = BufReader::new(File::open(path)?).split(b'\n').collect::<Result<Vec<_>, _>>()?;
    Ok(lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect())
}
