//! The words of the command line.

mod groups;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ArgGroup, Parser, Subcommand};
use undercurrent_server::Listen;
use undercurrent_types::{
    Durability, EventSource, EventType, Level, Seq, SessionName, StreamName, Token, Version, parse_time,
};

pub(crate) use self::groups::{GroupsCreate, GroupsVerb, Work};

const EXAMPLES: &str = "\
Examples:
  undercurrent serve .                            watch this project; other commands below it find the daemon
  undercurrent get file:src/lib.rs                the bytes of the file, as they are now
  undercurrent get git:.#status --json            the same for git, with version, age, level and why
  undercurrent publish sessions/42 --type message --data '{\"text\":\"hello\"}'
  undercurrent tail sessions/42 --json            history, then live, one CloudEvent a line
  undercurrent work tasks --group builders -- ./build.sh      share a stream's events with other workers
  undercurrent put state:task-7 '{\"done\":false}'
  undercurrent explain file:src/lib.rs            why the last answer was allowed
  undercurrent changes agent-7                    what is not as it was when `get --session agent-7` gave it

Exit codes: 0 done, 1 failed, 2 usage, 3 not found or gone, 4 unavailable, 5 timed out, 6 conflict, 7 denied.";

/// The event stream beneath AI agents that keeps their context current.
#[derive(Debug, Parser)]
#[command(name = "undercurrent", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct Global {
    /// The daemon's address. Without it: the daemon that serves the current directory, then http://127.0.0.1:7433
    #[arg(long, global = true, env = "UNDERCURRENT_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The namespace that is meant: `serve` serves it, the other commands fail where another one is served
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Print JSON: one value, or one a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon: watch directories, answer on loopback, print events as they happen
    Serve(Serve),
    /// Publish an event, or one per line of stdin, and print the acknowledgement
    Publish(Publish),
    /// Say what became of an event: after a publish whose answer was lost
    Outcome(Outcome),
    /// Print the events of a stream: history, then live
    Tail(Tail),
    /// Print the events of streams as lines that `import` reads
    Export(Export),
    /// Publish what `export` printed; what is there already is passed over
    Import(Import),
    /// Print a piece of context, exactly
    Get(Get),
    /// Put a piece of context that nothing loads, or the state of a task
    Put(Put),
    /// Make keys and tags stale, and print the token of that
    Invalidate(Invalidate),
    /// Say why the last answer about a key was allowed, and what made the one before stale
    Explain(OneKey),
    /// Say what has changed since a session read it
    Changes(Changes),
    /// Wait until a key has another value, and print its version; exit code 5 when the time is over
    Wait(Wait),
    /// Fail with exit code 6 if a key is not at this version any more: ask before an edit
    Check(Check),
    /// Try the rules by which events make names stale
    Rules {
        #[command(subcommand)]
        verb: RulesVerb,
    },
    /// Take a secret that was stored by mistake out of the log, the last states and the memory
    Scrub(Scrub),
    /// Check every record and every index of a data directory that no daemon has open; changes nothing
    Doctor(Doctor),
    /// Say what the daemon is doing
    Status,
    /// List the sources with their health
    Sources,
    /// List the streams with their last events
    Streams {
        #[command(subcommand)]
        verb: Option<StreamsVerb>,
    },
    /// List the groups, whose members share the events of a stream
    Groups {
        #[command(subcommand)]
        verb: Option<GroupsVerb>,
    },
    /// Be a member of a group: run a command for each event, or print events and read what becomes of them
    Work(Work),
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent scrub - < secret.txt
  undercurrent scrub @secret.txt

Every event keeps its place; marks stand where the secret was. Who has read an event has it. Let the secret be taken
out of what is published from now on first: `secrets` in the configuration.")]
pub(crate) struct Scrub {
    /// The secret, from stdin or a file, so that it is not in the list of processes
    #[arg(value_name = "@FILE|-")]
    pub(crate) secret: OsString,
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent doctor --data ~/.local/state/undercurrent/default
  undercurrent doctor --store redis://10.0.0.5:6379
  undercurrent doctor --config undercurrent.toml      what that names, with its certificates
  undercurrent doctor --data DIR --salvage | undercurrent import

Of a data directory. Exit code 0: the log is whole; what is noteworthy is listed, with what opening will do about it.
Exit code 1: something that was safely on disk is damaged, or the checkpoint does not say what the log says; every place
is named with its file and byte. Opening mends by itself what a crash leaves. Damage can not be undone: restore the file
from a copy.

Of a shared store. Exit code 0: a node can use it; what it is and keeps is listed, with what that means for the
promises. Exit code 1: a node can not, and the error says why and what to do. Nothing is changed there.")]
pub(crate) struct Doctor {
    /// The data directory, as `serve` and `status` print it [env: UNDERCURRENT_DATA]
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    pub(crate) data: Option<PathBuf>,
    /// The address of a shared store; with a password give it in the environment, since others see the arguments
    /// [env: UNDERCURRENT_STORE]
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// The configuration of `serve`, which may name a store, its prefix and its certificates
    #[arg(long, env = "UNDERCURRENT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Move a checkpoint that does not say what the log says out of the way; nothing else is ever changed
    #[arg(long, conflicts_with_all = ["salvage", "store"])]
    pub(crate) repair: bool,
    /// Print every event that lies in a whole record, in order, as lines that `import` reads
    #[arg(long, conflicts_with_all = ["json", "store"])]
    pub(crate) salvage: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesVerb {
    /// Say which names an event would make stale, and by which rule; publishes nothing
    Test(RulesTest),
    /// Put the rules of a configuration in force for all nodes of a shared store; they go by them from their next event on
    Apply(Box<Serve>),
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent rules test '{\"type\":\"state_update.task\",\"source\":\"user/me\",\"subject\":\"state:task-7\"}'
  undercurrent rules test @event.json --rules my-rules.toml        these rules, and no daemon

`id` and `specversion` may be left out.")]
pub(crate) struct RulesTest {
    /// A CloudEvent in JSON, @FILE, or - for stdin
    #[arg(value_name = "EVENT|@FILE|-")]
    pub(crate) event: OsString,
    /// Test the shipped rules and those of this TOML file, without a daemon
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StreamsVerb {
    /// List them, which is also what no verb does
    Ls,
    /// Make one, or set how much one keeps that is there
    Create(StreamsCreate),
    /// Delete one with all that its events said
    Rm(StreamsRm),
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent streams create sessions/42 --max-age 30d
  undercurrent streams create progress --durability memory --max-count 1000
  undercurrent streams create audit --max-age none --max-bytes none

A stream need not be made: its first event does it, and it keeps 7 days or 1 GiB.
What is not named stays as it is. What is over a limit goes within a minute or so, oldest first.")]
pub(crate) struct StreamsCreate {
    /// Its name
    #[arg(value_name = "STREAM")]
    pub(crate) stream: StreamName,
    /// What an acknowledgement promises; fixed once the stream is made [default: durable]
    #[arg(long, value_name = "memory|page|durable")]
    pub(crate) durability: Option<Durability>,
    /// How old an event may become, such as 7d, or none
    #[arg(long, value_name = "AGE")]
    pub(crate) max_age: Option<String>,
    /// How many bytes of events are kept, such as 64MiB, or none
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_bytes: Option<String>,
    /// How many events are kept, or none
    #[arg(long, value_name = "N")]
    pub(crate) max_count: Option<String>,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct StreamsRm {
    /// Its name
    #[arg(value_name = "STREAM")]
    pub(crate) stream: StreamName,
    /// It can not be undone, so this is needed
    #[arg(long, required = true)]
    pub(crate) yes: bool,
}

#[derive(Debug, Default, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent serve .                     this project, data in the user's state directory
  undercurrent serve api web --data /var/lib/undercurrent
  undercurrent serve                       no files: streams and what is put

Without --listen a second daemon takes a free port; commands below its directories find it.")]
pub(crate) struct Serve {
    /// The directories to watch; only what lies below them can be read
    #[arg(value_name = "DIR")]
    pub(crate) roots: Vec<PathBuf>,
    /// A TOML file with `roots`, `listen`, `data`, `namespace`, `workspace`, `store`, `rules`, `secrets`, `secret_patterns`, `doubt`, `[quota]`, `[[command]]`, `[http]`; flags and environment go before it
    #[arg(long, env = "UNDERCURRENT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to listen, on loopback: port 0 takes a free one [default: 127.0.0.1:7433, or a free port]
    #[arg(long, env = "UNDERCURRENT_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<Listen>,
    /// Where the data lies, outside every DIR [default: a directory of these DIRs in the user's state directory]
    #[arg(long, env = "UNDERCURRENT_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// What keeps events and context: `embedded`, a log in the data directory, or the address of a DragonflyDB, Redis or
    /// Valkey that other nodes use too; with a password give it in the environment or the file, since others see the
    /// arguments [default: embedded]
    // Not parsed here, where an error would repeat the text with its password.
    #[arg(long, env = "UNDERCURRENT_STORE", hide_env_values = true, value_name = "embedded|URL")]
    pub(crate) store: Option<String>,
    /// What the files of this machine are called among those of other nodes of a shared store [default: a name that is
    /// drawn once and kept in the data directory]
    #[arg(long, env = "UNDERCURRENT_WORKSPACE", value_name = "NAME")]
    pub(crate) workspace: Option<String>,
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent publish sessions/42 --type message --data '{\"text\":\"hello\"}'
  undercurrent publish sessions/42 --type observation.note --data @note.json --expected-seq 7
  undercurrent publish tasks --type state_update.task --subject state:task-7 --data '{\"done\":true}'
  tail -f app.jsonl | undercurrent publish app --type observation.log --lines

A repeated --id answers what the first one was answered, and publishes nothing.")]
pub(crate) struct Publish {
    /// The stream, such as sessions/42
    pub(crate) stream: StreamName,
    /// What kind of thing happened: `message`, `observation.file_change`, …
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "lines")]
    pub(crate) ty: Option<EventType>,
    /// Which component says it [default: user/<your login>]
    #[arg(long)]
    pub(crate) source: Option<EventSource>,
    /// The key that the event is about, or another text
    #[arg(long, value_name = "KEY")]
    pub(crate) subject: Option<OsString>,
    /// What the event carries: JSON, @FILE, or - for stdin
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true, conflicts_with = "lines")]
    pub(crate) data: Option<OsString>,
    /// The media type of the data; what is not JSON is carried as bytes
    #[arg(long, value_name = "TYPE", conflicts_with = "lines")]
    pub(crate) content_type: Option<String>,
    /// The id, by which a repeated event is known [default: a new one]
    #[arg(long, conflicts_with = "lines")]
    pub(crate) id: Option<String>,
    /// Fail with exit code 6 unless this is the seq of the stream's last event (0: the stream is empty)
    #[arg(long, value_name = "N", value_parser = seq, conflicts_with = "lines")]
    pub(crate) expected_seq: Option<Seq>,
    /// What the stream promises, if this creates it: memory, page or durable
    #[arg(long)]
    pub(crate) durability: Option<Durability>,
    /// Only to those who `tail --ephemeral` now: it is not kept and makes nothing stale
    #[arg(long, conflicts_with_all = ["lines", "expected_seq", "durability"])]
    pub(crate) ephemeral: bool,
    /// One event per line of stdin: its data with --type, a whole CloudEvent without
    #[arg(long)]
    pub(crate) lines: bool,
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent publish sessions/42 --type message --id 7     the answer was lost
  undercurrent outcome sessions/42 7                         was it published, and where?

Exit code 0: it is there. Exit code 3: it is not known among the last 1048576 ids of the last 10 minutes. Exit code 4: it is
under way. Publishing it again with the same id is safe at any time.")]
pub(crate) struct Outcome {
    /// The stream that it was published to
    pub(crate) stream: StreamName,
    /// Its id
    pub(crate) id: String,
    /// The component that said it [default: user/<your login>]
    #[arg(long)]
    pub(crate) source: Option<EventSource>,
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent tail sessions/42
  undercurrent tail sessions/42 --json --no-follow | jq .data
  undercurrent tail local/project --from now --type 'observation.*'
  undercurrent tail 'sessions/*'                   all sessions, in the order in which things happened
  undercurrent tail '$invalidations' --from now
  undercurrent tail sessions/42 --from 0000000000000001.0000000000000017")]
pub(crate) struct Tail {
    /// The stream; with a `*` at its end all streams that begin so; `$invalidations` for what was made stale
    pub(crate) stream: String,
    /// Where to begin: `beginning`, `now`, or a cursor (the `sequence` of an event)
    #[arg(long, default_value = "beginning", value_name = "CURSOR")]
    pub(crate) from: String,
    /// Only events of this type, or with a `*` at its end of all that begin so; may be repeated
    #[arg(long = "type", value_name = "PATTERN")]
    pub(crate) types: Vec<String>,
    /// Only events of this source or one below it; may be repeated
    #[arg(long = "source", value_name = "PREFIX")]
    pub(crate) sources: Vec<String>,
    /// Only events about this subject; may be repeated
    #[arg(long = "subject", value_name = "KEY")]
    pub(crate) subjects: Vec<OsString>,
    /// Also events that are not kept, as they come
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// End after this many events
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// End at the last event there is
    #[arg(long)]
    pub(crate) no_follow: bool,
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent export > all.jsonl
  undercurrent export 'sessions/*' > sessions.jsonl
  undercurrent export --data ~/.local/state/undercurrent/default > all.jsonl    no daemon has it open

One CloudEvent a line, in the order in which they were published, with the stream as an attribute `stream`.")]
pub(crate) struct Export {
    /// The stream, or with a `*` at its end all streams that begin so
    #[arg(value_name = "STREAM|PATTERN", default_value = "*")]
    pub(crate) streams: String,
    /// Open this data directory as `serve` would, instead of asking a daemon
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent import all.jsonl
  undercurrent export --url http://127.0.0.1:7433 | undercurrent import --url http://127.0.0.1:7434

Streams, order, ids and all attributes are kept; `sequence` and `position` are assigned anew. Lines are published in
batches, each all or none. A bad line is named, and what stands before it is published: mend it and import again.")]
pub(crate) struct Import {
    /// What `export` printed
    #[arg(value_name = "FILE|-", default_value = "-")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent get file:src/lib.rs
  undercurrent get dir:. --json
  undercurrent get git:.#status
  undercurrent get state:task-7 --after 3f2a000000000001-17

Relative paths are taken from the current directory.")]
pub(crate) struct Get {
    /// The key: file:PATH, dir:PATH, git:PATH#status|head|diff|log|branch, state:ID, …
    pub(crate) key: OsString,
    /// How fresh: local, bounded(500ms), fresh, synced or verified [default: that of the key's kind]
    #[arg(long)]
    pub(crate) level: Option<Level>,
    /// At least as fresh as the write that this token was the answer to
    #[arg(long, value_name = "TOKEN")]
    pub(crate) after: Option<Token>,
    /// Print only what has changed since this version: a unified diff, or the value where there can be none
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<Version>,
    /// Load it, whatever is in memory
    #[arg(long)]
    pub(crate) reload: bool,
    /// Take what is in memory if it can not be loaded
    #[arg(long)]
    pub(crate) stale_on_error: bool,
    /// Remember for this session what was read, so that `changes` can say what is different later
    #[arg(long, env = "UNDERCURRENT_SESSION", value_name = "NAME")]
    pub(crate) session: Option<SessionName>,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct Put {
    /// The key, of a kind that nothing loads, or state:ID
    pub(crate) key: OsString,
    /// The value, @FILE, or - for stdin
    #[arg(value_name = "VALUE|@FILE|-", default_value = "-", allow_hyphen_values = true)]
    pub(crate) value: OsString,
    /// The ticket of the miss that this fills; refused if the key has moved since
    #[arg(long)]
    pub(crate) ticket: Option<String>,
    /// A key that the value was made from, with the version that was read; stale with it; may be repeated
    #[arg(long = "input", value_name = "KEY=VERSION")]
    pub(crate) inputs: Vec<OsString>,
    /// A tag that makes the value stale, such as repo:/path; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// For how long it may be served: 500ms, 30s or 10m
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) ttl: Option<Duration>,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct Invalidate {
    /// Keys
    #[arg(value_name = "KEY", required_unless_present = "tags")]
    pub(crate) keys: Vec<OsString>,
    /// All that carries this tag, such as repo:/path; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct OneKey {
    /// The key
    pub(crate) key: OsString,
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent get file:src/lib.rs --session agent-7
  undercurrent changes agent-7                    the same text as long as the same has changed
  undercurrent changes agent-7 --ack              the same, and not again")]
pub(crate) struct Changes {
    /// The session that the reads named with `--session`
    #[arg(env = "UNDERCURRENT_SESSION", value_name = "SESSION")]
    pub(crate) session: SessionName,
    /// Count what is printed as seen
    #[arg(long)]
    pub(crate) ack: bool,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct Wait {
    /// The key
    pub(crate) key: OsString,
    /// The version that it should no longer have [default: the one it has now]
    #[arg(long)]
    pub(crate) version: Option<Version>,
    /// For how long: 500ms, 30s or 10m
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30s")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct Check {
    /// The key
    pub(crate) key: OsString,
    /// The version that the edit was made from
    #[arg(long)]
    pub(crate) version: Version,
}

fn time(text: &str) -> Result<Duration, &'static str> {
    parse_time(text).ok_or("expected a time such as 500ms, 30s or 10m")
}

fn seq(text: &str) -> Result<Seq, std::num::ParseIntError> {
    text.parse().map(Seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_words_fit_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_has_its_help() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "`{}` has no help", command.get_name());
            for arg in command.get_arguments() {
                assert!(
                    arg.get_help().is_some(),
                    "`{}` of `{}` has no help",
                    arg.get_id(),
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Args::command());
    }
}
