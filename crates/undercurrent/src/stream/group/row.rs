//! A group as the row of the table `group`: JSON, so that people can read it where it lies.
//!
//! There is no time in it. Who reads it for the first time counts every lease and delay from then on in full, so a
//! restart gives each lease its whole time again, and nobody has to agree about clocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use undercurrent_types::wire::GroupGap;
use undercurrent_types::{GroupName, Seq};

use super::error::GroupError;
use super::settings::Settings;
use super::state::{Open, Standing, State};

/// The version of the format.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Row {
    format: u32,
    settings: Settings,
    scanned: String,
    generation: u64,
    dead: u64,
    lost: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap: Option<GroupGap>,
    open: Vec<Run>,
}

/// Open events one behind the other that are alike.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Run {
    seq: u64,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    n: u64,
    #[serde(rename = "d")]
    deliveries: u32,
    #[serde(default, rename = "s", skip_serializing_if = "Option::is_none")]
    subject: Option<u64>,
    #[serde(default, rename = "why", skip_serializing_if = "Option::is_none")]
    reason: Option<Arc<str>>,
    /// Generation, renewals, lease in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    out: Option<(u64, u32, u64)>,
    /// Delay in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wait: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    doomed: bool,
}

impl State {
    /// Writes the row.
    pub(super) fn encode(&self) -> Bytes {
        let row = Row {
            format: FORMAT,
            settings: self.settings.clone(),
            scanned: self.scanned.to_string(),
            generation: self.generation,
            dead: self.dead,
            lost: self.lost,
            gap: self.gap.clone(),
            open: runs(&self.open),
        };
        serde_json::to_vec(&row).expect("it has nothing that JSON has not").into()
    }

    /// Reads the row. What stands as it is known already keeps its time; the rest begins now.
    pub(super) fn decode(
        group: &GroupName,
        value: &[u8],
        known: Option<&Self>,
        now: u64,
    ) -> Result<Self, GroupError> {
        let refuse = |reason: String| GroupError::Row { group: group.clone(), reason };
        let row: Row = serde_json::from_slice(value).map_err(|error| refuse(error.to_string()))?;
        if row.format > FORMAT {
            return Err(refuse(format!(
                "it has format {}, and this version knows {FORMAT}: use a newer one",
                row.format
            )));
        }
        let scanned = row.scanned.parse().map_err(|error| refuse(format!("{error}")))?;
        let mut open: BTreeMap<_, _> = row.open.iter().flat_map(|run| run.events(now)).collect();
        for (seq, event) in &mut open {
            let before = known.and_then(|known| known.open.get(seq));
            if let Some(before) = before.filter(|before| before.deliveries == event.deliveries) {
                event.standing.keep_time(before.standing);
            }
        }
        let Row { settings, generation, dead, lost, gap, .. } = row;
        Ok(Self { settings, scanned, generation, open, dead, lost, gap })
    }
}

fn runs(open: &BTreeMap<Seq, Open>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (seq, event) in open {
        let one = Run::of(*seq, event);
        match runs.last_mut() {
            Some(run) if run.goes_on(&one) => run.n += 1,
            _ => runs.push(one),
        }
    }
    runs
}

impl Run {
    fn of(seq: Seq, open: &Open) -> Self {
        let Open { subject, deliveries, reason, standing } = open;
        let (mut out, mut wait, mut doomed) = (None, None, false);
        match *standing {
            Standing::Free => {}
            Standing::Out { generation, renewals, lease_ms, .. } => {
                out = Some((generation, renewals, lease_ms));
            }
            Standing::Waiting { delay_ms, .. } => wait = Some(delay_ms),
            Standing::Doomed => doomed = true,
        }
        let (deliveries, subject, reason) = (*deliveries, *subject, reason.clone());
        Self { seq: seq.0, n: 1, deliveries, subject, reason, out, wait, doomed }
    }

    fn goes_on(&self, next: &Self) -> bool {
        let (seq, n) = (self.seq, self.n);
        seq.checked_add(n) == Some(next.seq) && *self == Self { seq, n, ..next.clone() }
    }

    fn events(&self, now: u64) -> impl Iterator<Item = (Seq, Open)> {
        let standing = match (self.out, self.wait) {
            (Some((generation, renewals, lease_ms)), _) => {
                Standing::Out { generation, renewals, lease_ms, until: now.saturating_add(lease_ms) }
            }
            (None, Some(delay_ms)) => Standing::Waiting { delay_ms, until: now.saturating_add(delay_ms) },
            (None, None) if self.doomed => Standing::Doomed,
            (None, None) => Standing::Free,
        };
        let (subject, deliveries) = (self.subject, self.deliveries);
        let open = Open { subject, deliveries, reason: self.reason.clone(), standing };
        (0..self.n).map(move |n| (Seq(self.seq.saturating_add(n)), open.clone()))
    }
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_one(n: &u64) -> bool {
    *n == 1
}
