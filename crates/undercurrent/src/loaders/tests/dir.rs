use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::dir::DirLoader;
use super::*;
use crate::cache::{Check, LoadError, Loaded, Loader};

fn late(tree: &Tree) -> DirLoader {
    DirLoader::new(Arc::clone(&tree.workspace)).with_clock(in_ten_seconds)
}

#[track_caller]
fn check(loader: &DirLoader, key: &Key, loaded: &Loaded, expected: Check) {
    assert_eq!(loader.check_now(key, loaded.validator.as_ref().unwrap()), Some(expected));
}

#[tokio::test]
async fn a_listing_has_every_name_once_sorted_with_its_type() {
    let tree = Tree::new();
    for name in ["d/b", "d/B", "d/a b", "d/ä", "d/.git/x", "d/at@", "d/sub/x", "d/zz/", "d/a@b"] {
        if name.ends_with('/') {
            std::fs::create_dir(tree.at(name)).unwrap();
        } else {
            tree.write(name, "");
        }
    }
    for name in [&b"\xff"[..], b"new\nline", b"back\\slash"] {
        tree.write(Path::new("d").join(OsStr::from_bytes(name)), "");
    }
    symlink("sub", tree.at("d/link")).unwrap();
    symlink("/nowhere", tree.at("d/dangling")).unwrap();
    mknodat(CWD, tree.at("d/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let loaded = late(&tree).read(&tree.dir("d")).await.unwrap();
    let expected = [
        ".git/",
        "B",
        "a b",
        "a@b",
        r"at\x40",
        "b",
        r"back\x5cslash",
        "dangling@",
        "link@",
        r"new\x0aline",
        "pipe",
        "sub/",
        "zz/",
        "ä",
        r"\xff",
    ];
    assert_eq!(loaded.value.unwrap(), expected.join("\n") + "\n");
}

#[tokio::test]
async fn an_empty_directory_is_not_a_missing_one() {
    let tree = Tree::new();
    std::fs::create_dir(tree.at("empty")).unwrap();
    let loader = late(&tree);
    assert_eq!(loader.read(&tree.dir("empty")).await.unwrap().value.as_deref(), Some(&b""[..]));
    let missing = loader.read(&tree.dir("missing")).await.unwrap();
    assert_eq!(missing.value, None);
    check(&loader, &tree.dir("missing"), &missing, Check::Unchanged);
    std::fs::create_dir(tree.at("missing")).unwrap();
    check(&loader, &tree.dir("missing"), &missing, Check::Changed);
}

#[tokio::test]
async fn the_stat_covers_what_the_listing_says_and_no_more() {
    type Change = fn(&Tree);
    let cases: [(&str, Change, Check); 7] = [
        ("added", |t| drop(t.write("d/new", "")), Check::Changed),
        ("removed", |t| std::fs::remove_file(t.at("d/a")).unwrap(), Check::Changed),
        ("renamed", |t| std::fs::rename(t.at("d/a"), t.at("d/b")).unwrap(), Check::Changed),
        (
            "replaced by a directory",
            |t| {
                std::fs::remove_file(t.at("d/a")).unwrap();
                std::fs::create_dir(t.at("d/a")).unwrap();
            },
            Check::Changed,
        ),
        (
            "the directory exchanged",
            |t| {
                std::fs::rename(t.at("d"), t.at("e")).unwrap();
                t.write("d/a", "");
            },
            Check::Changed,
        ),
        ("an entry written", |t| drop(t.write("d/a", "content")), Check::Unchanged),
        ("a file added below an entry", |t| drop(t.write("d/sub/new", "")), Check::Unchanged),
    ];
    for (what, change, expected) in cases {
        let tree = Tree::new();
        tree.write("d/a", "");
        tree.write("d/sub/x", "");
        let (loader, key) = (late(&tree), tree.dir("d"));
        let loaded = loader.read(&key).await.unwrap();
        check(&loader, &key, &loaded, Check::Unchanged);
        tree.let_the_clock_tick("d");
        change(&tree);
        assert_eq!(loader.check_now(&key, loaded.validator.as_ref().unwrap()), Some(expected), "when {what}");
    }
}

#[tokio::test]
async fn the_root_itself_can_be_listed_and_a_file_can_not() {
    let tree = Tree::new();
    tree.write("a", "");
    let loader = late(&tree);
    assert_eq!(loader.read(&tree.dir("")).await.unwrap().value.unwrap(), "a\n");
    let error = loader.read(&tree.dir("a")).await.unwrap_err();
    let hint = format!("`file:{}/a`", tree.root().display());
    assert!(error.to_string().contains(&hint), "{error}");
}

#[tokio::test]
async fn a_directory_outside_the_roots_is_denied() {
    let tree = Tree::new();
    symlink("../outside", tree.at("link")).unwrap();
    for key in [tree.dir("link"), tree.dir("../outside"), tree.dir(".."), Key::parse("dir:/").unwrap()] {
        let error = late(&tree).read(&key).await.unwrap_err();
        assert!(matches!(error, LoadError::Denied { .. }), "`{key}` gave {error:?}");
    }
}

#[tokio::test]
async fn a_directory_that_has_just_changed_is_vouched_for_by_nothing() {
    let tree = Tree::new();
    tree.write("d/a", "");
    let loader = DirLoader::new(Arc::clone(&tree.workspace));
    let loaded = loader.read(&tree.dir("d")).await.unwrap();
    check(&loader, &tree.dir("d"), &loaded, Check::Changed);
}
