//! Running git on a repository that is not trusted.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use undercurrent_types::Key;

use super::repository::Repository;
use crate::cache::LoadError;

/// The most bytes that a command may write.
const LARGEST: u64 = 16 << 20;

/// The most bytes of an error that are kept.
const LONGEST_ERROR: u64 = 64 << 10;

/// Settings of a repository with the values that are put over them. What a command has an option for, such as external
/// diff, text conversion, signatures and colours, is switched off there.
const OVERRIDDEN: [&str; 4] = [
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.quotePath=false",
    // A diff would write what it found out about stamps into the index, whatever is said about locks.
    "diff.autoRefreshIndex=false",
];

/// What of the environment git keeps: where programs and the user's own configuration are.
const KEPT: [&str; 4] = ["PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR"];

/// What git is told by the environment: a missing object is an error and never a fetch, in two ways because older
/// versions know only the second.
const TOLD: [(&str, &str); 4] = [
    ("LC_ALL", "C"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_ALLOW_PROTOCOL", "none"),
];

/// One repository, and how git is run on it.
#[derive(Debug)]
pub(super) struct Git<'a> {
    key: &'a Key,
    root: PathBuf,
    git_dir: PathBuf,
    settings: Vec<String>,
}

impl<'a> Git<'a> {
    pub(super) fn new(key: &'a Key, repository: &Repository) -> Self {
        Self {
            key,
            root: repository.root.clone(),
            git_dir: repository.git_dir.clone(),
            settings: OVERRIDDEN.map(str::to_owned).into(),
        }
    }

    /// Empties the filters that the repository's own configuration names: a status or a diff would run them.
    ///
    /// Those of the user's configuration stay, without which files kept elsewhere would all look modified.
    pub(super) async fn without_filters(mut self) -> Result<Self, LoadError> {
        let list = self.succeed(&["config", "--list", "--show-scope", "--name-only", "-z"]).await?;
        let list = String::from_utf8_lossy(&list).into_owned();
        let mut words = list.split_terminator('\0');
        while let (Some(scope), Some(setting)) = (words.next(), words.next()) {
            let last = setting.rsplit('.').next().unwrap_or_default();
            if !matches!(scope, "local" | "worktree") || !matches!(last, "clean" | "smudge" | "process") {
                continue;
            }
            if setting.contains(['=', '\u{fffd}']) {
                let reason = format!("its configuration has `{setting}`, a name that can not be overridden");
                return Err(LoadError::Denied { key: self.key.clone(), reason });
            }
            let (filter, _) = setting.rsplit_once('.').unwrap_or((setting, ""));
            self.settings.push(format!("{setting}="));
            self.settings.push(format!("{filter}.required=false"));
        }
        Ok(self)
    }

    /// Returns the directories with files that are tracked although an ignore rule covers them.
    pub(super) async fn tracked_though_ignored(&self) -> Result<Vec<PathBuf>, LoadError> {
        let args = ["ls-files", "--cached", "--ignored", "--exclude-standard", "-z"];
        let list = self.succeed(&args).await?;
        let paths = list.split(|&b| b == 0).filter(|path| !path.is_empty());
        let mut dirs: Vec<PathBuf> = paths
            .filter_map(|path| {
                let path = self.root.join(OsString::from_vec(path.to_vec()));
                path.parent().map(ToOwned::to_owned)
            })
            .collect();
        dirs.dedup();
        Ok(dirs)
    }

    /// Returns the id of the checked-out commit, empty before the first one.
    pub(super) async fn head(&self) -> Result<String, LoadError> {
        let id = self.one_line(&["rev-parse", "--verify", "--quiet", "HEAD"]).await?;
        Ok(String::from_utf8_lossy(&id).into_owned())
    }

    /// Returns the name of the checked-out branch, empty when the head is detached.
    pub(super) async fn branch(&self) -> Result<Bytes, LoadError> {
        let name = self.one_line(&["symbolic-ref", "--quiet", "HEAD"]).await?;
        let prefix = b"refs/heads/";
        Ok(if name.starts_with(prefix) { name.slice(prefix.len()..) } else { name })
    }

    pub(super) async fn status(&self) -> Result<Bytes, LoadError> {
        let args = [
            "status",
            "--porcelain=v2",
            "--branch",
            "--untracked-files=normal",
            "--ignore-submodules=dirty",
            "--find-renames",
        ];
        self.succeed(&args).await
    }

    /// Compares tracked files with a commit; with nothing, where there is none yet.
    pub(super) async fn diff(&self, head: &str) -> Result<Bytes, LoadError> {
        let nothing;
        let base = if head.is_empty() {
            nothing = self.one_line(&["hash-object", "-t", "tree", "/dev/null"]).await?;
            &*String::from_utf8_lossy(&nothing)
        } else {
            head
        };
        let args = [
            "diff",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--src-prefix=a/",
            "--dst-prefix=b/",
            "--unified=3",
            "--find-renames",
            "--submodule=short",
            "--ignore-submodules=dirty",
            base,
            "--",
        ];
        self.succeed(&args).await
    }

    pub(super) async fn log(&self) -> Result<Bytes, LoadError> {
        let args = [
            "log",
            "--max-count=50",
            "--no-color",
            "--no-decorate",
            "--no-notes",
            "--no-show-signature",
            "--no-ext-diff",
            "--no-textconv",
            "--no-patch",
            "--encoding=UTF-8",
            "--format=%H%x09%ct%x09%an%x09%s",
            "HEAD",
            "--",
        ];
        self.succeed(&args).await
    }

    /// Returns what a command writes without its line feed; a command that exits with 1 has nothing to say.
    async fn one_line(&self, args: &[&str]) -> Result<Bytes, LoadError> {
        let (status, written, error) = self.run(args).await?;
        match status.code() {
            Some(0) => Ok(written
                .strip_suffix(b"\n")
                .map_or_else(|| written.clone(), |line| written.slice_ref(line))),
            Some(1) => Ok(Bytes::new()),
            _ => Err(self.failed(args, status, &error)),
        }
    }

    /// Returns what a command writes that has to succeed.
    async fn succeed(&self, args: &[&str]) -> Result<Bytes, LoadError> {
        let (status, written, error) = self.run(args).await?;
        if status.success() { Ok(written) } else { Err(self.failed(args, status, &error)) }
    }

    /// Runs git; if the future is dropped, git is killed.
    async fn run(&self, args: &[&str]) -> Result<(ExitStatus, Bytes, String), LoadError> {
        let io = |error: std::io::Error| self.error(format!("running `git`: {error}"));
        let mut child = self.command(args).spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                self.error("there is no `git` program in `PATH`: install git".to_owned())
            }
            _ => io(error),
        })?;
        let (mut written, mut error) = (Vec::new(), Vec::new());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        tokio::try_join!(
            async {
                read_at_most(stdout, LARGEST + 1, &mut written).await.map_err(io)?;
                // The rest is not read: git is killed when this error is returned.
                if written.len() as u64 > LARGEST { Err(self.too_large(written.len())) } else { Ok(()) }
            },
            async {
                if let Some(mut stderr) = stderr {
                    read_at_most(Some(&mut stderr), LONGEST_ERROR, &mut error).await.map_err(io)?;
                    tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await.map_err(io)?;
                }
                Ok(())
            }
        )?;
        let status = child.wait().await.map_err(io)?;
        Ok((status, written.into(), String::from_utf8_lossy(&error).into_owned()))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("--no-optional-locks").arg("--no-pager").arg("-C").arg(&self.root);
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        command.args(args);
        command.env_clear();
        command.envs(KEPT.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value))));
        command.envs(TOLD);
        // Named, so that the repository's configuration can not say that they are elsewhere.
        command.env("GIT_DIR", &self.git_dir).env("GIT_WORK_TREE", &self.root);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    fn failed(&self, args: &[&str], status: ExitStatus, error: &str) -> LoadError {
        let line = error.lines().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
        self.error(format!("`git {}` ended with {status}: {line}", args[0]))
    }

    fn error(&self, reason: String) -> LoadError {
        LoadError::Failed { key: self.key.clone(), reason }
    }

    fn too_large(&self, read: usize) -> LoadError {
        LoadError::TooLarge { key: self.key.clone(), actual: read as u64, limit: LARGEST }
    }
}

async fn read_at_most(
    from: Option<impl AsyncRead + Unpin>,
    limit: u64,
    into: &mut Vec<u8>,
) -> std::io::Result<()> {
    if let Some(from) = from {
        from.take(limit).read_to_end(into).await?;
    }
    Ok(())
}
