//! One round: a server, its nodes, what goes wrong, and what they recorded.

use std::error::Error;
use std::time::Duration;

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use undercurrent_check::deliveries::{self, End, Told};
use undercurrent_check::dice::Random;
use undercurrent_check::history::{Operation, Time, recorded};
use undercurrent_check::site::{Fault, Finding, Site, faults_of};

use crate::nodes::{Node, Start};

/// How long a server may take to answer, once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(20);

/// What happened in a round.
pub(crate) struct Happened {
    pub(crate) history: Vec<Operation>,
    /// How many of these each node recorded: they stand one behind the other.
    pub(crate) lengths: Vec<usize>,
    /// What each node appended to a stream and was given of it, and what that has at the end.
    pub(crate) told: (Vec<Vec<Told>>, End),
    /// What went wrong, and when it began.
    pub(crate) faults: Vec<(Time, Wrong)>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrong {
    /// With the server or a way to it.
    Site(Fault),
    /// A node is killed, and another one takes its place.
    Kill(usize),
    /// A node stands still, and goes on.
    Stop(usize),
}

impl Happened {
    /// Returns which node made a read.
    pub(crate) fn node_of(&self, read: usize) -> usize {
        let ends = self.lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        ends.take_while(|end| *end <= read).count()
    }

    /// Returns the reads of the same leaves that all nodes made in the second before a read ended, the oldest first.
    pub(crate) fn reads_before(&self, read: usize) -> Vec<(usize, &Operation)> {
        let Operation::Read { saw: wanted, end: until, .. } = &self.history[read] else { return Vec::new() };
        let mut all: Vec<_> = (0..self.history.len())
            .filter_map(|i| {
                let Operation::Read { saw, end, .. } = &self.history[i] else { return None };
                let near = end <= until && until - end < 1_000_000_000;
                let same = saw.iter().any(|(leaf, _)| wanted.iter().any(|(wanted, _)| wanted == leaf));
                (near && same).then(|| (*end, self.node_of(i), &self.history[i]))
            })
            .collect();
        all.sort_by_key(|(end, ..)| *end);
        all.into_iter().map(|(_, node, read)| (node, read)).collect()
    }

    /// Returns what went wrong last before a read ended.
    pub(crate) fn before(&self, read: usize) -> Vec<(Time, Wrong)> {
        let Operation::Read { end, .. } = self.history[read] else { return Vec::new() };
        let before: Vec<_> = self.faults.iter().filter(|(at, _)| *at < end).copied().collect();
        before[before.len().saturating_sub(20)..].to_vec()
    }
}

/// Runs a round of a seed.
pub(crate) async fn run(
    seed: u64,
    count: usize,
    time: Duration,
    finding: Finding,
    without: Option<&str>,
) -> Result<Happened, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let site = Site::start(seed, count, true, finding).await?;
    let disturbed = site.can_be_disturbed();
    let start = |node, start| Start {
        seed,
        start,
        node,
        nodes: count,
        place: site.place_of(node),
        dir: dir.path(),
        disturbed,
        without,
    };
    let mut nodes = Vec::new();
    for node in 0..count {
        nodes.push(Node::start(&start(node, 0))?);
    }
    let (mut random, mut faults, mut starts) = (Random::new(seed ^ 0x0dd), Vec::new(), 0);
    let mut of_site = faults_of(seed, count);
    let until = now() + time.as_nanos() as u64;
    // First let them begin.
    tokio::time::sleep(time / 10).await;
    while now() < until {
        let (pause, fault) = of_site.next().ok_or("the faults never end")?;
        let node = random.below(count as u64) as usize;
        let wrong = match random.below(6) {
            0 => Wrong::Kill(node),
            1 => Wrong::Stop(node),
            _ => Wrong::Site(fault),
        };
        // Long enough for something to be right again.
        tokio::time::sleep(pause * 6).await;
        faults.push((now(), wrong));
        match wrong {
            // What a server refuses at that moment did not go wrong: a save, while another one is under way.
            Wrong::Site(fault) => {
                let _ = site.disturb(fault, &mut random).await;
            }
            Wrong::Kill(node) => {
                starts += 1;
                nodes[node].kill();
                nodes[node] = Node::start(&start(node, starts))?;
            }
            Wrong::Stop(node) => {
                nodes[node].signal(Signal::STOP);
                // Now and then for longer than anybody is believed who says nothing.
                tokio::time::sleep(Duration::from_millis(random.below(1000))).await;
                nodes[node].signal(Signal::CONT);
            }
        }
        if let Some(node) = (0..count).find(|node| nodes[*node].has_ended()) {
            return Err(format!("node {node} has ended by itself").into());
        }
    }
    drop(nodes);
    let (mut history, mut lengths, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for node in 0..count {
        let of_node = recorded::<Operation>(&dir.path().join(format!("history-{node}")))?;
        lengths.push(of_node.len());
        history.extend(of_node);
        told.push(deliveries::of_member(dir.path(), node)?);
    }
    let end = deliveries::end(site.place_of(0), seed, PATIENCE).await;
    let end = end.map_err(|error| format!("at the end, after {:?}: {error}", faults.last()))?;
    Ok(Happened { history, lengths, told: (told, end), faults })
}

fn now() -> Time {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
