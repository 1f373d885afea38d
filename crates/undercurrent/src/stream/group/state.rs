//! What a group has given and has not been told the end of: decisions without I/O and without a clock.
//!
//! Every event up to `scanned` is done or stands in `open`, so an acknowledgement takes no room, in whatever order they
//! come. Times are milliseconds of the clock of whoever decides; a row carries durations only.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;
use undercurrent_types::wire::{GroupGap, GroupOrder, GroupStatus};
use undercurrent_types::{Cursor, GroupName, Lease, Seq};

use super::error::Refused;
use super::settings::Settings;

/// The longest reason that is kept, in bytes of its JSON.
const LONGEST_REASON: usize = 100;

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub(super) settings: Settings,
    /// The last event that was looked at.
    pub(super) scanned: Cursor,
    /// The last generation that was given.
    pub(super) generation: u64,
    /// The events up to `scanned` that are not done. Bounded by `max_open`.
    pub(super) open: BTreeMap<Seq, Open>,
    pub(super) dead: u64,
    pub(super) lost: u64,
    pub(super) gap: Option<GroupGap>,
}

/// An event that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// Its subject, where events of one subject come one after the other.
    pub(super) subject: Option<u64>,
    /// How often it was given.
    pub(super) deliveries: u32,
    /// Why it was not done the last time.
    pub(super) reason: Option<Arc<str>>,
    pub(super) standing: Standing,
}

/// Where an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// With nobody: held back by another of its subject, or given back.
    Free,
    /// With a member, until then.
    Out { generation: u64, renewals: u32, lease_ms: u64, until: u64 },
    /// With nobody until then.
    Waiting { delay_ms: u64, until: u64 },
    /// It becomes a dead letter in this step, or in the next if there are many.
    Doomed,
}

/// What a member says of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The event is done.
    Ack,
    /// It is to be given again: after a delay, or after the back-off.
    Nack { delay_ms: Option<u64>, reason: Option<Arc<str>> },
    /// The member needs so much longer, counted from now.
    Extend { lease_ms: Option<u64> },
    /// It is to be a dead letter.
    Term { reason: Option<Arc<str>> },
    /// It is given back as if it had not been given.
    Release,
}

impl State {
    /// Returns a group that has given nothing. Its generations begin above those of any group before it: each took a
    /// commit, so it is below the position of the store.
    pub(super) fn new(settings: Settings, begin: Cursor, generation: u64) -> Self {
        let open = BTreeMap::new();
        Self { settings, scanned: begin, generation, open, dead: 0, lost: 0, gap: None }
    }

    /// Takes in what a member says of a lease.
    pub(super) fn settle(&mut self, lease: Lease, verdict: &Verdict, now: u64) -> Result<(), Refused> {
        let Some(open) = self.open.get_mut(&lease.seq) else {
            return Err(if lease.seq <= self.scanned.seq { Refused::Done } else { Refused::NotGiven });
        };
        let (renewals, settings) = match open.standing {
            Standing::Out { generation, renewals, .. } if generation == lease.generation => {
                (renewals, &self.settings)
            }
            Standing::Out { generation, .. } => return Err(Refused::GivenAgain { generation }),
            _ => return Err(Refused::NotOut),
        };
        match verdict {
            Verdict::Ack => {
                self.open.remove(&lease.seq);
            }
            Verdict::Nack { delay_ms, reason } => {
                let delay_ms = delay_ms.unwrap_or_else(|| settings.backoff(open.deliveries));
                open.reason.clone_from(reason);
                open.standing = match open.deliveries {
                    deliveries if deliveries >= settings.max_deliveries => Standing::Doomed,
                    _ => Standing::Waiting { delay_ms, until: now + delay_ms },
                };
            }
            Verdict::Extend { lease_ms } => {
                let (generation, lease_ms) = (lease.generation, lease_ms.unwrap_or(settings.lease_ms));
                let (renewals, until) = (renewals.wrapping_add(1), now + lease_ms);
                open.standing = Standing::Out { generation, renewals, lease_ms, until };
            }
            Verdict::Term { reason } => {
                open.reason.clone_from(reason);
                open.standing = Standing::Doomed;
            }
            Verdict::Release => {
                open.deliveries = open.deliveries.saturating_sub(1);
                open.standing = Standing::Free;
            }
        }
        Ok(())
    }

    /// Dooms events whose last lease has run out.
    pub(super) fn doom_overdue(&mut self, now: u64) {
        let most = self.settings.max_deliveries;
        for open in self.open.values_mut().filter(|open| open.deliveries >= most) {
            if let Standing::Out { until, .. } = open.standing
                && until <= now
            {
                open.reason = Some("its last lease ran out".into());
                open.standing = Standing::Doomed;
            }
        }
    }

    /// Returns the events that have to become dead letters.
    pub(super) fn doomed(&self) -> impl Iterator<Item = Seq> {
        self.open.iter().filter(|(_, open)| open.standing == Standing::Doomed).map(|(seq, _)| *seq)
    }

    /// Takes out an event that becomes a dead letter in this step.
    pub(super) fn bury(&mut self, seq: Seq) -> Option<Open> {
        let open = self.open.remove(&seq)?;
        self.dead += 1;
        Some(open)
    }

    /// Returns the open events that could be given at some time, each with the earliest: those that no earlier event
    /// of their subject holds back.
    fn candidates(&self) -> impl Iterator<Item = (Seq, u64)> {
        let mut subjects = HashSet::new();
        self.open.iter().filter_map(move |(seq, open)| {
            let is_first = open.subject.is_none_or(|subject| subjects.insert(subject));
            let at = match open.standing {
                Standing::Free => 0,
                Standing::Waiting { until, .. } => until,
                Standing::Out { until, .. } if open.deliveries < self.settings.max_deliveries => {
                    until + self.settings.backoff(open.deliveries)
                }
                Standing::Out { .. } | Standing::Doomed => return None,
            };
            is_first.then_some((*seq, at))
        })
    }

    /// Returns the open events that can be given now, at most so many.
    pub(super) fn ready(&self, now: u64, most: usize) -> Vec<Seq> {
        self.candidates().filter(|(_, at)| *at <= now).map(|(seq, _)| seq).take(most).collect()
    }

    /// Returns when an open event can be given next.
    pub(super) fn next_ready(&self) -> Option<u64> {
        self.candidates().map(|(_, at)| at).min()
    }

    /// Returns when an event becomes a dead letter by itself next.
    pub(super) fn next_doom(&self) -> Option<u64> {
        let most = self.settings.max_deliveries;
        let last = self.open.values().filter(|open| open.deliveries >= most);
        last.filter_map(|open| match open.standing {
            Standing::Out { until, .. } => Some(until),
            Standing::Doomed => Some(0),
            _ => None,
        })
        .min()
    }

    /// Returns how many more events can be open.
    pub(super) fn room(&self) -> usize {
        (self.settings.max_open as usize).saturating_sub(self.open.len())
    }

    /// Gives an open event; returns how often it was given.
    pub(super) fn give(&mut self, seq: Seq, generation: u64, now: u64) -> Option<u32> {
        let open = self.open.get_mut(&seq)?;
        let lease_ms = self.settings.lease_ms;
        open.deliveries += 1;
        open.standing = Standing::Out { generation, renewals: 0, lease_ms, until: now + lease_ms };
        self.generation = self.generation.max(generation);
        Some(open.deliveries)
    }

    /// Returns the subjects that have open events.
    pub(super) fn subjects(&self) -> HashSet<u64> {
        self.open.values().filter_map(|open| open.subject).collect()
    }

    /// Takes in the next event of the stream; says whether it can be given, or has to wait for others of its subject.
    pub(super) fn admit(&mut self, at: Cursor, subject: Option<&[u8]>, subjects: &mut HashSet<u64>) -> bool {
        let subject = match self.settings.order {
            GroupOrder::Subject => subject.map(hash),
            GroupOrder::None => None,
        };
        self.scanned = at;
        let open = Open { subject, deliveries: 0, reason: None, standing: Standing::Free };
        self.open.insert(at.seq, open);
        subject.is_none_or(|subject| subjects.insert(subject))
    }

    /// Takes out an event that the stream has let go.
    pub(super) fn lose(&mut self, seq: Seq) -> GroupGap {
        self.open.remove(&seq);
        let at = |seq| Cursor { epoch: self.scanned.epoch, seq }.to_string();
        let (after, resumes) = (at(Seq(seq.0.saturating_sub(1))), at(seq));
        self.note(GroupGap { reason: "retention".to_owned(), after, resumes, events: Some(1) })
    }

    /// Goes on behind events that the stream has let go, or in the stream that it is now. What was open in another
    /// epoch is gone with it. A group that has seen nothing of a stream that was not there misses nothing.
    pub(super) fn go_on(&mut self, oldest: Cursor, reason: &str) -> Option<GroupGap> {
        let after = self.scanned;
        self.scanned = oldest;
        let same = after.epoch == oldest.epoch && reason == "retention";
        if !same {
            self.open.clear();
        }
        if after.seq == Seq(0) && oldest.seq == Seq(0) {
            return None;
        }
        let events = same.then(|| oldest.seq.0.saturating_sub(after.seq.0));
        let (after, resumes) = (after.to_string(), oldest.to_string());
        Some(self.note(GroupGap { reason: reason.to_owned(), after, resumes, events }))
    }

    fn note(&mut self, gap: GroupGap) -> GroupGap {
        self.lost += gap.events.unwrap_or_default();
        self.gap = Some(gap.clone());
        gap
    }

    /// Returns the group for people, beside a stream that ends there.
    pub(super) fn status(&self, group: &GroupName, tail: Cursor) -> GroupStatus {
        let count =
            |is: fn(&Standing) -> bool| self.open.values().filter(|open| is(&open.standing)).count() as u64;
        let done = self.open.keys().next().map_or(self.scanned.seq, |first| Seq(first.0 - 1));
        let scanned = if tail.epoch == self.scanned.epoch { self.scanned.seq.0 } else { 0 };
        let settings = &self.settings;
        GroupStatus {
            group: group.clone(),
            stream: settings.stream.clone(),
            from: settings.from.clone(),
            order: settings.order,
            lease_ms: settings.lease_ms,
            max_deliveries: settings.max_deliveries,
            backoff_ms: settings.backoff_ms,
            max_backoff_ms: settings.max_backoff_ms,
            max_open: settings.max_open,
            dead_letters: settings.dead_letters.clone(),
            cursor: Cursor { epoch: self.scanned.epoch, seq: done }.to_string(),
            lag: tail.seq.0.saturating_sub(scanned) + self.open.len() as u64,
            out: count(|standing| matches!(standing, Standing::Out { .. })),
            waiting: count(|standing| matches!(standing, Standing::Waiting { .. } | Standing::Doomed)),
            held: count(|standing| matches!(standing, Standing::Free)),
            dead: self.dead,
            lost: self.lost,
            gap: self.gap.clone(),
        }
    }
}

impl Standing {
    /// Keeps the time of the same standing, as it was known before.
    pub(super) fn keep_time(&mut self, before: Self) {
        match (self, before) {
            (
                Self::Out { generation, renewals, until, .. },
                Self::Out { generation: same, renewals: times, until: known, .. },
            ) if (*generation, *renewals) == (same, times) => *until = known,
            (Self::Waiting { delay_ms, until }, Self::Waiting { delay_ms: same, until: known })
                if *delay_ms == same =>
            {
                *until = known;
            }
            _ => {}
        }
    }
}

/// Cuts a reason to what is kept of one.
pub(crate) fn short(reason: &str) -> Arc<str> {
    let size = |c: char| match c {
        '"' | '\\' => 2,
        c if c.is_control() => 1,
        c => c.len_utf8(),
    };
    let mut left = LONGEST_REASON;
    let kept = reason.trim().chars().take_while(|c| {
        let fits = size(*c) <= left;
        left = left.saturating_sub(size(*c));
        fits
    });
    kept.map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().into()
}

/// A subject as a number. It has to be the same in every process that serves the group.
fn hash(subject: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(subject);
    hasher.finish()
}
