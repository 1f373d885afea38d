use std::fs::{File, FileTimes, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;

use super::super::file::{Content, FileLoader};
use super::super::steady::{self, LARGEST, NotRead, Reader};
use super::*;
use crate::cache::{Check, LoadError, Loaded, Loader, Validator};
use crate::workspace::Confined;

/// A loader for which everything has been at rest for long.
fn late(tree: &Tree) -> FileLoader {
    FileLoader::new(Arc::clone(&tree.workspace)).with_clock(in_ten_seconds)
}

#[track_caller]
fn check(loader: &FileLoader, key: &Key, loaded: &Loaded, expected: Check) {
    let validator = loaded.validator.as_ref().unwrap();
    assert_eq!(loader.check_now(key, validator), Some(expected), "of {}", loader.describe(validator));
}

#[tokio::test]
async fn a_file_is_its_bytes_and_its_stat_vouches_for_them() {
    let tree = Tree::new();
    tree.watch("");
    let loader = late(&tree);
    let cases: [&[u8]; 4] = [b"hello\n", b"", b"\xff\0\r\n", &[b'x'; 300_000]];
    for content in cases {
        tree.write("src/a", content);
        let key = tree.file("src/a");
        let loaded = loader.read(&key).await.unwrap();
        assert_eq!(loaded.value.as_deref(), Some(content));
        check(&loader, &key, &loaded, Check::Unchanged);
        assert_eq!(loader.check(&key, loaded.validator.as_ref().unwrap()).await.unwrap(), Check::Unchanged);
    }
}

#[tokio::test]
async fn the_names_are_those_of_the_workspace() {
    let tree = Tree::new();
    tree.write("a/b", "x");
    let unwatched = Name::unwatched(&undercurrent_types::path_text(&tree.root()));
    let loaded = late(&tree).read(&tree.file("a/b")).await.unwrap();
    assert!(loaded.names.contains(&unwatched), "{:?}", texts(&loaded.names));
    tree.watch("a");
    let loaded = late(&tree).read(&tree.file("a/b")).await.unwrap();
    let confined = tree.workspace.confine(&tree.at("a/b")).unwrap();
    assert_eq!(loaded.names, tree.workspace.names_of_file(&confined));
    assert!(!loaded.names.contains(&unwatched));
    assert_eq!(late(&tree).names_now(&tree.file("a/b")).unwrap(), Some(loaded.names));
    assert!(late(&tree).names_now(&tree.file("../outside/a")).is_err());
}

#[tokio::test]
async fn every_change_of_a_file_is_noticed_by_its_stat() {
    type Change = fn(&Tree);
    let cases: [(&str, Change); 9] = [
        ("written longer", |t| drop(t.write("d/a", "longer content"))),
        ("written with the same size", |t| drop(t.write("d/a", "BBBB"))),
        ("appended", |t| {
            OpenOptions::new().append(true).open(t.at("d/a")).unwrap().write_all_at(b"B", 0).unwrap();
        }),
        ("replaced by a rename", |t| std::fs::rename(t.write("new", "BBBB"), t.at("d/a")).unwrap()),
        ("deleted", |t| std::fs::remove_file(t.at("d/a")).unwrap()),
        ("deleted and made again", |t| {
            std::fs::remove_file(t.at("d/a")).unwrap();
            t.write("d/a", "AAAA");
        }),
        ("its directory moved away", |t| std::fs::rename(t.at("d"), t.at("e")).unwrap()),
        ("its mode changed", |t| {
            std::fs::set_permissions(t.at("d/a"), PermissionsExt::from_mode(0o600)).unwrap();
        }),
        ("written, then its time and size restored", |t| {
            let path = t.at("d/a");
            let modified = path.metadata().unwrap().modified().unwrap();
            t.write("d/a", "BBBB");
            let file = File::options().write(true).open(&path).unwrap();
            file.set_times(FileTimes::new().set_modified(modified)).unwrap();
            assert_eq!(path.metadata().unwrap().modified().unwrap(), modified);
        }),
    ];
    for (what, change) in cases {
        let tree = Tree::new();
        tree.write("d/a", "AAAA");
        let (loader, key) = (late(&tree), tree.file("d/a"));
        let loaded = loader.read(&key).await.unwrap();
        check(&loader, &key, &loaded, Check::Unchanged);
        tree.let_the_clock_tick("d/a");
        change(&tree);
        let validator = loaded.validator.as_ref().unwrap();
        assert_eq!(loader.check_now(&key, validator), Some(Check::Changed), "when {what}");
        let now = loader.read(&key).await.unwrap();
        assert_eq!(now.value, std::fs::read(tree.at("d/a")).ok().map(Into::into), "when {what}");
    }
}

#[tokio::test]
async fn a_file_that_has_just_changed_is_vouched_for_by_nothing() {
    let tree = Tree::new();
    let loader = FileLoader::new(Arc::clone(&tree.workspace));
    let key = tree.file("a");
    for round in 0..200 {
        // Two writes of one size, as close as they can be: in one tick of a coarse clock they have one stamp.
        let content = [b'a' + round % 26; 4];
        tree.write("a", content);
        let loaded = loader.read(&key).await.unwrap();
        assert_eq!(loaded.value.as_deref(), Some(&content[..]));
        check(&loader, &key, &loaded, Check::Changed);
        assert!(loader.describe(loaded.validator.as_ref().unwrap()).contains("2 s"));
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_value_for_as_long_as_it_is_not() {
    let tree = Tree::new();
    tree.watch("");
    tree.write("file", "x");
    symlink("nowhere", tree.at("dangling")).unwrap();
    let loader = late(&tree);
    for (path, make) in [("a", "a"), ("no/dir/a", "no/dir/a"), ("dangling", "nowhere")] {
        let key = tree.file(path);
        let loaded = loader.read(&key).await.unwrap();
        assert_eq!(loaded.value, None);
        assert!(loaded.names.contains(&Workspace::source_scope()));
        check(&loader, &key, &loaded, Check::Unchanged);
        tree.write(make, "now");
        check(&loader, &key, &loaded, Check::Changed);
        assert_eq!(loader.read(&key).await.unwrap().value.unwrap(), "now");
    }
    let below_a_file = loader.read(&tree.file("file/a")).await.unwrap();
    assert_eq!(below_a_file.value, None);
    check(&loader, &tree.file("file/a"), &below_a_file, Check::Unchanged);
}

#[tokio::test]
async fn what_lies_outside_the_roots_is_denied_with_the_reason() {
    let tree = Tree::new();
    std::fs::write(tree.outside("secret"), "secret").unwrap();
    symlink(tree.outside("secret"), tree.at("link")).unwrap();
    symlink("../outside", tree.at("dir")).unwrap();
    tree.write("sub/x", "x");
    let cases = [
        Key::parse("file:/etc/passwd").unwrap(),
        tree.file("../outside/secret"),
        tree.file("sub/../../outside/secret"),
        tree.file("link"),
        tree.file("dir/secret"),
        tree.file("dir/not-there"),
    ];
    for key in cases {
        let error = late(&tree).read(&key).await.unwrap_err();
        assert!(
            matches!(&error, LoadError::Denied { reason, .. } if !reason.is_empty()),
            "`{key}` gave {error:?}"
        );
    }
}

#[tokio::test]
async fn a_link_inside_the_roots_is_followed() {
    let tree = Tree::new();
    tree.write("real/a", "one");
    tree.write("other/a", "two");
    symlink("real", tree.at("link")).unwrap();
    let (loader, key) = (late(&tree), tree.file("link/a"));
    let loaded = loader.read(&key).await.unwrap();
    assert_eq!(loaded.value.as_deref(), Some(&b"one"[..]));
    check(&loader, &key, &loaded, Check::Unchanged);
    std::fs::remove_file(tree.at("link")).unwrap();
    symlink("other", tree.at("link")).unwrap();
    check(&loader, &key, &loaded, Check::Changed);
    assert_eq!(loader.read(&key).await.unwrap().value.unwrap(), "two");
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused_at_once() {
    let tree = Tree::new();
    std::fs::create_dir(tree.at("dir")).unwrap();
    mknodat(CWD, tree.at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.at("socket")).unwrap();
    symlink("pipe", tree.at("link")).unwrap();
    let hint = format!("`dir:{}/dir`", tree.root().display());
    for (path, reason) in
        [("dir", hint.as_str()), ("pipe", "a pipe"), ("link", "a pipe"), ("socket", "a socket")]
    {
        let error = late(&tree).read(&tree.file(path)).await.unwrap_err();
        let LoadError::Failed { reason: given, .. } = &error else { panic!("`{path}` gave {error:?}") };
        assert!(given.contains(reason), "`{path}` gave `{given}`");
    }
}

#[tokio::test]
async fn a_name_that_is_no_utf8_is_read_like_any_other() {
    let tree = Tree::new();
    for name in [&b"\xff\xfe"[..], b"back\\slash", b"line\nfeed", "ä".as_bytes()] {
        let name = std::ffi::OsStr::from_bytes(name);
        tree.write(name, "x");
        let (loader, key) = (late(&tree), tree.file(name));
        let loaded = loader.read(&key).await.unwrap();
        assert_eq!(loaded.value.as_deref(), Some(&b"x"[..]), "at `{key}`");
        check(&loader, &key, &loaded, Check::Unchanged);
        tree.let_the_clock_tick(name);
        tree.write(name, "y");
        check(&loader, &key, &loaded, Check::Changed);
    }
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_with_the_limit() {
    let tree = Tree::new();
    let path = tree.write("a", "");
    File::options().write(true).open(&path).unwrap().set_len(LARGEST + 1).unwrap();
    let error = late(&tree).read(&tree.file("a")).await.unwrap_err();
    assert!(
        matches!(error, LoadError::TooLarge { actual, limit: LARGEST, .. } if actual == LARGEST + 1),
        "{error:?}"
    );
}

#[test]
fn asking_allocates_nothing() {
    let tree = Tree::new();
    tree.write("a", "x");
    let (loader, key) = (late(&tree), tree.file("a"));
    let loaded = steady::load(&tree.workspace, &key, in_ten_seconds, &Content).unwrap();
    let validator: Validator = loaded.validator.unwrap();
    let mut answer = None;
    let counted = allocation_counter::measure(|| answer = loader.check_now(&key, &validator));
    assert_eq!(answer, Some(Check::Unchanged));
    assert_eq!(counted.count_total, 0);
}

/// Reads a file in two halves, and has somebody do something between them.
struct Meddled<F> {
    reads: AtomicU32,
    meddle: F,
}

impl<F: Fn(u32)> Meddled<F> {
    fn by(meddle: F) -> Self {
        Self { reads: AtomicU32::new(0), meddle }
    }
}

impl<F: Fn(u32)> Reader for Meddled<F> {
    fn wanted(&self) -> FileType {
        Content.wanted()
    }

    fn names(&self, workspace: &Workspace, confined: &Confined) -> Vec<Name> {
        Content.names(workspace, confined)
    }

    fn read(&self, file: &File) -> Result<Vec<u8>, NotRead> {
        let mut halves = [0; 8];
        file.read_exact_at(&mut halves[..4], 0).map_err(NotRead::Refused)?;
        (self.meddle)(self.reads.fetch_add(1, Ordering::Relaxed));
        file.read_exact_at(&mut halves[4..], 4).map_err(NotRead::Refused)?;
        Ok(halves.to_vec())
    }
}

#[test]
fn a_write_between_two_halves_of_a_read_is_never_a_mixture() {
    for clock in [Moment::now, in_ten_seconds] {
        let tree = Tree::new();
        let path = tree.write("a", "AAAAAAAA");
        tree.let_the_clock_tick("a");
        let reader = Meddled::by(|read| {
            if read == 0 {
                std::fs::write(&path, "BBBBBBBB").unwrap();
            }
        });
        let loaded = steady::load(&tree.workspace, &tree.file("a"), clock, &reader).unwrap();
        assert_eq!(loaded.value.unwrap(), "BBBBBBBB");
    }
}

#[test]
fn a_file_renamed_over_during_its_read_is_read_again() {
    for clock in [Moment::now, in_ten_seconds] {
        let tree = Tree::new();
        let path = tree.write("a", "AAAAAAAA");
        let reader = Meddled::by(|read| {
            if read == 0 {
                std::fs::rename(tree.write("b", "BBBBBBBB"), &path).unwrap();
            }
        });
        let loaded = steady::load(&tree.workspace, &tree.file("a"), clock, &reader).unwrap();
        assert_eq!(loaded.value.unwrap(), "BBBBBBBB");
    }
}

#[test]
fn a_file_that_changes_during_every_read_is_unstable() {
    let tree = Tree::new();
    let path = tree.write("a", "AAAAAAAA");
    let reader = Meddled::by(|read| std::fs::write(&path, format!("{read:08}")).unwrap());
    let error = steady::load(&tree.workspace, &tree.file("a"), Moment::now, &reader).unwrap_err();
    assert!(matches!(error, LoadError::Unstable { tries: 8, .. }), "{error:?}");
}

/// Has somebody do something when the names are asked for: after the path was resolved and before anything is opened.
struct Resolved<F>(F);

impl<F: Fn()> Reader for Resolved<F> {
    fn wanted(&self) -> FileType {
        Content.wanted()
    }

    fn names(&self, workspace: &Workspace, confined: &Confined) -> Vec<Name> {
        self.0();
        Content.names(workspace, confined)
    }

    fn read(&self, file: &File) -> Result<Vec<u8>, NotRead> {
        Content.read(file)
    }
}

#[test]
fn a_link_swapped_in_after_the_path_was_resolved_is_not_followed() {
    let tree = Tree::new();
    tree.write("dir/a", "inside");
    std::fs::write(tree.outside("a"), "secret").unwrap();
    let reader = Resolved(|| {
        if !tree.at("dir").is_symlink() {
            std::fs::rename(tree.at("dir"), tree.at("away")).unwrap();
            symlink(tree.outside(""), tree.at("dir")).unwrap();
        }
    });
    let error = steady::load(&tree.workspace, &tree.file("dir/a"), in_ten_seconds, &reader).unwrap_err();
    assert!(matches!(error, LoadError::Denied { .. }), "{error:?}");
}

#[test]
fn a_link_turned_to_another_place_is_never_a_missing_file() {
    let tree = Tree::new();
    tree.write("old/a", "old");
    tree.write("new/a", "new");
    symlink("old", tree.at("link")).unwrap();
    let reader = Resolved(|| {
        if tree.at("old").exists() {
            symlink("new", tree.at("next")).unwrap();
            std::fs::rename(tree.at("next"), tree.at("link")).unwrap();
            std::fs::remove_dir_all(tree.at("old")).unwrap();
        }
    });
    let loaded = steady::load(&tree.workspace, &tree.file("link/a"), in_ten_seconds, &reader).unwrap();
    assert_eq!(loaded.value.unwrap(), "new");
}

#[test]
fn what_the_file_system_refuses_is_no_missing_file() {
    let key = Key::parse("file:/a").unwrap();
    for error in [Errno::ACCESS, Errno::PERM] {
        assert!(matches!(steady::refused(&key, error), LoadError::Denied { .. }));
    }
    for error in [Errno::IO, Errno::NAMETOOLONG, Errno::MFILE, Errno::STALE] {
        assert!(matches!(steady::refused(&key, error), LoadError::Failed { .. }));
    }
}

#[test]
fn a_file_written_in_place_all_the_time_is_never_torn() {
    const SIZE: usize = 256 << 10;
    let tree = Tree::new();
    let path = tree.write("a", vec![0; SIZE]);
    let key = tree.file("a");
    let done = std::sync::atomic::AtomicBool::new(false);
    let mut read = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(&path).unwrap();
            // Contents never come back, so a state of the file is a beginning of one version and the rest of the one
            // before: that is how the file stands while a single `write` is under way.
            for version in (1..u64::MAX).take_while(|_| !done.load(Ordering::Relaxed)) {
                file.write_all_at(&version.to_le_bytes().repeat(SIZE / 8), 0).unwrap();
                (0..200).for_each(|_| std::thread::yield_now());
            }
        });
        for _ in 0..1000 {
            let Ok(loaded) = steady::load(&tree.workspace, &key, Moment::now, &Content) else {
                continue;
            };
            read += 1;
            let value = loaded.value.unwrap();
            let versions = value.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
            let mut runs: Vec<u64> = versions.collect();
            runs.dedup();
            let is_a_state = match runs[..] {
                [_] => true,
                [new, old] => new == old + 1,
                _ => false,
            };
            if !is_a_state {
                done.store(true, Ordering::Relaxed);
            }
            assert!(is_a_state, "read {runs:?}");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(read > 0);
}
