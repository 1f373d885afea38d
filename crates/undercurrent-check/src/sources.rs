//! What leaves are loaded from: for each its version and its place.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::history::Leaf;

/// The sources of all leaves. Each leaf has one writer; everybody reads.
pub enum Sources {
    /// In the memory of this process.
    Memory(Vec<[AtomicU64; 2]>),
    /// In a file that several processes have open: it outlives each of them.
    Shared(File),
}

/// Which of the two numbers of a leaf.
const VERSION: usize = 0;
const PLACE: usize = 1;

impl Sources {
    /// Makes sources in memory.
    pub fn in_memory(leaves: usize) -> Self {
        Self::Memory((0..leaves).map(|_| <[AtomicU64; 2]>::default()).collect())
    }

    /// Opens sources in a file; what it has not yet counts as zero.
    ///
    /// # Errors
    ///
    /// Fails when the file can not be opened.
    pub fn in_file(path: &Path) -> std::io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self::Shared(file))
    }

    /// Returns the version that a leaf has now.
    pub fn version(&self, leaf: Leaf) -> u64 {
        self.get(leaf, VERSION)
    }

    /// Takes a leaf to its next version. By its writer alone.
    pub fn write(&self, leaf: Leaf) -> u64 {
        self.next(leaf, VERSION)
    }

    /// Returns where a leaf lies: a tag says so, and moving it changes no version.
    pub fn place(&self, leaf: Leaf) -> u64 {
        self.get(leaf, PLACE)
    }

    /// Moves a leaf to another place. By its writer alone.
    pub fn leave(&self, leaf: Leaf) {
        self.next(leaf, PLACE);
    }

    fn get(&self, leaf: Leaf, which: usize) -> u64 {
        match self {
            Self::Memory(all) => all[leaf as usize][which].load(Ordering::SeqCst),
            Self::Shared(file) => {
                let mut bytes = [0; 8];
                // A file that ends before it has not been written there.
                let read =
                    file.read_at(&mut bytes, at(leaf, which)).expect("a file that is open can be read");
                if read == 8 { u64::from_le_bytes(bytes) } else { 0 }
            }
        }
    }

    fn next(&self, leaf: Leaf, which: usize) -> u64 {
        match self {
            Self::Memory(all) => all[leaf as usize][which].fetch_add(1, Ordering::SeqCst) + 1,
            Self::Shared(file) => {
                let next = self.get(leaf, which) + 1;
                // Eight bytes that are aligned go in one piece.
                file.write_all_at(&next.to_le_bytes(), at(leaf, which))
                    .expect("a file that is open can be written");
                next
            }
        }
    }
}

fn at(leaf: Leaf, which: usize) -> u64 {
    u64::from(leaf) * 16 + which as u64 * 8
}
