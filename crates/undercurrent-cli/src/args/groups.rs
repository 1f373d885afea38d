//! The words of `groups` and `work`.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args as ArgGroup, Subcommand};
use undercurrent_types::wire::GroupOrder;
use undercurrent_types::{GroupName, Lease, StreamName};

use super::time;

#[derive(Debug, Subcommand)]
pub(crate) enum GroupsVerb {
    /// List them with how far they are, which is also what no verb does
    Ls,
    /// Make one on a stream, or change what of one that is there is not fixed
    Create(GroupsCreate),
    /// Show the settings of one, and how far it is
    Show(OneGroup),
    /// Delete one; its stream and the events stay
    Rm(GroupsRm),
    /// Take events, each with a lease, and print them
    Fetch(GroupsFetch),
    /// Say that events are done
    Ack(GroupsLeases),
    /// Say that events have to be given again
    Nack(GroupsNack),
    /// Have leases last longer
    Extend(GroupsExtend),
    /// Make events dead letters
    Term(GroupsTerm),
    /// Give events back as if they had not been given
    Release(GroupsLeases),
}

#[derive(Debug, ArgGroup)]
pub(crate) struct OneGroup {
    /// The group
    #[arg(value_name = "GROUP")]
    pub(crate) group: GroupName,
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent groups create builders --stream tasks
  undercurrent groups create mail --stream outbox --order subject --lease 2m --max-deliveries 8
  undercurrent groups create builders --lease 5m           changes one that is there

Stream, start and order are fixed once the group is made. What is not named gets its default, or stays as it is.")]
pub(crate) struct GroupsCreate {
    /// Its name: one word
    #[arg(value_name = "GROUP")]
    pub(crate) group: GroupName,
    /// The stream whose events its members share
    #[arg(long, value_name = "STREAM")]
    pub(crate) stream: Option<StreamName>,
    /// Where it begins: beginning, now or a cursor [default: beginning]
    #[arg(long, value_name = "CURSOR")]
    pub(crate) from: Option<String>,
    /// With `subject` the events of one subject come one after the other [default: none]
    #[arg(long, value_name = "none|subject")]
    pub(crate) order: Option<GroupOrder>,
    /// How long a member may take for an event before it is given to another [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) lease: Option<Duration>,
    /// How often an event is given before it becomes a dead letter [default: 5]
    #[arg(long, value_name = "N")]
    pub(crate) max_deliveries: Option<u32>,
    /// How long an event waits after its first failure; twice as long after each further one [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) backoff: Option<Duration>,
    /// The longest such wait [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) max_backoff: Option<Duration>,
    /// How many events may be out, wait or be held back at once [default: 1024]
    #[arg(long, value_name = "N")]
    pub(crate) max_open: Option<u32>,
    /// The stream of its dead letters [default: STREAM/dead]
    #[arg(long, value_name = "STREAM")]
    pub(crate) dead_letters: Option<StreamName>,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct GroupsRm {
    /// The group
    #[arg(value_name = "GROUP")]
    pub(crate) group: GroupName,
    /// How far it was is forgotten, so this is needed
    #[arg(long, required = true)]
    pub(crate) yes: bool,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct GroupsFetch {
    /// The group
    #[arg(value_name = "GROUP")]
    pub(crate) group: GroupName,
    /// How many events at most, up to 1000
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) max: usize,
    /// How long to wait for one if there is none, up to 60s
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "0s")]
    pub(crate) wait: Duration,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct GroupsLeases {
    /// The group
    #[arg(value_name = "GROUP")]
    pub(crate) group: GroupName,
    /// The leases, as `fetch` printed them
    #[arg(value_name = "LEASE", required = true)]
    pub(crate) leases: Vec<Lease>,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct GroupsNack {
    #[command(flatten)]
    pub(crate) which: GroupsLeases,
    /// When they may be given again [default: the group's back-off]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) delay: Option<Duration>,
    /// Why, for whoever reads the dead letter
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct GroupsExtend {
    #[command(flatten)]
    pub(crate) which: GroupsLeases,
    /// For how long from now [default: the group's lease]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) by: Option<Duration>,
}

#[derive(Debug, ArgGroup)]
pub(crate) struct GroupsTerm {
    #[command(flatten)]
    pub(crate) which: GroupsLeases,
    /// Why, for whoever reads the dead letter
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, ArgGroup)]
#[command(after_help = "\
Examples:
  undercurrent work tasks --group builders -- ./build.sh       the event on stdin; exit status 0: done
  undercurrent work tasks --group builders --jobs 4 -- sh -c 'jq -r .data.url | xargs curl -fsS'
  undercurrent work tasks --group builders                     events on stdout, what becomes of them on stdin

With a COMMAND: it gets the event as one line of JSON on stdin, and UNDERCURRENT_GROUP, UNDERCURRENT_SEQ and
UNDERCURRENT_DELIVERIES in its environment. Exit status 0 acknowledges the event; any other has it given again later, or
makes it a dead letter when it was given as often as it may be. The lease is extended while the command runs.

Without one: each event comes as a line {\"lease\":…,\"deliveries\":…,\"event\":…}. On stdin is expected, a line each:
  LEASE | ack LEASE       it is done
  nack LEASE [TIME [WHY]] it has to be given again, after this time (- for the group's back-off)
  term LEASE [WHY]        it is to be a dead letter
  extend LEASE [TIME]     it takes longer
  release LEASE           somebody else shall have it
The end of stdin, SIGINT and SIGTERM give back what is out, at once.")]
pub(crate) struct Work {
    /// The stream
    #[arg(value_name = "STREAM")]
    pub(crate) stream: StreamName,
    /// The group whose members share the events; made with its defaults if it is not there
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: GroupName,
    /// Where the group begins if this makes it: beginning, now or a cursor
    #[arg(long, value_name = "CURSOR")]
    pub(crate) from: Option<String>,
    /// How many events this member has at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) jobs: u16,
    /// End after this many events
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// End when there is nothing to be given now
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// The exit status of COMMAND that makes the event a dead letter at once
    #[arg(long, value_name = "N", requires = "command")]
    pub(crate) term_status: Option<i32>,
    /// What is run for each event
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}
