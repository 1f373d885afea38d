use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::git::GitLoader;
use super::*;
use crate::cache::LoadError;

impl Tree {
    /// Runs git in a directory, and returns what it wrote without its last line feed.
    #[track_caller]
    fn git(&self, dir: impl AsRef<Path>, args: &[&str]) -> String {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=A U Thor",
                "-c",
                "user.email=a@example.com",
                "-c",
                "commit.gpgSign=false",
            ])
            .args(args)
            .current_dir(self.at(dir))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_COMMITTER_DATE", "1700000000 +0000")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    /// A watched repository at `r`, without commits.
    fn with_repository() -> Self {
        let tree = Self::new();
        std::fs::create_dir(tree.at("r")).unwrap();
        tree.git("r", &["init", "-q", "-b", "main"]);
        tree.watch("r");
        tree
    }

    fn commit(&self, dir: &str, message: &str) -> String {
        self.git(dir, &["add", "-A"]);
        self.git(dir, &["commit", "-q", "--allow-empty", "-m", message]);
        self.git(dir, &["rev-parse", "HEAD"])
    }

    fn key(&self, dir: &str, part: &str) -> Key {
        Key::parse(&format!("git:{}#{part}", self.at(dir).display())).unwrap()
    }

    async fn get(&self, dir: &str, part: &str) -> String {
        let loaded = self.loader().read(&self.key(dir, part)).await.unwrap();
        assert!(loaded.validator.is_none());
        String::from_utf8(loaded.value.unwrap().into()).unwrap()
    }

    fn loader(&self) -> GitLoader {
        GitLoader::new(Arc::clone(&self.workspace))
    }

    async fn names(&self, dir: &str, part: &str) -> Vec<String> {
        let loaded = self.loader().read(&self.key(dir, part)).await.unwrap();
        loaded.names.iter().map(Name::to_string).collect()
    }

    /// Says whether the root stands in the command of any process.
    fn is_named_by_a_process(&self) -> bool {
        let root = self.root().into_os_string().into_encoded_bytes();
        let commands = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok());
        commands.into_iter().any(|command| command.windows(root.len()).any(|words| words == root))
    }

    fn unwatched(&self) -> String {
        format!("unwatched:{}", self.root().display())
    }

    fn repo(&self, dir: &str) -> String {
        format!("tag:repo:{}", self.at(dir).display())
    }
}

#[tokio::test]
async fn every_part_has_a_value_before_the_first_commit() {
    let tree = Tree::with_repository();
    assert_eq!(tree.get("r", "head").await, "");
    assert_eq!(tree.get("r", "branch").await, "main");
    assert_eq!(tree.get("r", "log").await, "");
    assert_eq!(tree.get("r", "diff").await, "");
    assert_eq!(tree.get("r", "status").await, "# branch.oid (initial)\n# branch.head main\n");
    tree.write("r/a", "one\n");
    assert!(tree.get("r", "status").await.ends_with("\n? a\n"));
    tree.git("r", &["add", "a"]);
    let diff = tree.get("r", "diff").await;
    assert!(diff.contains("\nnew file mode 100644\n") && diff.ends_with("\n+one\n"), "{diff}");
}

#[tokio::test]
async fn every_part_follows_the_commits() {
    let tree = Tree::with_repository();
    tree.write("r/a", "one\n");
    let first = tree.commit("r", "first");
    tree.write("r/a", "two\n");
    let second = tree.commit("r", "second, with a ä");
    assert_eq!(tree.get("r", "head").await, second);
    assert_eq!(tree.get("r", "branch").await, "main");
    let line = |id: &str, subject: &str| format!("{id}\t1700000000\tA U Thor\t{subject}\n");
    let expected = line(&second, "second, with a ä") + &line(&first, "first");
    assert_eq!(tree.get("r", "log").await, expected);
    let clean = format!("# branch.oid {second}\n# branch.head main\n");
    assert_eq!(tree.get("r", "status").await, clean);
    assert_eq!(tree.get("r", "diff").await, "");

    tree.write("r/a", "three\n");
    tree.write("r/ä", "");
    let status = tree.get("r", "status").await;
    assert!(
        status.starts_with(&clean) && status.contains("1 .M N...") && status.ends_with("\n? ä\n"),
        "{status}"
    );
    assert!(tree.get("r", "diff").await.ends_with("\n-two\n+three\n"));

    tree.git("r", &["checkout", "-q", "-f", "--detach", &first]);
    assert_eq!(tree.get("r", "head").await, first);
    assert_eq!(tree.get("r", "branch").await, "");
    assert!(tree.get("r", "status").await.contains("# branch.head (detached)\n"));

    tree.git("r", &["checkout", "-q", "-b", "feature/x", &second]);
    assert_eq!(tree.get("r", "branch").await, "feature/x");
}

#[tokio::test]
async fn a_log_ends_after_fifty_commits() {
    let tree = Tree::with_repository();
    for n in 0..52 {
        tree.commit("r", &n.to_string());
    }
    let log = tree.get("r", "log").await;
    let subjects: Vec<_> = log.lines().map(|line| line.rsplit('\t').next().unwrap()).collect();
    assert_eq!((subjects.len(), subjects[0], subjects[49]), (50, "51", "2"));
}

#[tokio::test]
async fn what_is_no_work_tree_is_not_there() {
    let tree = Tree::new();
    std::fs::create_dir(tree.at("plain")).unwrap();
    for dir in ["plain", "missing", "missing/deeper"] {
        let loaded = tree.loader().read(&tree.key(dir, "status")).await.unwrap();
        assert_eq!(loaded.value, None, "at `{dir}`");
        let names = texts(&loaded.names);
        assert!(names.contains(&tree.repo(dir).as_str()), "{names:?}");
        assert!(names.contains(&tree.dir(dir).as_str()), "{names:?}");
    }
    tree.git("plain", &["init", "-q", "-b", "main"]);
    assert_eq!(tree.get("plain", "branch").await, "main");
}

#[tokio::test]
async fn a_directory_inside_a_work_tree_is_refused_with_its_top() {
    let tree = Tree::with_repository();
    tree.write("r/sub/a", "");
    let error = tree.loader().read(&tree.key("r/sub", "diff")).await.unwrap_err();
    let hint = format!("`git:{}/r#diff`", tree.root().display());
    assert!(matches!(error, LoadError::Failed { .. }) && error.to_string().contains(&hint), "{error}");
}

#[tokio::test]
async fn a_broken_repository_is_an_error_with_what_git_said() {
    let tree = Tree::new();
    std::fs::create_dir_all(tree.at("r/.git")).unwrap();
    for part in ["status", "head", "diff", "log", "branch"] {
        let error = tree.loader().read(&tree.key("r", part)).await.unwrap_err();
        assert!(error.to_string().contains("not a git repository"), "`{part}` gave {error}");
    }
}

#[tokio::test]
async fn a_repository_outside_the_roots_is_denied() {
    let tree = Tree::with_repository();
    tree.commit("r", "secret");
    std::fs::rename(tree.at("r"), tree.outside("r")).unwrap();
    symlink("../outside/r", tree.at("link")).unwrap();
    std::fs::create_dir(tree.at("linked")).unwrap();
    symlink(tree.outside("r/.git"), tree.at("linked/.git")).unwrap();
    tree.write("pointed/.git", format!("gitdir: {}\n", tree.outside("r/.git").display()));
    tree.git("", &["init", "-q", "shared"]);
    tree.write("shared/.git/commondir", format!("{}\n", tree.outside("r/.git").display()));
    for dir in ["link", "linked", "pointed", "shared", "../outside/r"] {
        let error = tree.loader().read(&tree.key(dir, "log")).await.unwrap_err();
        assert!(matches!(error, LoadError::Denied { .. }), "`{dir}` gave {error:?}");
    }
}

#[tokio::test]
async fn the_work_tree_is_where_the_key_says_whatever_the_configuration_says() {
    let tree = Tree::with_repository();
    std::fs::write(tree.outside("secret"), "").unwrap();
    tree.git("r", &["config", "core.worktree", tree.outside("").to_str().unwrap()]);
    tree.write("r/a", "");
    assert!(tree.get("r", "status").await.ends_with("\n? a\n"));
}

#[tokio::test]
async fn a_linked_work_tree_depends_on_its_repository_too() {
    let tree = Tree::with_repository();
    let head = tree.commit("r", "first");
    tree.git("r", &["worktree", "add", "-q", "-b", "side", "../side"]);
    tree.watch("");
    assert_eq!(tree.get("side", "head").await, head);
    assert_eq!(tree.get("side", "branch").await, "side");
    let names = tree.names("side", "status").await;
    assert!(names.contains(&tree.repo("side")) && names.contains(&tree.repo("r")), "{names:?}");
    assert!(!names.contains(&tree.unwatched()), "{names:?}");
}

#[tokio::test]
async fn a_linked_work_tree_of_a_repository_outside_is_served_and_unwatched() {
    let tree = Tree::with_repository();
    let head = tree.commit("r", "first");
    std::fs::rename(tree.at("r"), tree.outside("r")).unwrap();
    tree.git("../outside/r", &["worktree", "add", "-q", "--detach", tree.at("side").to_str().unwrap()]);
    tree.watch("side");
    assert_eq!(tree.get("side", "head").await, head);
    assert!(tree.names("side", "head").await.contains(&tree.unwatched()));
}

#[tokio::test]
async fn the_names_say_who_reports_changes() {
    let tree = Tree::with_repository();
    let names = tree.names("r", "status").await;
    let scopes = [format!("scope:local:{}", tree.root().display()), Workspace::source_scope().to_string()];
    for name in scopes.into_iter().chain([tree.repo("r"), format!("tag:tree:{}/r", tree.root().display())]) {
        assert!(names.contains(&name), "`{name}` is not in {names:?}");
    }
    assert!(!names.contains(&tree.unwatched()), "{names:?}");
    let unwatched = Tree::new();
    std::fs::create_dir(unwatched.at("r")).unwrap();
    unwatched.git("r", &["init", "-q"]);
    assert!(unwatched.names("r", "status").await.contains(&unwatched.unwatched()));
}

#[tokio::test]
async fn a_tracked_file_in_an_unwatched_directory_makes_the_status_unwatched() {
    let tree = Tree::new();
    std::fs::create_dir(tree.at("r")).unwrap();
    tree.git("r", &["init", "-q"]);
    tree.write("r/.gitignore", "build/\n");
    tree.write("r/build/kept", "");
    tree.watch("");
    tree.workspace.unset_watched(&tree.at("r/build"));
    assert!(!tree.names("r", "status").await.contains(&tree.unwatched()));
    tree.git("r", &["add", "-f", "build/kept"]);
    for part in ["status", "diff"] {
        assert!(tree.names("r", part).await.contains(&tree.unwatched()), "`{part}`");
    }
    assert!(!tree.names("r", "head").await.contains(&tree.unwatched()));
}

#[tokio::test]
async fn reading_leaves_the_index_untouched() {
    let tree = Tree::with_repository();
    tree.write("r/a", "one\n");
    tree.commit("r", "first");
    // Same content, another stamp: git would write it down, if it were allowed to.
    let file = std::fs::File::options().write(true).open(tree.at("r/a")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let state = || {
        let stat = tree.at("r/.git/index").metadata().unwrap();
        let listing = std::fs::read_dir(tree.at("r/.git")).unwrap().count();
        (
            stat.ino(),
            stat.ctime(),
            stat.ctime_nsec(),
            listing,
            std::fs::read(tree.at("r/.git/index")).unwrap(),
        )
    };
    let before = state();
    for part in ["status", "diff", "log", "head", "branch"] {
        tree.get("r", part).await;
    }
    assert_eq!(tree.get("r", "diff").await, "");
    assert_eq!(state(), before);
    tree.git("r", &["diff", "HEAD"]);
    assert_ne!(state(), before, "git did not need to write, so this tests nothing");
}

/// Every command that a repository can name, each leaving a mark when it runs.
#[tokio::test]
async fn no_command_that_a_repository_names_is_run() {
    let tree = Tree::with_repository();
    let script = |name: &str| {
        let path = tree.outside(name);
        std::fs::write(&path, format!("#!/bin/sh\ntouch '{}'\ncat\n", tree.outside("mark").display()))
            .unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    tree.write("r/a", "one\n");
    tree.commit("r", "first");
    let evil = script("evil");
    for setting in [
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "core.askPass",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.clean",
        "filter.evil.process",
        "filter.evil.smudge",
        "lfs.extension.evil.clean",
        "gpg.program",
    ] {
        tree.git("r", &["config", setting, &evil]);
    }
    for (setting, value) in
        [("filter.evil.required", "true"), ("log.showSignature", "true"), ("status.submoduleSummary", "true")]
    {
        tree.git("r", &["config", setting, value]);
    }
    // Settings that another file holds count as the repository's own.
    let included = tree.write("r/more", format!("[filter \"more.evil\"]\n\tclean = {evil}\n"));
    tree.git("r", &["config", "include.path", included.to_str().unwrap()]);
    tree.write("r/.git/info/attributes", "a filter=evil diff=evil\nb filter=more.evil diff=evil\n");
    for hook in ["post-index-change", "fsmonitor-watchman", "reference-transaction"] {
        std::fs::copy(&evil, tree.write(format!("r/.git/hooks/{hook}"), "")).unwrap();
    }
    // A commit that claims to be signed, so that a look at it would ask who by.
    let commit = tree.git("r", &["cat-file", "commit", "HEAD"]);
    let (head, message) = commit.split_once("\n\n").unwrap();
    let signature = "-----BEGIN PGP SIGNATURE-----\n \n AAAA\n -----END PGP SIGNATURE-----";
    let signed = tree.write("r/signed", format!("{head}\ngpgsig {signature}\n\n{message}\n"));
    let signed = tree.git("r", &["hash-object", "-t", "commit", "-w", signed.to_str().unwrap()]);
    tree.git("r", &["update-ref", "HEAD", &signed]);
    tree.write("r/a", "two\n");
    tree.write("r/b", "new\n");
    let id = tree.git("r", &["-c", "core.fsmonitor=false", "rev-parse", "HEAD"]);
    let _ = std::fs::remove_file(tree.outside("mark"));
    for part in ["status", "diff", "log", "head", "branch"] {
        tree.get("r", part).await;
        assert!(!tree.outside("mark").exists(), "`{part}` ran a command");
    }
    assert_eq!(tree.get("r", "head").await, id);
    // The same repository does run them for a plain git.
    Command::new("git").arg("status").current_dir(tree.at("r")).output().unwrap();
    assert!(tree.outside("mark").exists());
}

#[tokio::test]
async fn a_filter_that_can_not_be_overridden_is_denied() {
    let tree = Tree::with_repository();
    tree.git("r", &["config", "filter.a=b.clean", "false"]);
    let error = tree.loader().read(&tree.key("r", "status")).await.unwrap_err();
    assert!(
        matches!(error, LoadError::Denied { .. }) && error.to_string().contains("filter.a=b.clean"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_object_is_an_error_and_not_a_fetch() {
    let tree = Tree::with_repository();
    tree.write("r/a", "one\n");
    tree.commit("r", "first");
    let mark = tree.outside("mark");
    let url = format!("ext::sh -c touch% {}", mark.display());
    for (setting, value) in [
        ("remote.origin.url", url.as_str()),
        ("remote.origin.promisor", "true"),
        ("extensions.partialClone", "origin"),
        ("core.repositoryFormatVersion", "1"),
        ("protocol.ext.allow", "always"),
    ] {
        tree.git("r", &["config", setting, value]);
    }
    let blob = tree.git("r", &["rev-parse", "HEAD:a"]);
    std::fs::remove_file(tree.at("r/.git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    tree.write("r/a", "two, of another size\n");
    let error = tree.loader().read(&tree.key("r", "diff")).await.unwrap_err();
    assert!(matches!(error, LoadError::Failed { .. }), "{error:?}");
    assert!(!mark.exists());
}

#[tokio::test]
async fn an_output_over_the_limit_is_refused_with_the_limit() {
    let tree = Tree::with_repository();
    tree.write("r/a", "x\n".repeat(9 << 20));
    tree.git("r", &["add", "a"]);
    let error = tree.loader().read(&tree.key("r", "diff")).await.unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { limit: 16_777_216, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_git_that_waits_for_ever_is_ended_at_the_limit() {
    let tree = Tree::with_repository();
    let head = tree.at("r/.git/HEAD");
    std::fs::remove_file(&head).unwrap();
    mknodat(CWD, &head, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let error = tree.loader().read(&tree.key("r", "head")).await.unwrap_err();
    assert!(matches!(error, LoadError::TimedOut { limit, .. } if limit.as_secs() == 30), "{error:?}");
    let began = std::time::Instant::now();
    while tree.is_named_by_a_process() {
        assert!(began.elapsed().as_secs() < 10, "git still runs");
        tokio::task::yield_now().await;
    }
}
