//! The words of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as ArgGroup, Parser, Subcommand, ValueEnum};
use undercurrent_client::Start;
use undercurrent_server::Listen;
use undercurrent_types::{Durability, EventSource, EventType, Level, Seq, StreamName, Token, Version};

const EXAMPLES: &str = "\
Examples:
  undercurrent serve .                            watch this project; other commands below it find the daemon
  undercurrent get file:src/lib.rs                the bytes of the file, as they are now
  undercurrent get git:.#status --json            the same for git, with version, age, level and why
  undercurrent publish sessions/42 --type message --data '{\"text\":\"hello\"}'
  undercurrent tail sessions/42 --json            history, then live, one CloudEvent a line
  undercurrent put state:task-7 '{\"done\":false}'
  undercurrent explain file:src/lib.rs            why the last answer was allowed

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
    /// Print the events of a stream: history, then live
    Tail(Tail),
    /// Print a piece of context, exactly
    Get(Get),
    /// Put a piece of context that nothing loads, or the state of a task
    Put(Put),
    /// Make keys and tags stale, and print the token of that
    Invalidate(Invalidate),
    /// Say why the last answer about a key was allowed, and what made the one before stale
    Explain(OneKey),
    /// Fail with exit code 6 if a key is not at this version any more: ask before an edit
    Check(Check),
    /// Say what the daemon is doing
    Status,
    /// List the sources with their health
    Sources,
    /// Look at the rules that say which names an event makes stale; needs no daemon
    Rules {
        #[command(subcommand)]
        verb: RulesVerb,
    },
    /// List the streams with their last events
    Streams {
        #[command(subcommand)]
        verb: Option<StreamsVerb>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesVerb {
    /// Show which names an event makes stale, and by which rule; publishes nothing
    Test {
        /// A CloudEvent in JSON, @FILE, or - for stdin
        #[arg(value_name = "EVENT|@FILE|-", default_value = "-")]
        event: OsString,
        /// The TOML file of `serve`, whose `rules` are added to the shipped ones
        #[arg(long, env = "UNDERCURRENT_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the shipped rules and those of the configuration, as TOML
    Print {
        /// The TOML file of `serve`, whose `rules` are added to the shipped ones
        #[arg(long, env = "UNDERCURRENT_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StreamsVerb {
    /// List them, which is also what no verb does
    Ls,
}

#[derive(Debug, ArgGroup)]
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
    /// A TOML file with `roots`, `listen`, `data`, `namespace`, `rules`, `secrets`, `[[command]]`, `[http]`; flags and environment go before it
    #[arg(long, env = "UNDERCURRENT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to listen, on loopback: port 0 takes a free one [default: 127.0.0.1:7433, or a free port]
    #[arg(long, env = "UNDERCURRENT_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<Listen>,
    /// Where the data lies, outside every DIR [default: a directory of these DIRs in the user's state directory]
    #[arg(long, env = "UNDERCURRENT_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// What keeps the events
    #[arg(long, value_enum, default_value_t = StoreKind::Embedded)]
    pub(crate) store: StoreKind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StoreKind {
    /// A log in the data directory; needs no server
    Embedded,
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
    /// One event per line of stdin: its data with --type, a whole CloudEvent without
    #[arg(long)]
    pub(crate) lines: bool,
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent tail sessions/42
  undercurrent tail sessions/42 --json --no-follow | jq .data
  undercurrent tail local/project --from now --type 'observation.*'
  undercurrent tail sessions/42 --from 0000000000000001.0000000000000017")]
pub(crate) struct Tail {
    /// The stream
    pub(crate) stream: StreamName,
    /// Where to begin: `beginning`, `now`, or a cursor (the `sequence` of an event)
    #[arg(long, default_value = "beginning", value_name = "CURSOR")]
    pub(crate) from: Start,
    /// Only events of this type, or with a `*` at its end of all that begin so; may be repeated
    #[arg(long = "type", value_name = "PATTERN")]
    pub(crate) types: Vec<String>,
    /// Only events of this source or one below it; may be repeated
    #[arg(long = "source", value_name = "PREFIX")]
    pub(crate) sources: Vec<String>,
    /// Only events about this subject; may be repeated
    #[arg(long = "subject", value_name = "KEY")]
    pub(crate) subjects: Vec<OsString>,
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
    /// Print nothing if this is still the version
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<Version>,
    /// Load it, whatever is in memory
    #[arg(long)]
    pub(crate) reload: bool,
    /// Take what is in memory if it can not be loaded
    #[arg(long)]
    pub(crate) stale_on_error: bool,
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
pub(crate) struct Check {
    /// The key
    pub(crate) key: OsString,
    /// The version that the edit was made from
    #[arg(long)]
    pub(crate) version: Version,
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
