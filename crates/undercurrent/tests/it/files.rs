//! Files change in every way that files change, and the next read is right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use undercurrent::stream::Delivery;
use undercurrent::types::ErrorCode;
use undercurrent::{Config, EventStream, Key, Level};

/// An engine over one root. Fields drop in order: the engine before its directories.
struct Tree {
    events: EventStream,
    root: PathBuf,
    _dirs: (TempDir, TempDir),
}

impl Tree {
    async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    async fn open_with(prepare: impl FnOnce(&Path)) -> Self {
        let (root, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = root.path().canonicalize().unwrap();
        prepare(&path);
        let config =
            Config { roots: vec![path.clone()], data: Some(data.path().to_owned()), ..Config::default() };
        let events = EventStream::open(config).await.unwrap();
        let tree = Self { events, root: path, _dirs: (root, data) };
        tree.walked().await;
        tree
    }

    /// Waits until the first walk has ended: from then on a barrier is answered.
    async fn walked(&self) {
        let live = || self.events.sources().iter().all(|source| source.health == "live");
        let wait = async {
            while !live() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.expect("the walk ends");
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Reads a file at every level that promises to be right now.
    async fn file(&self, relative: &str) -> Option<String> {
        let key = Key::file(&self.path(relative)).unwrap();
        let synced = self.events.get_app_context(&key).level(Level::Synced).await.unwrap();
        let verified = self.events.get_app_context(&key).level(Level::Verified).await.unwrap();
        let fresh = self.events.get_app_context(&key).level(Level::Fresh).await.unwrap();
        assert_eq!(synced.text(), verified.text(), "synced and verified of {relative}");
        assert_eq!(fresh.text(), verified.text(), "fresh after synced of {relative}");
        verified.text().map(str::to_owned)
    }

    async fn dir(&self, relative: &str) -> Option<String> {
        let key = Key::dir(&self.path(relative)).unwrap();
        let answer = self.events.get_app_context(&key).await.unwrap();
        answer.text().map(str::to_owned)
    }

    async fn git(&self, part: &str) -> String {
        let key: Key = format!("git:{}#{part}", self.root.display()).parse().unwrap();
        let answer = self.events.get_app_context(&key).await.unwrap();
        answer.text().expect("it is a repository").to_owned()
    }
}

fn git(root: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "init.defaultBranch=main"]);
    let output = command.arg("-C").arg(root).args(arguments).output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_tree_that_is_created_and_filled_at_once_is_seen_whole() {
    let tree = Tree::open().await;
    assert_eq!(tree.dir("").await.as_deref(), Some(""));
    assert_eq!(tree.file("a/b/c/file-0").await, None, "what is not there is remembered");
    for i in 0..200 {
        tree.write(&format!("a/b/c/file-{i}"), &i.to_string());
    }
    assert_eq!(tree.dir("").await.as_deref(), Some("a/\n"));
    for i in 0..200 {
        assert_eq!(tree.file(&format!("a/b/c/file-{i}")).await, Some(i.to_string()));
    }
    assert_eq!(tree.dir("a/b/c").await.unwrap().lines().count(), 200);
}

#[tokio::test]
async fn every_key_below_a_moved_directory_is_right() {
    let tree = Tree::open_with(|root| {
        fs::create_dir_all(root.join("old/deep")).unwrap();
        fs::write(root.join("old/deep/a"), "1").unwrap();
        fs::write(root.join("old/b"), "2").unwrap();
    })
    .await;
    assert_eq!(tree.file("old/deep/a").await.as_deref(), Some("1"));
    assert_eq!(tree.file("old/b").await.as_deref(), Some("2"));
    assert_eq!(tree.file("new/deep/a").await, None);
    fs::rename(tree.path("old"), tree.path("new")).unwrap();
    assert_eq!(tree.file("old/deep/a").await, None);
    assert_eq!(tree.file("old/b").await, None);
    assert_eq!(tree.file("new/deep/a").await.as_deref(), Some("1"));
    assert_eq!(tree.dir("").await.as_deref(), Some("new/\n"));
    // And it is watched where it is now.
    tree.write("new/deep/a", "3");
    assert_eq!(tree.file("new/deep/a").await.as_deref(), Some("3"));
    fs::rename(tree.path("new"), tree.path("old")).unwrap();
    assert_eq!(tree.file("old/deep/a").await.as_deref(), Some("3"));
    assert_eq!(tree.file("new/deep/a").await, None);
}

#[tokio::test]
async fn a_rename_over_a_watched_file_is_seen() {
    let tree = Tree::open().await;
    tree.write("a", "0");
    for turn in 1..50 {
        tree.write("a.tmp", &turn.to_string());
        fs::rename(tree.path("a.tmp"), tree.path("a")).unwrap();
        assert_eq!(tree.file("a").await, Some(turn.to_string()));
    }
}

#[tokio::test]
async fn a_file_that_is_deleted_and_made_again_is_seen_both_times() {
    let tree = Tree::open().await;
    for turn in 0..50 {
        tree.write("a", &turn.to_string());
        assert_eq!(tree.file("a").await, Some(turn.to_string()));
        fs::remove_file(tree.path("a")).unwrap();
        assert_eq!(tree.file("a").await, None);
    }
}

#[tokio::test]
async fn two_writes_of_one_size_in_one_tick_are_told_apart() {
    let tree = Tree::open().await;
    let key = Key::file(&tree.path("a")).unwrap();
    for turn in 0..200 {
        let (one, two) = (format!("{turn:05}a"), format!("{turn:05}b"));
        fs::write(tree.path("a"), &one).unwrap();
        assert_eq!(tree.events.get_app_context(&key).await.unwrap().text(), Some(one.as_str()));
        fs::write(tree.path("a"), &two).unwrap();
        assert_eq!(tree.events.get_app_context(&key).await.unwrap().text(), Some(two.as_str()));
    }
}

#[tokio::test]
async fn a_branch_switch_and_a_stash_are_followed() {
    let tree = Tree::open_with(|root| {
        git(root, &["init", "-q"]);
        fs::create_dir(root.join("src")).unwrap();
        for i in 0..20 {
            fs::write(root.join(format!("src/{i}")), "main").unwrap();
        }
        git(root, &["add", "."]);
        git(root, &["commit", "-qm", "one"]);
        git(root, &["checkout", "-qb", "other"]);
        for i in 0..20 {
            fs::write(root.join(format!("src/{i}")), "other").unwrap();
        }
        git(root, &["commit", "-qam", "two"]);
    })
    .await;
    for turn in 0..6 {
        let branch = if turn % 2 == 0 { "main" } else { "other" };
        git(&tree.root, &["checkout", "-q", branch]);
        assert_eq!(tree.git("branch").await.trim(), branch);
        assert!(tree.git("status").await.contains(&format!("branch.head {branch}")));
        for i in 0..20 {
            assert_eq!(tree.file(&format!("src/{i}")).await.as_deref(), Some(branch));
        }
    }
    let clean = tree.git("status").await;
    tree.write("src/0", "changed");
    let changed = tree.git("status").await;
    assert!(changed.contains("src/0") && changed != clean, "{changed}");
    assert!(tree.git("diff").await.contains("+changed"));
    git(&tree.root, &["stash", "-q"]);
    assert_eq!(tree.git("diff").await, "");
    assert_eq!(tree.file("src/0").await.as_deref(), Some("other"));
    let head = tree.git("head").await;
    git(&tree.root, &["commit", "-q", "--allow-empty", "-m", "three"]);
    assert_ne!(tree.git("head").await, head);
    assert!(tree.git("log").await.contains("three"));
}

#[tokio::test]
async fn an_ignored_file_is_readable_and_always_right() {
    let tree = Tree::open_with(|root| {
        git(root, &["init", "-q"]);
        fs::write(root.join(".gitignore"), "target/\n").unwrap();
        fs::create_dir_all(root.join("target/debug")).unwrap();
    })
    .await;
    for turn in 0..20 {
        tree.write("target/debug/out", &turn.to_string());
        assert_eq!(tree.file("target/debug/out").await, Some(turn.to_string()));
        let key = Key::file(&tree.path("target/debug/out")).unwrap();
        tree.write("target/debug/out", &format!("{turn}!"));
        // Nobody watches it, so even `fresh` asks.
        let answer = tree.events.get_app_context(&key).level(Level::Fresh).await.unwrap();
        assert_eq!(answer.text().unwrap(), format!("{turn}!"));
    }
}

#[tokio::test]
async fn ten_thousand_files_written_at_once_are_all_right() {
    let tree = Tree::open().await;
    for i in 0..10_000 {
        tree.write(&format!("d{}/f{i}", i % 50), "1");
    }
    for i in (0..10_000).step_by(97) {
        assert_eq!(tree.file(&format!("d{}/f{i}", i % 50)).await.as_deref(), Some("1"));
    }
    for i in 0..10_000 {
        tree.write(&format!("d{}/f{i}", i % 50), "22");
    }
    for i in (0..10_000).step_by(97) {
        assert_eq!(tree.file(&format!("d{}/f{i}", i % 50)).await.as_deref(), Some("22"));
    }
    assert_eq!(tree.dir("d7").await.unwrap().lines().count(), 200);
}

#[tokio::test]
async fn a_root_of_a_hundred_thousand_files_is_followed() {
    const FILES: usize = 100_000;
    let path = |i: usize| format!("d{}/f{i}", i % 100);
    let tree = Tree::open_with(|root| {
        for i in 0..100 {
            fs::create_dir(root.join(format!("d{i}"))).unwrap();
        }
        for i in 0..FILES {
            fs::write(root.join(path(i)), "1").unwrap();
        }
    })
    .await;
    for i in (0..FILES).step_by(997) {
        assert_eq!(tree.file(&path(i)).await.as_deref(), Some("1"));
        tree.write(&path(i), "22");
        assert_eq!(tree.file(&path(i)).await.as_deref(), Some("22"));
    }
    assert_eq!(tree.dir("d7").await.unwrap().lines().count(), FILES / 100);
}

#[tokio::test]
async fn a_permission_that_is_lost_and_regained_is_no_missing_file() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::open().await;
    tree.write("d/f", "1");
    assert_eq!(tree.file("d/f").await.as_deref(), Some("1"));
    let allow = |mode| fs::set_permissions(tree.path("d"), fs::Permissions::from_mode(mode)).unwrap();
    allow(0o000);
    let key = Key::file(&tree.path("d/f")).unwrap();
    match tree.events.get_app_context(&key).await {
        // Root may read everything.
        Ok(answer) => assert_eq!(answer.text(), Some("1")),
        Err(error) => assert_eq!(error.body().code, ErrorCode::Denied),
    }
    allow(0o755);
    tree.write("d/f", "22");
    assert_eq!(tree.file("d/f").await.as_deref(), Some("22"));
}

#[tokio::test]
async fn no_way_leads_out_of_the_root() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().canonicalize().unwrap().join("secret");
    fs::write(&secret, "secret").unwrap();
    let tree = Tree::open().await;
    std::os::unix::fs::symlink(&secret, tree.path("link")).unwrap();
    std::os::unix::fs::symlink(secret.parent().unwrap(), tree.path("dir")).unwrap();
    let root = tree.root.display();
    let escapes = [
        "file:/etc/passwd".to_owned(),
        format!("file:{root}/../../../../../../etc/passwd"),
        format!("file:{root}/link"),
        format!("file:{root}/dir/secret"),
        format!("dir:{root}/dir"),
        format!("dir:{root}/.."),
        "git:/#status".to_owned(),
    ];
    for text in escapes {
        for level in [Level::Fresh, Level::Synced, Level::Verified] {
            let error = tree.events.get_app_context(text.as_str()).level(level).await.unwrap_err().body();
            assert_eq!(error.code, ErrorCode::Denied, "`{text}` at {level}: {}", error.message);
            assert!(!error.message.contains("secret\n"));
        }
    }
    // A path that was good and is swapped for a link out is denied from then on.
    tree.write("good", "good");
    assert_eq!(tree.file("good").await.as_deref(), Some("good"));
    fs::remove_file(tree.path("good")).unwrap();
    std::os::unix::fs::symlink(&secret, tree.path("good")).unwrap();
    let key = Key::file(&tree.path("good")).unwrap();
    for level in [Level::Synced, Level::Verified] {
        let error = tree.events.get_app_context(&key).level(level).await.unwrap_err().body();
        assert_eq!(error.code, ErrorCode::Denied);
    }
}

#[tokio::test]
async fn a_link_inside_the_root_follows_its_target() {
    let tree = Tree::open().await;
    tree.write("real", "1");
    tree.write("other", "2");
    std::os::unix::fs::symlink("real", tree.path("link")).unwrap();
    assert_eq!(tree.file("link").await.as_deref(), Some("1"));
    tree.write("real", "3");
    assert_eq!(tree.file("link").await.as_deref(), Some("3"), "the target changed");
    fs::remove_file(tree.path("link")).unwrap();
    std::os::unix::fs::symlink("other", tree.path("link")).unwrap();
    assert_eq!(tree.file("link").await.as_deref(), Some("2"), "the link changed");
}

#[tokio::test]
async fn a_root_that_would_hold_its_own_data_is_refused_and_left_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let config =
        Config { roots: vec![root.path().to_owned()], data: Some(data.clone()), ..Config::default() };
    let Err(error) = EventStream::open(config).await else { panic!("it was opened") };
    assert!(error.to_string().contains("would watch itself"), "{error}");
    assert!(!data.exists());
}

#[tokio::test]
async fn a_second_engine_on_the_same_data_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let config = Config { data: Some(data.path().to_owned()), ..Config::default() };
    let first = EventStream::open(config.clone()).await.unwrap();
    let Err(error) = EventStream::open(config.clone()).await else { panic!("it was opened") };
    assert!(error.to_string().contains(data.path().to_str().unwrap()), "{error}");
    first.close().await;
    drop(first);
    // Programs that other tests start at this moment hold the lock until they are executed.
    let open_again = async {
        loop {
            match EventStream::open(config.clone()).await {
                Ok(again) => return again,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let again = tokio::time::timeout(std::time::Duration::from_secs(10), open_again).await;
    again.expect("the data is free again").close().await;
}

#[tokio::test]
async fn the_health_of_a_source_is_told_as_an_event() {
    let tree = Tree::open().await;
    let stream = tree.events.sources()[0].name.clone();
    let mut told = tree.events.subscribe(stream.as_str()).await.unwrap();
    let mut next = async || loop {
        if let Delivery::Event(record) = told.next().await.unwrap()
            && record.type_text() == "system.health"
        {
            let text = String::from_utf8(record.json.to_vec()).unwrap();
            return ["starting", "live", "degraded", "down"].into_iter().find(|word| text.contains(word));
        }
    };
    while next().await != Some("live") {}
    fs::rename(&tree.root, tree.root.with_extension("gone")).unwrap();
    assert_eq!(next().await, Some("down"));
    fs::rename(tree.root.with_extension("gone"), &tree.root).unwrap();
    while next().await != Some("live") {}
    tree.events.close().await;
}
