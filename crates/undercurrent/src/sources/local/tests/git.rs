//! Repositories.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::site::{Batch, Site};

fn git(at: &Path, args: &[&str]) {
    let output = Command::new("git")
        .current_dir(at)
        .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"])
        .args(["-c", "gc.auto=0", "-c", "protocol.file.allow=always"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn with_repo(path: &str) -> Site {
    let site = Site::new();
    site.mkdir(path);
    let at = site.path(path);
    git(&at, &["init", "-q"]);
    fs::create_dir(at.join("src")).unwrap();
    fs::write(at.join("src/f"), "1").unwrap();
    git(&at, &["add", "."]);
    git(&at, &["commit", "-qm", "one"]);
    site
}

#[tokio::test]
async fn a_commit_is_one_change_of_the_repository() {
    let site = with_repo("");
    let watched = site.watch().await;
    assert!(watched.is_watched(".git/refs/heads"));
    assert!(!watched.is_watched(".git/objects"));
    git(&site.root, &["commit", "-q", "--allow-empty", "-m", "two"]);
    let told = watched.told().await;
    assert_eq!(told, ["git git:R#status"]);
    git(&site.root, &["tag", "t"]);
    assert_eq!(watched.told().await, ["git git:R#status"]);
}

#[tokio::test]
async fn files_name_their_repository_and_the_ones_around_it() {
    let site = with_repo("sub");
    let watched = site.watch().await;
    site.write("sub/src/f", "2");
    site.write("beside", "x");
    let batches = watched.batches().await;
    let repo_of = |path: &str| {
        let events = batches.iter().flat_map(|batch| &batch.events);
        let subject = format!("file:{}", site.path(path).display());
        let event = events.rev().find(|event| event.subject.as_deref() == Some(&subject)).unwrap();
        event.extension("repo").map(|repo| site.short(&repo))
    };
    assert_eq!(repo_of("sub/src/f").as_deref(), Some("R/sub"));
    assert_eq!(repo_of("beside"), None);
    git(&site.root, &["init", "-q"]);
    let stale = watched.stale().await;
    assert!(stale.contains(&"tag:repo:R".to_owned()), "{stale:?}");
    site.write("sub/src/f", "3");
    let stale = watched.stale().await;
    for name in ["tag:repo:R/sub", "tag:repo:R"] {
        assert!(stale.contains(&name.to_owned()), "{name} in {stale:?}");
    }
    fs::remove_dir_all(site.path("sub/.git")).unwrap();
    watched.told().await;
    site.write("sub/src/f", "4");
    assert!(!watched.stale().await.contains(&"tag:repo:R/sub".to_owned()));
}

#[tokio::test]
async fn a_switch_of_branches_tells_the_files_and_the_repository() {
    let site = with_repo("");
    git(&site.root, &["checkout", "-q", "-b", "other"]);
    site.write("src/f", "2");
    site.mkdir("only");
    site.write("only/here", "x");
    git(&site.root, &["add", "."]);
    git(&site.root, &["commit", "-qm", "two"]);
    let watched = site.watch().await;
    git(&site.root, &["checkout", "-q", "main"]);
    let stale = watched.stale().await;
    for name in ["file:R/src/f", "tag:tree:R/only", "tag:repo:R"] {
        assert!(stale.contains(&name.to_owned()), "{name} in {stale:?}");
    }
    git(&site.root, &["checkout", "-q", "other"]);
    let stale = watched.stale().await;
    assert!(stale.contains(&"file:R/only/here".to_owned()), "{stale:?}");
    site.write("only/here", "y");
    let told = watched.told().await;
    assert_eq!(told, ["modified file:R/only/here"]);
}

#[tokio::test]
async fn a_repository_that_is_cloned_into_a_root_is_watched() {
    let site = with_repo("one");
    let watched = site.watch().await;
    git(&site.root, &["clone", "-q", "one", "two"]);
    watched.told().await;
    assert!(watched.is_watched("two/.git/refs/heads") && !watched.is_watched("two/.git/objects"));
    git(&site.path("two"), &["commit", "-q", "--allow-empty", "-m", "two"]);
    let told = watched.told().await;
    assert!(told.contains(&"git git:R/two#status".to_owned()), "{told:?}");
    assert!(!told.contains(&"git git:R/one#status".to_owned()), "{told:?}");
}

fn has_git_change(batches: &[Batch], site: &Site, repo: &str) -> bool {
    let subject = format!("git:{}#status", site.path(repo).display());
    batches.iter().flat_map(|batch| &batch.events).any(|event| event.subject.as_deref() == Some(&subject))
}

#[tokio::test]
async fn a_linked_worktree_hears_of_its_state_in_the_main_repository() {
    let site = with_repo("main");
    git(&site.path("main"), &["worktree", "add", "-q", "../linked"]);
    let watched = site.watch().await;
    git(&site.path("linked"), &["commit", "-q", "--allow-empty", "-m", "two"]);
    let batches = watched.batches().await;
    assert!(has_git_change(&batches, &site, "linked"));
    git(&site.path("main"), &["worktree", "add", "-q", "../later"]);
    watched.told().await;
    git(&site.path("later"), &["commit", "-q", "--allow-empty", "-m", "three"]);
    assert!(has_git_change(&watched.batches().await, &site, "later"));
}

#[tokio::test]
async fn a_submodule_hears_of_its_state_in_the_outer_repository() {
    let site = with_repo("outer");
    let source = with_repo("");
    git(&site.path("outer"), &["submodule", "add", "-q", source.root.to_str().unwrap(), "sub"]);
    let watched = site.watch().await;
    assert!(!watched.is_watched("outer/.git/modules/sub/objects"));
    git(&site.path("outer/sub"), &["commit", "-q", "--allow-empty", "-m", "two"]);
    let batches = watched.batches().await;
    assert!(has_git_change(&batches, &site, "outer/sub"));
    assert!(has_git_change(&batches, &site, "outer"));
}
