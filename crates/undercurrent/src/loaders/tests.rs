mod dir;
mod file;
mod git;
mod projection;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use undercurrent_types::{Key, Name};

use super::stamp::Moment;
use crate::workspace::Workspace;

/// A root with what stands outside of it, both gone at the end of the test.
struct Tree {
    dir: TempDir,
    workspace: Arc<Workspace>,
}

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["root", "outside"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let workspace = Arc::new(Workspace::new(vec![dir.path().join("root")]).unwrap());
        Self { dir, workspace }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("root")
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    fn outside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().with_file_name("outside").join(path)
    }

    fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn file(&self, path: impl AsRef<Path>) -> Key {
        Key::file(&self.at(path)).unwrap()
    }

    fn dir(&self, path: impl AsRef<Path>) -> Key {
        Key::dir(&self.at(path)).unwrap()
    }

    /// Waits until the clock that files are stamped with stands elsewhere than when this path last changed.
    fn let_the_clock_tick(&self, path: impl AsRef<Path>) {
        let changed = |path: &Path| path.metadata().map(|stat| (stat.ctime(), stat.ctime_nsec())).unwrap();
        let (path, probe) = (self.at(path), self.outside("probe"));
        while {
            std::fs::write(&probe, "").unwrap();
            changed(&probe) == changed(&path)
        } {}
        std::fs::remove_file(probe).unwrap();
    }

    /// Puts a directory, all on the way to it and all below it among the watched.
    fn watch(&self, path: impl AsRef<Path>) {
        let dir = self.at(path);
        dir.ancestors()
            .take_while(|dir| dir.starts_with(self.root()))
            .for_each(|dir| self.workspace.set_watched(dir));
        let mut dirs = vec![dir];
        while let Some(dir) = dirs.pop() {
            self.workspace.set_watched(&dir);
            let entries = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap());
            dirs.extend(entries.filter(|e| e.file_type().unwrap().is_dir()).map(|e| e.path()));
        }
    }
}

/// The clock of a load in ten seconds: whatever stands there has been at rest for long.
fn in_ten_seconds() -> Moment {
    Moment::now().plus_seconds(10)
}

fn texts(names: &[Name]) -> Vec<&str> {
    names.iter().map(Name::as_str).collect()
}
