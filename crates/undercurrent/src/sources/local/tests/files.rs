//! Files and new trees.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::site::Site;
use crate::sources::Source;
use crate::store::Mark;

#[tokio::test]
async fn a_root_is_in_doubt_before_the_start_returns_and_vouched_for_when_all_is_watched() {
    let site = Site::new();
    site.mkdir("a/b");
    site.recorder.hold();
    let started = tokio::spawn({
        let (recorder, root) = (site.recorder.clone(), site.root.clone());
        let options = site.options.clone();
        async move {
            let workspace = std::sync::Arc::new(crate::workspace::Workspace::new(vec![root]).unwrap());
            crate::sources::local::Local::start_with(recorder, workspace, options).await.unwrap()
        }
    });
    site.recorder.begun_after(0).await;
    assert!(!started.is_finished(), "it returns only when the root is in doubt");
    site.recorder.release();
    let local = started.await.unwrap();
    local.walked().await;
    let batches = site.recorder.batches();
    let marks: Vec<_> = batches.iter().flat_map(|batch| &batch.names).map(|one| one.mark).collect();
    assert_eq!(marks, [Mark::InDoubt, Mark::Vouched, Mark::Vouched], "the root, then it and the watcher");
    assert_eq!(batches[0].events[0].ty.as_str(), "system.resync");
    assert_eq!(batches.iter().map(|batch| batch.events.len()).sum::<usize>(), 1, "a walk is no change");
    let status = local.status().remove(0);
    assert_eq!((status.health.as_str(), status.directories), ("live", Some(3)));
}

#[tokio::test]
async fn a_change_of_a_file_is_told() {
    let site = Site::new();
    site.mkdir("a");
    site.write("a/f", "1");
    let watched = site.watch().await;
    site.write("a/f", "2");
    assert_eq!(watched.told().await, ["modified file:R/a/f"]);
    site.write("a/new", "1");
    assert_eq!(watched.told_first().await, ["created file:R/a/new"]);
    fs::remove_file(site.path("a/f")).unwrap();
    assert_eq!(watched.told_first().await, ["deleted file:R/a/f"]);
    fs::set_permissions(site.path("a/new"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(watched.told().await, ["modified file:R/a/new"]);
    fs::read(site.path("a/new")).unwrap();
    fs::read_dir(site.path("a")).unwrap().count();
    assert!(watched.told().await.is_empty(), "reading is no change");
}

#[tokio::test]
async fn a_file_renamed_over_another_is_told() {
    let site = Site::new();
    site.write("f", "1");
    let watched = site.watch().await;
    site.write("f.tmp", "2");
    site.rename("f.tmp", "f");
    let told = watched.told().await;
    assert!(told.contains(&"moved file:R/f from R/f.tmp".to_owned()), "{told:?}");
    assert!(told.contains(&"deleted file:R/f.tmp".to_owned()), "{told:?}");
}

#[tokio::test]
async fn a_file_deleted_and_created_again_is_told() {
    let site = Site::new();
    site.write("f", "1");
    let watched = site.watch().await;
    fs::remove_file(site.path("f")).unwrap();
    site.write("f", "1");
    let told = watched.told().await;
    assert!(told.iter().all(|line| line.ends_with("file:R/f")) && !told.is_empty(), "{told:?}");
    assert!(!told.last().unwrap().starts_with("deleted"), "{told:?}");
}

#[tokio::test]
async fn a_new_tree_filled_at_once_is_seen_whole() {
    let site = Site::new();
    let watched = site.watch().await;
    for round in 0..30 {
        let top = format!("t{round}");
        let mut expected = vec![format!("created dir:R/{top}")];
        let mut dir = top.clone();
        for depth in 0..8 {
            dir = format!("{dir}/d{depth}");
            site.mkdir(&dir);
            site.write(&format!("{dir}/f"), "x");
            expected.push(format!("created dir:R/{dir}"));
            expected.push(format!("created file:R/{dir}/f"));
        }
        let batches = watched.batches().await;
        let stale: Vec<String> = batches.iter().flat_map(|batch| watched.names(batch)).collect();
        for line in &expected {
            let (_, subject) = line.split_once(' ').unwrap();
            assert!(stale.contains(&subject.to_owned()), "round {round}: {subject} in {stale:?}");
        }
        assert!(watched.is_watched(&dir));
        // And all of it is really watched.
        site.write(&format!("{dir}/f"), "y");
        let told = watched.told().await;
        assert_eq!(told.last(), Some(&format!("modified file:R/{dir}/f")), "round {round}");
    }
    assert_eq!(watched.watched().len(), 1 + 30 * 9);
}

#[tokio::test]
async fn the_barrier_answers_after_every_earlier_write_was_published() {
    let site = Site::new();
    for i in 0..20 {
        site.mkdir(&format!("d{i}"));
    }
    let watched = site.watch().await;
    for i in 0..2000 {
        site.write(&format!("d{}/f{i}", i % 20), "x");
    }
    let stale: std::collections::HashSet<_> = watched.stale().await.into_iter().collect();
    for i in 0..2000 {
        assert!(stale.contains(&format!("file:R/d{}/f{i}", i % 20)), "{i}");
    }
}

#[tokio::test]
async fn the_barrier_waits_for_publishing() {
    let site = Site::new();
    let watched = site.watch().await;
    let before = site.recorder.begun();
    site.recorder.hold();
    site.write("f", "x");
    site.recorder.begun_after(before).await;
    let barrier = watched.local.barriers().remove(0);
    let waiting = tokio::spawn(async move { barrier.barrier().await });
    // Only what is not there can show that it waits: the batch at the gate.
    assert!(watched.new_batches().is_empty());
    assert!(!waiting.is_finished());
    site.recorder.release();
    waiting.await.unwrap().unwrap();
    assert_eq!(watched.names(&watched.new_batches()[0])[0], "file:R/f");
}

#[tokio::test]
async fn names_that_are_no_text_are_told_in_their_escaped_form() {
    let site = Site::new();
    let watched = site.watch().await;
    let dir = site.root.join(std::ffi::OsStr::from_bytes(b"d\xff"));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(std::ffi::OsStr::from_bytes(b"f\\\n\xfe")), "x").unwrap();
    let told = watched.told().await;
    assert!(told.contains(&r"created dir:R/d\xff".to_owned()), "{told:?}");
    assert!(told.contains(&r"created file:R/d\xff/f\x5c\x0a\xfe".to_owned()), "{told:?}");
    fs::write(dir.join("g"), "x").unwrap();
    assert_eq!(watched.told_first().await, [r"created file:R/d\xff/g"]);
}

#[tokio::test]
async fn a_link_is_told_and_not_followed() {
    let site = Site::new();
    site.mkdir("a");
    fs::write(site.outside.join("f"), "x").unwrap();
    symlink(&site.outside, site.path("out")).unwrap();
    let watched = site.watch().await;
    symlink("a", site.path("in")).unwrap();
    assert_eq!(watched.told_first().await, ["created file:R/in"]);
    fs::write(site.outside.join("f"), "y").unwrap();
    assert!(watched.told().await.is_empty());
    // Swapped by a rename, as `ln -sfn` does.
    symlink(".", site.path("in.new")).unwrap();
    site.rename("in.new", "in");
    assert!(watched.told().await.contains(&"moved file:R/in from R/in.new".to_owned()));
    assert_eq!(watched.watched(), ["R", "R/a"]);
}

#[tokio::test]
async fn permissions_of_a_directory_are_told_and_its_times_are_not() {
    let site = Site::new();
    site.mkdir("a/b");
    let watched = site.watch().await;
    fs::set_permissions(site.path("a"), fs::Permissions::from_mode(0o500)).unwrap();
    assert_eq!(watched.told().await, ["permissions dir:R/a"]);
    let file = fs::File::open(site.path("a/b")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert!(watched.told().await.is_empty());
    fs::set_permissions(&site.root, fs::Permissions::from_mode(0o750)).unwrap();
    assert_eq!(watched.told().await, ["permissions dir:R"]);
}

#[tokio::test]
async fn nothing_is_published_after_the_stop_and_the_root_is_in_doubt() {
    let site = Site::new();
    let watched = site.watch().await;
    for i in 0..500 {
        site.write(&format!("f{i}"), "x");
    }
    watched.local.stop().await;
    let count = site.recorder.batches().len();
    assert_eq!(watched.mark(), Some(Mark::InDoubt));
    assert!(!watched.is_watched(""));
    site.write("late", "x");
    assert!(watched.try_barrier().await.is_err());
    watched.local.stop().await;
    assert_eq!(site.recorder.batches().len(), count);
}
