//! Running one command, and ending all that it has started.

use std::io;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use undercurrent_types::Key;

use super::Command;
use crate::cache::LoadError;
use crate::redact::{Chunks, Redactor};

/// How many bytes of the end of the standard error an error carries.
const LAST: usize = 2 << 10;

/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// What of the environment a command inherits.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// Runs a command and returns what it wrote. It has ended when it has exited and nobody holds its output open.
///
/// When the future is dropped, or ends with an error, everything in the command's process group is killed.
pub(super) async fn run(
    key: &Key,
    command: &Command,
    dir: &Path,
    redactor: &Redactor,
) -> Result<Bytes, LoadError> {
    let limit = command.timeout;
    let ended = tokio::time::timeout(limit, run_to_end(key, command, dir, redactor)).await;
    ended.unwrap_or_else(|_| Err(LoadError::TimedOut { key: key.clone(), limit }))
}

async fn run_to_end(
    key: &Key,
    command: &Command,
    dir: &Path,
    redactor: &Redactor,
) -> Result<Bytes, LoadError> {
    let failed = |reason: String| {
        let (reason, _) = redactor.take_out(reason.as_bytes());
        LoadError::Failed { key: key.clone(), reason: String::from_utf8_lossy(&reason).into_owned() }
    };
    let words = command.run.join(" ");
    let broken = |error: io::Error| failed(format!("running `{words}` in `{}`: {error}", dir.display()));
    let mut child = prepare(command, dir).spawn().map_err(broken)?;
    // After the child, so that it goes first: a group is named by its leader only for as long as that is not reaped.
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (written, last) = tokio::try_join!(
        async {
            let written =
                read_up_to(stdout, command.output_limit, redactor.chunks()).await.map_err(broken)?;
            written.ok_or_else(|| LoadError::TooLarge {
                key: key.clone(),
                actual: command.output_limit + 1,
                limit: command.output_limit,
            })
        },
        async { read_last(stderr).await.map_err(broken) },
    )?;
    // Only now is it reaped, so that until here its process id is nobody else's.
    let status = child.wait().await.map_err(broken)?;
    group.has_ended();
    if status.success() {
        return Ok(written.into());
    }
    let last = String::from_utf8_lossy(&last);
    let last = if last.trim().is_empty() { "it gave no reason" } else { last.trim() };
    Err(failed(format!("`{words}` ended with {status}: {last}")))
}

fn prepare(command: &Command, dir: &Path) -> tokio::process::Command {
    let (program, args) = command.run.split_first().expect("a command without a program is refused");
    let mut prepared = if program.contains('/') {
        tokio::process::Command::new(dir.join(program))
    } else {
        tokio::process::Command::new(program)
    };
    prepared.args(args).current_dir(dir).env_clear();
    prepared.envs(INHERITED.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value))));
    prepared.envs(&command.env);
    prepared.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    prepared.process_group(0).kill_on_drop(true);
    prepared
}

/// Reads to the end, without what is secret; `None` as soon as there is more than allowed.
async fn read_up_to(
    from: Option<impl AsyncRead + Unpin>,
    limit: u64,
    mut chunks: Chunks,
) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let Some(mut from) = from else { return Ok(Some(bytes)) };
    let mut buffer = vec![0; CHUNK];
    let mut left = limit;
    loop {
        match from.read(&mut buffer).await? {
            0 => break,
            read if read as u64 > left => return Ok(None),
            read => {
                left -= read as u64;
                bytes.extend(chunks.push(&buffer[..read]));
            }
        }
    }
    bytes.extend(chunks.finish());
    Ok(Some(bytes))
}

/// Reads to the end and keeps the last bytes.
async fn read_last(from: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut last = Vec::new();
    let Some(mut from) = from else { return Ok(last) };
    let mut buffer = [0; LAST];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(last);
        }
        last.extend_from_slice(&buffer[..read]);
        last.drain(..last.len().saturating_sub(LAST));
    }
}

/// The processes of a command; dropping it kills all that are left.
struct Group(Option<Pid>);

impl Group {
    /// Notes that the leader is reaped: its id may soon be another's.
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0.take() {
            // The group has gone already, or it is killed: both are what is wanted.
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}
