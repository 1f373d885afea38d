//! What git ignores.

use std::fs;

use super::site::Site;

fn with_target() -> Site {
    let site = Site::new();
    site.mkdir(".git/info");
    site.mkdir("target/deep");
    site.mkdir("src/target");
    site.mkdir(".hidden");
    site.write(".gitignore", "target/\n");
    site
}

#[tokio::test]
async fn an_ignored_directory_is_not_watched_and_a_hidden_one_is() {
    let site = with_target();
    let watched = site.watch().await;
    assert_eq!(watched.watched(), ["R", "R/.git", "R/.git/info", "R/.hidden", "R/src"]);
    site.write("target/deep/f", "x");
    assert!(watched.told().await.is_empty());
    // New ones neither, though they are told.
    site.mkdir("src/more/target/deep");
    let told = watched.told().await;
    assert!(told.contains(&"created dir:R/src/more/target".to_owned()), "{told:?}");
    assert!(watched.is_watched("src/more") && !watched.is_watched("src/more/target"));
    fs::remove_dir_all(site.path("target")).unwrap();
    assert_eq!(watched.told().await, ["deleted dir:R/target"]);
}

#[tokio::test]
async fn what_is_no_longer_ignored_is_watched() {
    let site = with_target();
    let watched = site.watch().await;
    site.write(".gitignore", "nothing\n");
    let stale = watched.stale().await;
    for name in ["file:R/.gitignore", "tag:tree:R/target", "tag:tree:R/src/target"] {
        assert!(stale.contains(&name.to_owned()), "{name} in {stale:?}");
    }
    assert!(!stale.contains(&"file:R/target/deep/f".to_owned()), "what was there is not new");
    assert!(watched.is_watched("target/deep") && watched.is_watched("src/target"));
    site.write("target/deep/f", "x");
    assert_eq!(watched.told_first().await, ["created file:R/target/deep/f"]);
}

#[tokio::test]
async fn what_becomes_ignored_is_no_longer_watched_and_stale_after_that() {
    let site = with_target();
    site.mkdir("src/gen/deep");
    let watched = site.watch().await;
    assert!(watched.is_watched("src/gen/deep"));
    site.write("src/.gitignore", "gen\n!target\n");
    let stale = watched.stale().await;
    assert!(stale.contains(&"tag:tree:R/src/gen".to_owned()), "{stale:?}");
    assert!(!watched.is_watched("src/gen") && !watched.is_watched("src/gen/deep"));
    assert!(watched.is_watched("src/target"), "the nearer pattern decides");
    site.write("src/gen/deep/f", "x");
    assert!(watched.told().await.is_empty());
    fs::remove_file(site.path("src/.gitignore")).unwrap();
    watched.told().await;
    assert!(watched.is_watched("src/gen/deep") && !watched.is_watched("src/target"));
}

#[tokio::test]
async fn the_exclude_file_of_a_repository_counts() {
    let site = with_target();
    let watched = site.watch().await;
    site.write(".git/info/exclude", "src\n");
    watched.told().await;
    assert!(!watched.is_watched("src"));
    site.write(".git/info/exclude", "");
    watched.told().await;
    assert!(watched.is_watched("src"));
}

#[tokio::test]
async fn a_directory_moved_into_an_ignored_place_is_no_longer_watched() {
    let site = with_target();
    site.mkdir("a/b");
    let watched = site.watch().await;
    site.rename("a", "target/a");
    let told = watched.told().await;
    assert_eq!(told, ["deleted dir:R/a"]);
    assert!(!watched.is_watched("a/b") && !watched.is_watched("target/a/b"));
    site.rename("target/a", "a");
    watched.told().await;
    assert!(watched.is_watched("a/b"));
    site.rename("a", "src/target2");
    site.write(".gitignore", "target2");
    watched.told().await;
    site.write("src/target2/b/f", "x");
    assert_eq!(watched.told().await, Vec::<String>::new());
}

#[tokio::test]
async fn patterns_that_come_with_a_new_tree_count() {
    let site = Site::new();
    let watched = site.watch().await;
    fs::create_dir_all(site.outside.join("p/out/deep")).unwrap();
    fs::write(site.outside.join("p/.gitignore"), "out\n").unwrap();
    fs::rename(site.outside.join("p"), site.path("p")).unwrap();
    watched.told().await;
    assert!(watched.is_watched("p") && !watched.is_watched("p/out"));
}
