//! What may have been missed, and what can not be watched or published.

use std::fs;
use std::time::Duration;

use super::site::Site;
use crate::sources::Source;
use crate::sources::local::publish::Refusal;
use crate::sources::local::{Local, LocalOptions, StartError};
use crate::store::Mark;
use crate::workspace::Workspace;

#[tokio::test]
async fn an_overflow_puts_the_root_in_doubt_and_walks_it_again() {
    let mut site = Site::new();
    site.options.queue = 4;
    site.mkdir("a");
    let watched = site.watch().await;
    let before = site.recorder.begun();
    site.recorder.hold();
    site.write("a/f", "x");
    site.recorder.begun_after(before).await;
    let barrier = watched.local.barriers().remove(0);
    let waiting = tokio::spawn(async move { barrier.barrier().await });
    for i in 0..200 {
        site.write(&format!("a/f{i}"), "x");
    }
    // Missed: the watches of `b` would go on to report `a`.
    site.rename("a", "b");
    site.mkdir("a/new");
    site.recorder.release();
    // The cookie came before what was missed, or it was missed as well; either way nobody waits for it in vain.
    let answer = tokio::time::timeout(site.options.barrier_time / 2, waiting).await;
    let _ = answer.expect("the loss or the renewal answers it").unwrap();
    watched
        .until("vouched for again", |watched| {
            watched.mark() == Some(Mark::Vouched) && watched.health().0 == "live"
        })
        .await;
    let batches = watched.new_batches();
    let lost =
        batches.iter().position(|batch| batch.names.iter().any(|one| one.mark == Mark::InDoubt)).unwrap();
    assert_eq!(batches[lost].events[0].ty.as_str(), "system.resync");
    assert!(batches[lost].cause.contains("overflow"));
    let vouched = batches.iter().rposition(|batch| batch.names.iter().any(|one| one.mark == Mark::Vouched));
    assert!(vouched > Some(lost));
    assert_eq!(watched.watched(), ["R", "R/a", "R/a/new", "R/b"]);
    for path in ["b/f", "a/new/f"] {
        site.write(path, "2");
        let told = watched.told_first().await;
        assert!(told[0].ends_with(&format!("file:R/{path}")) && told.len() == 1, "{told:?}");
    }
}

#[tokio::test]
async fn what_overflows_fails_the_barrier_that_waits() {
    let mut site = Site::new();
    site.options.queue = 4;
    let watched = site.watch().await;
    let before = site.recorder.begun();
    site.recorder.hold();
    site.write("f", "x");
    site.recorder.begun_after(before).await;
    for i in 0..200 {
        site.write(&format!("f{i}"), "x");
    }
    let barrier = watched.local.barriers().remove(0);
    let waiting = tokio::spawn(async move { barrier.barrier().await });
    let data = site.options.cookie_dir.clone();
    // The cookie is written after the queue is full, so it never comes.
    watched.until("the cookie is gone again", |_| fs::read_dir(&data).unwrap().count() == 0).await;
    tokio::task::yield_now().await;
    site.recorder.release();
    match waiting.await.unwrap() {
        Err(error) => assert!(error.reason.contains("overflow"), "{error}"),
        // Written only after the loss, to the new watcher.
        Ok(()) => assert_ne!(watched.mark(), None),
    }
}

#[tokio::test]
async fn a_directory_that_can_not_be_watched_degrades_until_it_can() {
    let site = Site::new();
    site.mkdir("a/no/below");
    site.mkdir("b");
    site.options.faults.refuse(&site.path("a/no"));
    let watched = site.watch().await;
    let (health, reason) = watched.health();
    assert_eq!(health, "degraded");
    assert!(reason.contains("a/no") && reason.contains("the test says so"), "{reason}");
    assert_eq!(watched.watched(), ["R", "R/a", "R/b"]);
    assert_eq!(watched.mark(), Some(Mark::Vouched));
    let repo = watched.workspace.confine(&site.path("a/no/f")).unwrap();
    assert!(watched.workspace.names_of_file(&repo).contains(&repo.root.unwatched()));
    site.options.faults.allow(&site.path("a/no"));
    watched.until("it is watched", |watched| watched.health().0 == "live").await;
    assert!(watched.stale().await.contains(&"tag:tree:R/a/no".to_owned()));
    site.write("a/no/below/f", "x");
    assert_eq!(watched.told_first().await, ["created file:R/a/no/below/f"]);
}

#[tokio::test]
async fn a_new_directory_that_can_not_be_watched_degrades_too() {
    let site = Site::new();
    site.options.faults.refuse(&site.path("no"));
    let watched = site.watch().await;
    site.mkdir("no");
    assert_eq!(watched.told().await, ["created dir:R/no"]);
    assert_eq!(watched.health().0, "degraded");
    fs::remove_dir(site.path("no")).unwrap();
    assert_eq!(watched.told().await, ["deleted dir:R/no"]);
    assert_eq!(watched.health().0, "live");
}

#[tokio::test]
async fn a_task_that_is_killed_leaves_doubt_and_no_coverage() {
    let site = Site::new();
    let watched = site.watch().await;
    let barrier = watched.local.barriers().remove(0);
    watched.local.pipeline.abort();
    watched.until("in doubt", |watched| watched.mark() == Some(Mark::InDoubt)).await;
    assert!(!watched.is_watched(""));
    assert_eq!(watched.health().0, "down");
    assert!(barrier.barrier().await.unwrap_err().reason.contains("broke off"));
    watched.local.stop().await;
}

#[tokio::test]
async fn a_watcher_thread_that_dies_leaves_doubt() {
    let site = Site::new();
    let watched = site.watch().await;
    site.write(crate::sources::local::testing::KILLS_THE_WATCHER, "x");
    watched.until("in doubt", |watched| watched.mark() == Some(Mark::InDoubt)).await;
    assert!(!watched.is_watched(""));
    let (health, reason) = watched.health();
    assert_eq!((health.as_str(), reason.as_str()), ("down", "the watcher has ended"));
    assert!(watched.try_barrier().await.is_err());
    watched.local.stop().await;
}

#[tokio::test]
async fn a_watcher_that_hangs_is_not_believed_for_longer_than_its_lease() {
    let mut site = Site::new();
    site.options.lease = Duration::from_millis(200);
    let watched = site.watch().await;
    site.write(crate::sources::local::testing::HOLDS_THE_WATCHER, "x");
    watched.until("in doubt", |watched| watched.mark() == Some(Mark::InDoubt)).await;
    watched.until("down", |watched| watched.health().0 == "down").await;
    assert!(!watched.is_watched(""));
    assert!(watched.health().1.contains("no sign of life"), "{:?}", watched.health());
    fs::remove_file(site.path(crate::sources::local::testing::HOLDS_THE_WATCHER)).unwrap();
    watched.until("vouched for", |watched| watched.mark() == Some(Mark::Vouched)).await;
    watched.until("live", |watched| watched.health().0 == "live").await;
    assert!(watched.is_watched(""));
}

#[tokio::test]
async fn an_overflow_of_the_kernels_queue_puts_the_root_in_doubt_and_walks_it_again() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let site = Site::new();
    site.mkdir("a");
    let watched = site.watch().await;
    let before = watched.marks_after(0).len();
    // The thread that empties the queue is held until more has happened than the queue has room for.
    site.write(crate::sources::local::testing::HOLDS_THE_WATCHER, "x");
    let (one, other) = (site.path("a/f"), site.path("a/g"));
    fs::write(&one, "x").unwrap();
    // More than fits by far: what the thread read together with the file that holds it is not in the queue any more.
    for _ in 0..limit / 2 {
        // Each says four things: from and to, twice.
        fs::rename(&one, &other).unwrap();
        fs::rename(&other, &one).unwrap();
    }
    // Said to nobody.
    site.mkdir("a/new");
    fs::remove_file(site.path(crate::sources::local::testing::HOLDS_THE_WATCHER)).unwrap();
    // It may be over before anybody looks.
    watched
        .until("vouched for again", |watched| watched.marks_after(before).last() == Some(&Mark::Vouched))
        .await;
    assert_eq!(watched.marks_after(before)[0], Mark::InDoubt);
    watched.until("live", |watched| watched.health().0 == "live").await;
    assert!(watched.is_watched("a/new"));
}

#[tokio::test]
async fn a_doubt_that_is_refused_is_tried_until_it_is_taken() {
    let site = Site::new();
    let watched = site.watch().await;
    site.recorder.refuse(|_| true, Refusal::Log("full".into()));
    watched.local.pipeline.abort();
    watched.until("down", |watched| watched.health().0 == "down").await;
    site.recorder.accept();
    watched.until("in doubt", |watched| watched.mark() == Some(Mark::InDoubt)).await;
}

#[tokio::test]
async fn a_root_that_goes_is_in_doubt_and_watched_again_when_it_returns() {
    let site = Site::new();
    site.mkdir("a");
    let watched = site.watch().await;
    fs::rename(&site.root, site.outside.join("gone")).unwrap();
    watched.until("down", |watched| watched.health().0 == "down").await;
    assert_eq!(watched.mark(), Some(Mark::InDoubt));
    assert!(watched.health().1.contains("gone"));
    assert!(!watched.is_watched("a"));
    fs::write(site.outside.join("gone/a/f"), "x").unwrap();
    let stale = watched.stale().await;
    assert!(!stale.iter().any(|name| name.contains("a/f")), "{stale:?}");
    site.mkdir("b");
    watched.until("live", |watched| watched.health().0 == "live").await;
    assert_eq!(watched.mark(), Some(Mark::Vouched));
    assert_eq!(watched.watched(), ["R", "R/b"]);
}

#[tokio::test]
async fn a_root_that_is_replaced_through_a_directory_above_it_is_noticed_by_the_barrier() {
    let mut site = Site::new();
    // Only the barrier looks.
    site.options.retry = std::time::Duration::from_secs(3600);
    let above = site.at().join("above");
    fs::create_dir_all(above.join("root/a")).unwrap();
    site.root = above.join("root");
    let watched = site.watch().await;
    fs::rename(&above, site.outside.join("above")).unwrap();
    fs::create_dir_all(site.root.join("b")).unwrap();
    watched.barrier().await;
    let marks: Vec<_> = watched.new_batches().iter().flat_map(|batch| batch.names.clone()).collect();
    assert!(marks.iter().any(|one| one.mark == Mark::InDoubt), "{marks:?}");
    watched.local.walked().await;
    assert_eq!(watched.watched(), ["R", "R/b"]);
}

#[tokio::test]
async fn names_are_moved_although_the_log_takes_no_events_and_a_resync_follows() {
    let site = Site::new();
    let watched = site.watch().await;
    site.recorder.refuse(|events| !events.is_empty(), Refusal::Log("the disk is full".into()));
    site.write("f", "x");
    let stale = watched.stale().await;
    assert!(stale.contains(&"file:R/f".to_owned()) && stale.contains(&"dir:R".to_owned()), "{stale:?}");
    assert!(watched.health().1.contains("the disk is full"));
    site.recorder.accept();
    watched.until("live", |watched| watched.health().0 == "live").await;
    assert_eq!(watched.told().await, ["resync "]);
}

#[tokio::test]
async fn one_event_that_is_refused_does_not_take_the_others_with_it() {
    let site = Site::new();
    let watched = site.watch().await;
    let has_secret = |events: &[crate::event_stream::Outgoing]| {
        events.iter().any(|one| one.event.subject.as_deref().is_some_and(|text| text.contains("secret")))
    };
    site.recorder.refuse(has_secret, Refusal::Events("a secret".into()));
    let before = site.recorder.begun();
    site.recorder.hold();
    site.write("first", "x");
    site.recorder.begun_after(before).await;
    for path in ["a", "secret", "b"] {
        site.write(path, "x");
    }
    site.recorder.release();
    let batches = watched.batches().await;
    let stale: Vec<String> = batches.iter().flat_map(|batch| watched.names(batch)).collect();
    let told = batches.iter().flat_map(|batch| &batch.events).filter_map(|event| event.subject.clone());
    let told: Vec<String> = told.map(|subject| site.short(&subject)).collect();
    assert!(stale.contains(&"file:R/secret".to_owned()), "{stale:?}");
    for path in ["file:R/a", "file:R/b"] {
        assert!(told.contains(&path.to_owned()), "{path} in {told:?}");
    }
    assert!(!told.iter().any(|line| line.contains("secret")));
}

#[tokio::test]
async fn a_store_that_is_closed_ends_it() {
    let site = Site::new();
    let watched = site.watch().await;
    site.recorder.refuse(|_| true, Refusal::Closed);
    site.write("f", "x");
    watched.until("down", |watched| watched.health().0 == "down").await;
    watched.local.stop().await;
}

#[tokio::test]
async fn the_directory_of_the_cookies_is_made_again() {
    let site = Site::new();
    let watched = site.watch().await;
    fs::remove_dir_all(&site.options.cookie_dir).unwrap();
    watched.until("it is there", |_| site.options.cookie_dir.is_dir()).await;
    let mut answer = watched.try_barrier().await;
    while answer.is_err() {
        answer = watched.try_barrier().await;
    }
    site.write("f", "x");
    assert!(watched.told().await.contains(&"created file:R/f".to_owned()));
}

#[tokio::test]
async fn cookies_in_a_root_are_refused_before_anything_is_made() {
    let site = Site::new();
    let workspace = std::sync::Arc::new(Workspace::new(vec![site.root.clone()]).unwrap());
    let options = LocalOptions::new(site.path("data/cookies"));
    let refused = Local::start_with(site.recorder.clone(), workspace, options).await;
    assert!(matches!(refused, Err(StartError::CookiesInRoot { .. })));
    assert!(!site.path("data").exists());
    assert!(site.recorder.batches().is_empty());
}

#[tokio::test]
async fn what_a_crash_left_among_the_cookies_is_taken_away() {
    let site = Site::new();
    fs::create_dir_all(&site.options.cookie_dir).unwrap();
    fs::write(site.options.cookie_dir.join("cookie-old-1"), "").unwrap();
    let watched = site.watch().await;
    assert_eq!(fs::read_dir(&site.options.cookie_dir).unwrap().count(), 0);
    drop(watched);
}
