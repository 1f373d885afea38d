//! Directories that move.

use std::fs;
use std::sync::Arc;

use super::site::Site;
use crate::workspace::Workspace;

fn with_tree() -> Site {
    let site = Site::new();
    site.mkdir("a/b/c");
    site.write("a/b/c/f", "1");
    site.mkdir("z");
    site
}

#[tokio::test]
async fn a_directory_moved_within_a_root_is_watched_where_it_went() {
    let site = with_tree();
    let watched = site.watch().await;
    site.rename("a", "z/moved");
    let batches = watched.batches().await;
    let stale: Vec<Vec<String>> = batches.iter().map(|batch| watched.names(batch)).collect();
    for name in ["tag:tree:R/a", "tag:tree:R/z/moved", "file:R/z/moved/b/c/f"] {
        assert!(stale.concat().contains(&name.to_owned()), "{name} in {stale:?}");
    }
    let last = stale.iter().rposition(|names| names.contains(&"tag:tree:R/z/moved".to_owned())).unwrap();
    let within = stale.iter().position(|names| names.contains(&"file:R/z/moved/b/c/f".to_owned())).unwrap();
    assert!(within <= last, "its tree is stale once more when all of it is watched: {stale:?}");
    assert_eq!(watched.watched(), ["R", "R/z", "R/z/moved", "R/z/moved/b", "R/z/moved/b/c"]);
    site.write("z/moved/b/c/f", "2");
    assert_eq!(watched.told().await, ["modified file:R/z/moved/b/c/f"]);
    // Its old path is another directory now.
    site.mkdir("a/b/c");
    site.write("a/b/c/f", "3");
    assert!(watched.told().await.contains(&"created file:R/a/b/c/f".to_owned()));
    site.write("z/moved/b/c/f", "4");
    assert_eq!(watched.told().await, ["modified file:R/z/moved/b/c/f"]);
}

#[tokio::test]
async fn a_move_says_where_from() {
    let site = with_tree();
    let watched = site.watch().await;
    site.rename("a/b", "a/x");
    let told = watched.told().await;
    assert_eq!(told[0], "moved dir:R/a/x from R/a/b");
    assert!(!told.iter().any(|line| line.starts_with("deleted")), "{told:?}");
}

#[tokio::test]
async fn a_directory_moved_in_is_seen_whole_and_one_moved_out_is_gone() {
    let site = with_tree();
    fs::create_dir_all(site.outside.join("d/e")).unwrap();
    fs::write(site.outside.join("d/e/f"), "1").unwrap();
    let watched = site.watch().await;
    fs::rename(site.outside.join("d"), site.path("d")).unwrap();
    let told = watched.told().await;
    for line in ["created dir:R/d", "created dir:R/d/e", "created file:R/d/e/f"] {
        assert!(told.contains(&line.to_owned()), "{line} in {told:?}");
    }
    assert!(watched.is_watched("d/e"));
    fs::rename(site.path("a"), site.outside.join("a")).unwrap();
    assert_eq!(watched.told().await, ["deleted dir:R/a"]);
    fs::write(site.outside.join("a/b/c/f"), "2").unwrap();
    assert!(watched.told().await.is_empty(), "what went out is watched no more");
    assert_eq!(watched.watched(), ["R", "R/d", "R/d/e", "R/z"]);
}

#[tokio::test]
async fn a_directory_moved_over_an_empty_one_takes_its_place() {
    let site = with_tree();
    site.mkdir("empty");
    let watched = site.watch().await;
    site.rename("a", "empty");
    watched.told().await;
    assert_eq!(watched.watched(), ["R", "R/empty", "R/empty/b", "R/empty/b/c", "R/z"]);
    site.write("empty/b/c/f", "2");
    assert_eq!(watched.told().await, ["modified file:R/empty/b/c/f"]);
}

#[tokio::test]
async fn directories_that_change_places_keep_their_watches_apart() {
    let site = Site::new();
    for dir in ["x/in", "y/in"] {
        site.mkdir(dir);
        site.write(&format!("{dir}/f"), "1");
    }
    let watched = site.watch().await;
    for round in 0..50 {
        site.rename("x", "t");
        site.rename("y", "x");
        site.rename("t", "y");
        if round % 3 == 0 {
            watched.barrier().await;
        }
    }
    watched.told().await;
    assert_eq!(watched.watched(), ["R", "R/x", "R/x/in", "R/y", "R/y/in"]);
    for path in ["x/in/f", "y/in/f"] {
        site.write(path, "2");
        assert_eq!(watched.told().await, [format!("modified file:R/{path}")]);
    }
}

#[tokio::test]
async fn a_directory_deleted_and_created_again_is_watched_again() {
    let site = with_tree();
    let watched = site.watch().await;
    for _ in 0..20 {
        fs::remove_dir_all(site.path("a")).unwrap();
        site.mkdir("a/b/c");
        site.write("a/b/c/f", "2");
        let stale = watched.stale().await;
        for name in ["tag:tree:R/a", "file:R/a/b/c/f"] {
            assert!(stale.contains(&name.to_owned()), "{name} in {stale:?}");
        }
        assert_eq!(watched.watched(), ["R", "R/a", "R/a/b", "R/a/b/c", "R/z"]);
        site.write("a/b/c/f", "3");
        assert_eq!(watched.told().await, ["modified file:R/a/b/c/f"]);
    }
    fs::remove_dir_all(site.path("a")).unwrap();
    let told = watched.told().await;
    assert!(told.contains(&"deleted dir:R/a".to_owned()), "{told:?}");
    assert_eq!(watched.watched(), ["R", "R/z"]);
}

#[tokio::test]
async fn a_directory_becomes_a_file_and_back() {
    let site = with_tree();
    let watched = site.watch().await;
    fs::remove_dir_all(site.path("a")).unwrap();
    site.write("a", "x");
    let stale = watched.stale().await;
    for name in ["tag:tree:R/a", "file:R/a"] {
        assert!(stale.contains(&name.to_owned()), "{name} in {stale:?}");
    }
    assert_eq!(watched.watched(), ["R", "R/z"]);
    fs::remove_file(site.path("a")).unwrap();
    site.mkdir("a");
    assert!(watched.told().await.contains(&"created dir:R/a".to_owned()));
    assert_eq!(watched.watched(), ["R", "R/a", "R/z"]);
}

#[tokio::test]
async fn a_directory_that_is_found_before_its_move_is_said_is_watched_where_it_is() {
    let site = Site::new();
    let watched = site.watch().await;
    // `n` is new, so its listing finds what was moved into it before the departure from `old` is read.
    for round in 0..50 {
        let (old, new) = (format!("old{round}"), format!("n{round}"));
        site.mkdir(&format!("{old}/deep"));
        watched.barrier().await;
        site.mkdir(&new);
        site.rename(&old, &format!("{new}/in"));
        watched.told().await;
        site.write(&format!("{new}/in/deep/f"), "x");
        assert_eq!(watched.told_first().await, [format!("created file:R/{new}/in/deep/f")], "round {round}");
        assert!(!watched.is_watched(&old));
    }
}

#[tokio::test]
async fn a_directory_moved_between_roots_is_told_in_both() {
    let site = with_tree();
    let roots = vec![site.root.clone(), site.outside.clone()];
    let workspace = Arc::new(Workspace::new(roots).unwrap());
    let watched = site.begin_with(workspace).await;
    watched.local.walked().await;
    watched.told().await;
    fs::rename(site.path("a"), site.outside.join("a")).unwrap();
    let batches = watched.batches().await;
    let events: Vec<_> = batches.iter().flat_map(|batch| &batch.events).collect();
    let said = |ty: &str, source: &str, change: &str| {
        events.iter().any(|event| {
            event.ty.as_str() == ty
                && event.source.as_str() == source
                && event.extension("change").as_deref() == Some(change)
        })
    };
    assert!(said("observation.directory_change", "local/root", "deleted"));
    assert!(said("observation.directory_change", "local/outside", "moved"));
    fs::write(site.outside.join("a/b/c/f"), "2").unwrap();
    assert_eq!(watched.told().await, ["modified file:O/a/b/c/f"]);
}
