use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::cache::{Answer, Cache, CacheOptions, ReadError, ReadOptions};
use crate::loaders::FileLoader;
use crate::store::embedded::{EmbeddedStore, StoreOptions};
use crate::store::{Batch, Invalidation, Store};

/// A root, and beside it what no command may reach by its `dir`.
struct Tree {
    dir: TempDir,
    workspace: Arc<Workspace>,
}

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["root", "outside", "store"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let workspace = Arc::new(Workspace::new(vec![dir.path().join("root")]).unwrap());
        Self { dir, workspace }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(path)
    }

    /// Declares a script of the shell that runs in the root.
    fn script(&self, name: &str, script: &str) -> Command {
        Command::new(name, &["sh", "-c", script], self.at("root"))
    }

    fn loader(&self, commands: Vec<Command>) -> Result<CommandLoader, CommandError> {
        CommandLoader::new(self.workspace.clone(), commands)
    }

    async fn load(&self, command: Command) -> Result<String, LoadError> {
        let key = key(&format!("command:{}", command.name));
        let loaded = self.loader(vec![command]).unwrap().load(&key, &Inputs::none(&key)).await?;
        Ok(String::from_utf8(loaded.value.unwrap().to_vec()).unwrap())
    }

    /// Makes a cache that loads these commands and the files that they read.
    fn cache(&self, commands: Vec<Command>) -> Reader {
        let store: Arc<dyn Store> =
            Arc::new(EmbeddedStore::open(&self.at("store"), StoreOptions::default()).unwrap());
        let cache = Cache::new(store.clone(), CacheOptions::default());
        cache.register("file", Arc::new(FileLoader::new(self.workspace.clone())));
        cache.register("command", Arc::new(self.loader(commands).unwrap()));
        Reader { cache, store }
    }

    /// Waits until a command has written a process id, and returns it.
    async fn pid(&self, file: &str) -> u32 {
        until(|| fs::read_to_string(self.at(file)).ok()?.strip_suffix('\n')?.parse().ok()).await
    }
}

struct Reader {
    cache: Cache,
    store: Arc<dyn Store>,
}

impl Reader {
    async fn get(&self, text: &str, level: Level) -> Result<Answer, ReadError> {
        self.cache.get(&key(text), ReadOptions { level: Some(level), ..ReadOptions::default() }).await
    }

    async fn text(&self, text: &str, level: Level) -> String {
        self.get(text, level).await.unwrap().text().unwrap().to_owned()
    }

    async fn invalidate(&self, text: &str) {
        let names = vec![Invalidation::of(text.parse().unwrap())];
        let cause = "a test".to_owned();
        self.store.publish(Batch::moving(names, cause)).await.unwrap();
    }
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looking).await.expect("it comes to pass")
}

/// Waits until a process has ended, reaped or not.
async fn ended(pid: u32) {
    until(|| match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit_once(") ").unwrap().1.starts_with(['Z', 'X']).then_some(()),
        Err(_) => Some(()),
    })
    .await;
}

#[tokio::test]
async fn a_value_is_what_the_command_writes() {
    let tree = Tree::new();
    let mut command = tree.script("where", "pwd; cat; printf %s \"$WORD\"");
    command.env.insert("WORD".into(), "a b".into());
    assert_eq!(tree.load(command).await.unwrap(), format!("{}\na b", tree.at("root").display()));
}

#[tokio::test]
async fn a_command_gets_its_words_as_they_are() {
    let tree = Tree::new();
    let command = Command::new("words", &["printf", "<%s>", "$HOME", "a  b", "*", ";ls"], tree.at("root"));
    assert_eq!(tree.load(command).await.unwrap(), "<$HOME><a  b><*><;ls>");
}

#[tokio::test]
async fn a_program_with_a_slash_is_looked_for_in_its_directory() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new();
    fs::create_dir(tree.at("root/bin")).unwrap();
    fs::write(tree.at("root/bin/hello"), "#!/bin/sh\necho hello\n").unwrap();
    fs::set_permissions(tree.at("root/bin/hello"), fs::Permissions::from_mode(0o755)).unwrap();
    let command = Command::new("hello", &["bin/hello"], tree.at("root"));
    assert_eq!(tree.load(command).await.unwrap(), "hello\n");
}

#[tokio::test]
async fn nothing_of_the_environment_is_inherited_but_what_is_named() {
    let tree = Tree::new();
    let names = tree.load(tree.script("env", "env | cut -d= -f1 | sort")).await.unwrap();
    // The shell adds the last three by itself.
    let allowed = ["PATH", "HOME", "LANG", "PWD", "SHLVL", "_"];
    assert!(names.lines().all(|name| allowed.contains(&name)), "{names}");
    assert!(std::env::vars().count() > 3, "there is more to inherit");
}

#[tokio::test]
async fn a_failure_carries_the_status_and_the_end_of_the_error() {
    let tree = Tree::new();
    let script = "echo first >&2; head -c 100000 /dev/zero | tr '\\0' . >&2; echo last words >&2; exit 3";
    let error = tree.load(tree.script("broken", script)).await.unwrap_err();
    let LoadError::Failed { reason, .. } = error else { panic!("{error:?}") };
    assert!(reason.contains("exit status: 3") && reason.ends_with("last words"), "{reason}");
    let dots = reason.matches('.').count();
    assert!((1900..=2100).contains(&dots), "{dots} of the error's bytes were kept");
    let missing = Command::new("missing", &["no-such-program"], tree.at("root"));
    let error = tree.load(missing).await.unwrap_err().to_string();
    assert!(error.contains("running `no-such-program`") && error.contains("No such file"), "{error}");
}

#[tokio::test]
async fn both_pipes_are_read_at_once() {
    let tree = Tree::new();
    let script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2";
    assert_eq!(tree.load(tree.script("loud", script)).await.unwrap().len(), 300_000);
}

#[tokio::test]
async fn too_much_output_is_an_error_and_ends_all_of_it() {
    let tree = Tree::new();
    let mut command = tree.script("endless", "sleep 1000 & echo $! > pid; yes");
    command.output_limit = 10_000;
    let error = tree.load(command.clone()).await.unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { limit: 10_000, .. }), "{error:?}");
    ended(tree.pid("root/pid").await).await;
    command.run = ["sh", "-c", "head -c 10000 /dev/zero"].map(str::to_owned).into();
    assert_eq!(tree.load(command).await.unwrap().len(), 10_000);
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended_with_all_it_started() {
    let tree = Tree::new();
    let mut command = tree.script("slow", "sleep 1000 & echo $! > child; echo $$ > leader; wait");
    command.timeout = Duration::from_secs(2);
    let error = tree.load(command).await.unwrap_err();
    assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
    ended(tree.pid("root/child").await).await;
    ended(tree.pid("root/leader").await).await;
}

#[tokio::test]
async fn a_dropped_load_ends_all_that_it_started() {
    let tree = Arc::new(Tree::new());
    let script = "sleep 1000 & echo $! > child; echo $$ > leader; wait";
    let load = tokio::spawn({
        let tree = tree.clone();
        async move { tree.load(tree.script("dropped", script)).await }
    });
    let (child, leader) = (tree.pid("root/child").await, tree.pid("root/leader").await);
    load.abort();
    ended(child).await;
    ended(leader).await;
}

#[tokio::test]
async fn a_command_runs_again_when_an_input_has_another_version() {
    let tree = Tree::new();
    fs::write(tree.at("root/in"), "one").unwrap();
    let mut command = tree.script("count", "echo >> ../outside/runs; cat in; wc -l < ../outside/runs");
    command.inputs = vec![Key::file(&tree.at("root/in")).unwrap()];
    let reader = tree.cache(vec![command]);
    let value = || reader.text("command:count", Level::Verified);
    assert_eq!(value().await, "one1\n");
    assert_eq!(value().await, "one1\n", "its input was asked, and is the same");
    fs::write(tree.at("root/in"), "one").unwrap();
    assert_eq!(value().await, "one1\n", "its input was written again with the same content");
    fs::write(tree.at("root/in"), "two").unwrap();
    assert_eq!(value().await, "two2\n");
    fs::remove_file(tree.at("root/in")).unwrap();
    assert_eq!(value().await, "3\n", "that an input is not there is one of its versions");
}

#[tokio::test]
async fn a_command_without_inputs_runs_when_it_is_invalidated_or_verified() {
    let tree = Tree::new();
    let reader = tree.cache(vec![tree.script("count", "echo >> ../outside/runs; wc -l < ../outside/runs")]);
    assert_eq!(reader.text("command:count", Level::Fresh).await, "1\n");
    assert_eq!(reader.text("command:count", Level::Fresh).await, "1\n");
    reader.invalidate("command:count").await;
    assert_eq!(reader.text("command:count", Level::Fresh).await, "2\n");
    assert_eq!(reader.text("command:count", Level::Verified).await, "3\n");
}

#[tokio::test]
async fn a_command_may_read_another() {
    let tree = Tree::new();
    let mut second = tree.script("second", "printf 2; cat ../outside/state");
    second.inputs = vec![key("command:first")];
    let reader = tree.cache(vec![second, tree.script("first", "cat ../outside/state")]);
    fs::write(tree.at("outside/state"), "a").unwrap();
    assert_eq!(reader.text("command:second", Level::Fresh).await, "2a");
    fs::write(tree.at("outside/state"), "b").unwrap();
    assert_eq!(reader.text("command:second", Level::Fresh).await, "2a", "nobody said that it changed");
    reader.invalidate("command:first").await;
    assert_eq!(reader.text("command:second", Level::Fresh).await, "2b");
}

#[tokio::test]
async fn a_command_that_is_not_declared_is_denied() {
    let error = Tree::new().cache(Vec::new()).get("command:rm", Level::Fresh).await.unwrap_err().to_string();
    assert!(error.contains("denied") && error.contains("no command is declared as `rm`"), "{error}");
}

#[tokio::test]
async fn a_directory_that_became_a_link_out_of_the_roots_is_denied() {
    let tree = Tree::new();
    fs::create_dir(tree.at("root/sub")).unwrap();
    let loader = tree.loader(vec![Command::new("pwd", &["pwd"], tree.at("root/sub"))]).unwrap();
    fs::remove_dir(tree.at("root/sub")).unwrap();
    std::os::unix::fs::symlink(tree.at("outside"), tree.at("root/sub")).unwrap();
    let key = key("command:pwd");
    let error = loader.load(&key, &Inputs::none(&key)).await.unwrap_err();
    assert!(matches!(error, LoadError::Denied { .. }), "{error:?}");
}

#[test]
fn what_can_not_be_run_as_declared_is_refused_with_the_reason() {
    let tree = Tree::new();
    let good = || tree.script("good", "true");
    let with = |change: &dyn Fn(&mut Command)| {
        let mut command = good();
        change(&mut command);
        vec![command]
    };
    let inputs = |words: &[&str]| words.iter().map(|&word| key(word)).collect::<Vec<_>>();
    let circle = |from: &str, to: &str| Command { inputs: inputs(&[to]), ..tree.script(from, "true") };
    let cases = [
        (with(&|c| c.name.clear()), "`` can not name a command"),
        (with(&|c| c.name = "a/b".into()), "`a/b` can not name"),
        (with(&|c| c.name = "x".repeat(129)), "1 to 128"),
        (with(&|c| c.run.clear()), "`run` is empty"),
        (with(&|c| c.run[0].clear()), "`run` is empty"),
        (with(&|c| c.run[2].push('\0')), "NUL"),
        (with(&|c| drop(c.env.insert("A=B".into(), String::new()))), "`env`"),
        (with(&|c| c.timeout = Duration::ZERO), "`timeout` is not between"),
        (with(&|c| c.timeout = Duration::from_secs(3601)), "`timeout` is not between"),
        (with(&|c| c.output_limit = 0), "`output_limit` is not between"),
        (with(&|c| c.output_limit = (64 << 20) + 1), "`output_limit` is not between"),
        (with(&|c| c.max_age = Some(Duration::ZERO)), "`max_age` is 0"),
        (with(&|c| c.dir = tree.at("outside")), "may not run in its `dir`"),
        (with(&|c| c.dir = "relative".into()), "may not run in its `dir`"),
        (with(&|c| c.inputs = inputs(&["command:other"])), "`command:other` is declared nowhere"),
        (with(&|c| c.inputs = inputs(&["command:good"])), "lead back to it"),
        (vec![circle("a", "command:b"), circle("b", "command:c"), circle("c", "command:a")], "lead back"),
        (vec![circle("a", "command:b"), circle("b", "command:c"), circle("c", "command:b")], "lead back"),
        (vec![good(), good()], "declared twice"),
    ];
    for (commands, reason) in cases {
        let error = tree.loader(commands.clone()).unwrap_err().to_string();
        assert!(error.contains(reason), "{commands:?} gave `{error}`");
    }
    assert!(tree.loader(vec![good()]).is_ok());
}

#[test]
fn a_command_stands_in_toml() {
    #[derive(Debug, serde::Deserialize)]
    struct File {
        command: Vec<Command>,
    }
    let full = r#"
        [[command]]
        name = "deps"
        run = ["cargo", "tree"]
        dir = "/src/app"
        inputs = ["file:/src/app/./Cargo.lock"]
        env = { CARGO_NET_OFFLINE = "true" }
        timeout = "2m"
        output_limit = 4096
        max_age = "1h"

        [[command]]
        name = "least"
        run = ["true"]
        dir = "/src/app"
    "#;
    let commands = toml::from_str::<File>(full).unwrap().command;
    let expected = Command {
        inputs: vec![key("file:/src/app/Cargo.lock")],
        env: [("CARGO_NET_OFFLINE".to_owned(), "true".to_owned())].into(),
        timeout: Duration::from_secs(120),
        output_limit: 4096,
        max_age: Some(Duration::from_secs(3600)),
        ..Command::new("deps", &["cargo", "tree"], "/src/app".into())
    };
    assert_eq!(commands, [expected, Command::new("least", &["true"], "/src/app".into())]);
    let cases = [
        ("shell = true", "unknown field `shell`"),
        ("timeout = 5", "invalid type"),
        ("timeout = \"5\"", "`5` is not a duration"),
        ("inputs = [\"Cargo.lock\"]", "is not a key"),
        ("output_limit = -1", "invalid value"),
    ];
    for (line, reason) in cases {
        let error = toml::from_str::<File>(&format!("{full}\n{line}")).unwrap_err().to_string();
        assert!(error.contains(reason), "`{line}` gave `{error}`");
    }
}

#[test]
fn a_level_that_the_inputs_can_not_give_is_refused() {
    let tree = Tree::new();
    let command = |name: &str, inputs: &[&str], max_age: Option<u64>| Command {
        inputs: inputs.iter().map(|&input| key(input)).collect(),
        max_age: max_age.map(Duration::from_secs),
        ..tree.script(name, "true")
    };
    let loader = tree
        .loader(vec![
            command("nothing", &[], None),
            command("aged", &[], Some(1)),
            command("file", &["file:/a"], None),
            command("both", &["file:/a"], Some(1)),
            command("web", &["file:/a", "http:https://a.example/"], None),
            command("of-file", &["command:file"], None),
            command("of-nothing", &["command:nothing"], None),
            command("of-both", &["command:both"], None),
            command("of-web", &["command:web"], None),
        ])
        .unwrap();
    let cases = [
        ("nothing", false, true),
        ("aged", false, true),
        ("file", true, true),
        ("both", false, false),
        ("web", false, true),
        ("of-file", true, true),
        ("of-nothing", false, true),
        ("of-both", false, false),
        ("of-web", false, true),
    ];
    for (name, synced, verified) in cases {
        let key = key(&format!("command:{name}"));
        assert!(loader.offers(&key, Level::Fresh).is_ok());
        assert_eq!(loader.offers(&key, Level::Synced).is_ok(), synced, "{name} synced");
        assert_eq!(loader.offers(&key, Level::Verified).is_ok(), verified, "{name} verified");
    }
}

#[tokio::test]
async fn secrets_leave_what_a_command_writes_and_the_reason_of_its_failure() {
    let tree = Tree::new();
    let script = "printf 'a hunter2-'; printf 'hunter2 b\\n'; printf 'AK'; printf 'IAABCDEFGH23456789'; \
                  echo 'for hunter2-hunter2' >&2; exit $CODE";
    for code in ["0", "3"] {
        let mut command = tree.script("tell", script);
        command.env.insert("CODE".to_owned(), code.to_owned());
        let redactor = Redactor::new(["hunter2-hunter2".to_owned()]).with_patterns();
        let loader = tree.loader(vec![command]).unwrap().with_redactor(redactor);
        let key = key("command:tell");
        match loader.load(&key, &Inputs::none(&key)).await {
            Ok(loaded) => assert_eq!(loaded.value.unwrap(), "a [redacted] b\n[redacted:aws]"),
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("for [redacted]") && !error.contains("hunter2-hunter2"), "{error}");
            }
        }
    }
}
