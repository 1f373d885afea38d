//! The decisions of a group, without a store and without a clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use undercurrent_types::wire::{GroupOptions, GroupOrder};
use undercurrent_types::{Cursor, Epoch, GroupName, Lease, Seq};

use super::error::Refused;
use super::settings::{LONGEST_MS, MOST_OPEN, Settings};
use super::state::{Open, Standing, State, Verdict, short};

const LEASE: u64 = 1000;

fn group() -> GroupName {
    "g".parse().unwrap()
}

fn at(seq: u64) -> Cursor {
    Cursor { epoch: Epoch(1), seq: Seq(seq) }
}

fn state(change: impl FnOnce(&mut GroupOptions)) -> State {
    let mut options = GroupOptions {
        stream: Some("s".parse().unwrap()),
        lease_ms: Some(LEASE),
        max_deliveries: Some(3),
        backoff_ms: Some(100),
        max_open: Some(8),
        ..GroupOptions::default()
    };
    change(&mut options);
    State::new(Settings::new(&group(), &options).unwrap(), at(0), 100)
}

/// Gives what is ready, then new events up to a tail; each event has the subject that `subject` says.
fn give(state: &mut State, now: u64, most: usize, tail: u64, subject: impl Fn(u64) -> Vec<u8>) -> Vec<Lease> {
    let generation = state.generation + 1;
    let mut given = state.ready(now, most);
    for seq in &given {
        state.give(*seq, generation, now).expect("it is open");
    }
    let mut subjects = state.subjects();
    while given.len() < most && state.room() > 0 && state.scanned.seq.0 < tail {
        let next = state.scanned.seq.next();
        if state.admit(at(next.0), Some(&subject(next.0)), &mut subjects) {
            state.give(next, generation, now);
            given.push(next);
        }
    }
    given.into_iter().map(|seq| Lease { seq, generation }).collect()
}

fn one(state: &mut State, now: u64) -> Lease {
    give(state, now, 1, 1, |_| b"a".to_vec())[0]
}

#[test]
fn a_lease_counts_until_the_event_is_given_to_another() {
    let mut state = state(|_| {});
    let first = one(&mut state, 0);
    // It ran out, and nobody has the event yet.
    state.settle(first, &Verdict::Extend { lease_ms: None }, LEASE).unwrap();
    assert!(state.ready(2 * LEASE, 1).is_empty(), "the back-off comes after the lease");
    let second = one(&mut state, 2 * LEASE + 100);
    assert_eq!(second, Lease { generation: 102, ..first });
    let zombie = [
        Verdict::Ack,
        Verdict::Nack { delay_ms: None, reason: None },
        Verdict::Extend { lease_ms: None },
        Verdict::Term { reason: None },
        Verdict::Release,
    ];
    for verdict in zombie {
        assert_eq!(state.settle(first, &verdict, 0), Err(Refused::GivenAgain { generation: 102 }));
    }
    state.settle(second, &Verdict::Ack, 0).unwrap();
    assert_eq!(state.settle(second, &Verdict::Ack, 0), Err(Refused::Done));
    let never = Lease { seq: Seq(2), generation: 1 };
    assert_eq!(state.settle(never, &Verdict::Ack, 0), Err(Refused::NotGiven));
}

#[test]
fn a_failed_event_waits_longer_each_time_and_then_is_a_dead_letter() {
    let mut state = state(|_| {});
    let mut now = 0;
    for wait in [100, 200] {
        let lease = one(&mut state, now);
        state.settle(lease, &Verdict::Nack { delay_ms: None, reason: Some("no".into()) }, now).unwrap();
        assert_eq!(state.settle(lease, &Verdict::Ack, now), Err(Refused::NotOut));
        assert!(state.ready(now + wait - 1, 1).is_empty());
        assert_eq!(state.next_ready(), Some(now + wait));
        now += wait;
    }
    let last = one(&mut state, now);
    assert_eq!(state.next_doom(), Some(now + LEASE));
    state.settle(last, &Verdict::Nack { delay_ms: Some(0), reason: Some("never".into()) }, now).unwrap();
    assert_eq!(state.doomed().collect::<Vec<_>>(), [Seq(1)]);
    let open = state.bury(Seq(1)).unwrap();
    assert_eq!((open.deliveries, open.reason.as_deref()), (3, Some("never")));
    assert_eq!((state.dead, state.bury(Seq(1))), (1, None));
}

#[test]
fn what_is_given_back_does_not_count_as_given() {
    let mut state = state(|_| {});
    for _ in 0..9 {
        let lease = one(&mut state, 0);
        state.settle(lease, &Verdict::Release, 0).unwrap();
    }
    state.doom_overdue(u64::MAX / 2);
    assert_eq!((state.doomed().count(), state.ready(0, 9)), (0, vec![Seq(1)]));
}

#[test]
fn a_gap_is_counted_where_it_can_be() {
    let mut state = state(|_| {});
    assert_eq!(state.go_on(Cursor { epoch: Epoch(7), seq: Seq(0) }, "epoch"), None);
    state.scanned = at(3);
    let gap = state.go_on(at(10), "retention").unwrap();
    assert_eq!((gap.events, state.lost), (Some(7), 7));
    give(&mut state, 0, 2, 12, |_| b"a".to_vec());
    assert_eq!(state.lose(Seq(11)).events, Some(1));
    let gap = state.go_on(Cursor { epoch: Epoch(2), seq: Seq(0) }, "epoch").unwrap();
    assert_eq!((gap.reason.as_str(), gap.events, state.lost, state.open.len()), ("epoch", None, 8, 0));
}

#[test]
fn the_largest_state_fits_in_a_row() {
    let mut state = state(|options| options.max_open = Some(MOST_OPEN));
    for n in 0..u64::from(MOST_OPEN) {
        let standing =
            Standing::Out { generation: u64::MAX - n, renewals: u32::MAX, lease_ms: LONGEST_MS, until: 0 };
        let reason = Some(short(&"\"".repeat(1000)));
        let open = Open { subject: Some(u64::MAX), deliveries: 1000, reason, standing };
        state.open.insert(Seq(u64::MAX / 1000 - n), open);
    }
    let row = state.encode();
    assert!(row.len() < 1 << 20, "{} bytes", row.len());
}

#[test]
fn a_row_of_a_newer_format_is_refused() {
    let text = String::from_utf8(state(|_| {}).encode().to_vec()).unwrap();
    let newer = text.replace("\"format\":1", "\"format\":2");
    let error = State::decode(&group(), newer.as_bytes(), None, 0).unwrap_err();
    assert!(error.to_string().contains("use a newer one"), "{error}");
    assert!(State::decode(&group(), b"{}", None, 0).is_err());
}

#[test]
fn a_reason_is_cut_and_has_nothing_that_controls_a_terminal() {
    assert_eq!(&*short(" a\tb\n"), "a b");
    assert_eq!(short(&"ä".repeat(500)).len(), 100);
}

#[derive(Clone, Debug)]
enum Action {
    Publish,
    Give(usize),
    Settle(usize, Verdict),
    Zombie(usize, Verdict),
    Wait(u64),
    Bury,
    Restart,
    Reread,
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        4 => Just(Verdict::Ack),
        2 => prop::option::of(0..500u64)
            .prop_map(|delay_ms| Verdict::Nack { delay_ms, reason: Some("no".into()) }),
        1 => Just(Verdict::Extend { lease_ms: None }),
        1 => Just(Verdict::Term { reason: None }),
        1 => Just(Verdict::Release),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Publish),
        4 => (1..5usize).prop_map(Action::Give),
        4 => (any::<usize>(), verdict()).prop_map(|(n, verdict)| Action::Settle(n, verdict)),
        1 => (any::<usize>(), verdict()).prop_map(|(n, verdict)| Action::Zombie(n, verdict)),
        2 => (0..1500u64).prop_map(Action::Wait),
        1 => Just(Action::Bury),
        1 => Just(Action::Restart),
        1 => Just(Action::Reread),
    ]
}

/// What members and the stream know of a group; it never looks into the state.
struct World {
    state: State,
    ordered: bool,
    now: u64,
    tail: u64,
    /// The last lease of every event, and all before it.
    leases: BTreeMap<Seq, Lease>,
    old: Vec<Lease>,
    acked: BTreeSet<Seq>,
    dead: BTreeSet<Seq>,
}

impl World {
    fn new(ordered: bool) -> Self {
        let order = if ordered { GroupOrder::Subject } else { GroupOrder::None };
        let state = state(|options| options.order = Some(order));
        let (leases, old, acked, dead) = Default::default();
        Self { state, ordered, now: 0, tail: 0, leases, old, acked, dead }
    }

    fn is_done(&self, seq: Seq) -> bool {
        self.acked.contains(&seq) || self.dead.contains(&seq)
    }

    fn give(&mut self, most: usize) {
        let given = give(&mut self.state, self.now, most, self.tail, |seq| vec![(seq % 3) as u8]);
        assert!(given.len() <= most);
        for lease in given {
            assert!(!self.is_done(lease.seq), "{lease} was done");
            if let Some(before) = self.leases.insert(lease.seq, lease) {
                assert!(before.generation < lease.generation, "a generation is given once");
                self.old.push(before);
            }
            if self.ordered {
                let earlier = (1..lease.seq.0).filter(|seq| seq % 3 == lease.seq.0 % 3);
                assert!(
                    earlier.map(Seq).all(|seq| self.is_done(seq)),
                    "{lease} before others of its subject"
                );
            }
        }
        assert!(self.state.open.len() <= 8);
    }

    fn settle(&mut self, lease: Lease, verdict: &Verdict) {
        if self.state.settle(lease, verdict, self.now).is_ok() && *verdict == Verdict::Ack {
            assert!(self.acked.insert(lease.seq) && !self.dead.contains(&lease.seq));
        }
    }

    fn bury(&mut self) {
        self.state.doom_overdue(self.now);
        for seq in self.state.doomed().collect::<Vec<_>>() {
            self.state.bury(seq).unwrap();
            assert!(self.dead.insert(seq) && !self.acked.contains(&seq), "one dead letter for {seq}");
        }
    }

    fn step(&mut self, action: &Action) {
        match action {
            Action::Publish => self.tail += 1,
            Action::Give(most) => self.give(*most),
            Action::Settle(n, verdict) => {
                if let Some(lease) = self.leases.values().nth(n % self.leases.len().max(1)).copied() {
                    self.settle(lease, verdict);
                }
            }
            Action::Zombie(n, verdict) => {
                if let Some(lease) = self.old.get(n % self.old.len().max(1)) {
                    assert!(self.state.settle(*lease, verdict, self.now).is_err(), "{lease} is old");
                }
            }
            Action::Wait(ms) => self.now += ms,
            Action::Bury => self.bury(),
            Action::Restart => {
                let row = self.state.encode();
                self.now = 0;
                self.state = State::decode(&group(), &row, None, 0).unwrap();
            }
            Action::Reread => {
                let row = self.state.encode();
                let read = State::decode(&group(), &row, Some(&self.state), self.now).unwrap();
                assert_eq!(read, self.state, "what is known keeps its time");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_event_is_done_once_whatever_happens(
        ordered: bool,
        actions in prop::collection::vec(action(), 1..120),
    ) {
        let mut world = World::new(ordered);
        for action in &actions {
            world.step(action);
        }
        // From here on somebody works, and everything comes to its end.
        for _ in 0..200 {
            world.now += LONGEST_MS;
            world.bury();
            world.give(8);
            for lease in world.leases.clone().into_values() {
                world.settle(lease, &Verdict::Ack);
            }
        }
        let done: HashMap<_, _> = world.acked.iter().chain(&world.dead).map(|seq| (*seq, ())).collect();
        prop_assert_eq!(done.len() as u64, world.tail);
        prop_assert!(world.state.open.is_empty());
        prop_assert_eq!(world.state.dead, world.dead.len() as u64);
    }
}
