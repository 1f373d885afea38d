//! kill −9 of the real binary, under producers and the members of groups.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use undercurrent_client::{Client, ClientError, Delivery, Group, PublishOptions};
use undercurrent_types::wire::{GroupDelivery, GroupOptions};
use undercurrent_types::{Durability, ErrorCode, Event, Lease, StreamName};

use crate::kit::User;

/// How often the daemon is killed, unless `UNDERCURRENT_KILLS` says otherwise; long runs take 200.
const CRASHES: u64 = 20;
/// How many producers publish at once, each to a stream of its own.
const PRODUCERS: u64 = 16;
/// How many groups there are, each on the stream of a producer, with two members each.
const GROUPS: usize = 4;
const MEMBERS: usize = 2;

fn crashes() -> u64 {
    let said = std::env::var("UNDERCURRENT_KILLS").ok();
    said.map_or(CRASHES, |said| said.parse().expect("`UNDERCURRENT_KILLS` is a number"))
}

/// Publishes until the daemon is gone; notes what was acknowledged.
async fn produce(
    client: Client,
    stream: StreamName,
    crash: u64,
    acks_tx: tokio::sync::mpsc::Sender<()>,
) -> Vec<(u64, String)> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let event = Event::new("message".parse().unwrap(), "agent/7".parse().unwrap())
            .with_id(format!("{crash}-{n}"));
        let Ok(ack) = client.publish(&stream, &event, PublishOptions::default()).await else { break };
        assert_eq!(ack.durability, Durability::Durable);
        acknowledged.push((ack.seq, ack.id));
        // Nobody listens any more once the crash has come.
        let _ = acks_tx.send(()).await;
    }
    acknowledged
}

async fn read_all(client: &Client, stream: &StreamName) -> BTreeMap<u64, String> {
    let mut subscription = client.subscribe(stream).open().await.unwrap();
    let mut events = BTreeMap::new();
    loop {
        match subscription.next().await.unwrap() {
            Delivery::Event(received) => {
                let seq = received.cursor.seq.0;
                assert_eq!(seq, events.len() as u64 + 1, "a stream has no hole and nothing twice");
                events.insert(seq, received.event().unwrap().id);
            }
            Delivery::CaughtUp(_) => return events,
            other => panic!("{other:?}"),
        }
    }
}

/// What the members of a group have seen and said, over all lives of the daemon.
#[derive(Default)]
struct Worked {
    /// The generations under which each event was given.
    given: BTreeMap<u64, BTreeSet<u64>>,
    /// What the daemon said is acknowledged, and under which generation.
    acked: BTreeMap<u64, u64>,
    /// What was said to be done, and no answer came: it may be given again, or not.
    unsure: BTreeSet<u64>,
}

/// What one member did.
#[derive(Default)]
struct Shift {
    given: Vec<Lease>,
    acked: Vec<Lease>,
    unsure: Vec<Lease>,
}

impl Shift {
    /// Acknowledges events; says whether there was an answer. On a slow machine a lease may have run out.
    async fn ack(&mut self, group: &Group, done: Vec<Lease>) -> bool {
        match group.ack(done.clone()).await {
            Ok(_) => self.acked.extend(done),
            Err(ClientError::Refused(body)) if body.code == ErrorCode::Conflict => {
                self.acked.extend(done.into_iter().filter(|lease| !body.refused.contains(lease)));
            }
            Err(_) => {
                self.unsure.extend(done);
                return false;
            }
        }
        true
    }
}

/// Works until the daemon is gone. One event in five it lets be given again first.
async fn work(group: Group) -> Shift {
    let mut shift = Shift::default();
    while let Ok(fetched) = group.fetch(8, Duration::from_secs(60)).await {
        assert_eq!(fetched.gaps, []);
        let deliveries = fetched.deliveries.iter();
        shift.given.extend(deliveries.clone().map(|one| one.lease));
        let (back, done): (Vec<_>, Vec<_>) =
            deliveries.partition(|one| one.seq.0 % 5 == 0 && one.deliveries == 1);
        let leases = |of: Vec<&GroupDelivery>| -> Vec<Lease> { of.iter().map(|one| one.lease).collect() };
        let (back, done) = (leases(back), leases(done));
        if !done.is_empty() && !shift.ack(&group, done).await {
            break;
        }
        if !back.is_empty() {
            // Refused or not heard, it comes again too.
            let _ = group.nack(back, Some(Duration::from_millis(20)), None).await;
        }
    }
    shift
}

impl Worked {
    fn add(&mut self, shift: &Shift) {
        for Lease { seq, generation } in &shift.given {
            let is_new = self.given.entry(seq.0).or_default().insert(*generation);
            assert!(is_new, "event {seq} was given twice under generation {generation}");
        }
        self.acked.extend(shift.acked.iter().map(|lease| (lease.seq.0, lease.generation)));
        self.unsure.extend(shift.unsure.iter().map(|lease| lease.seq.0));
    }

    /// Generations rise, so what was given after its acknowledgement has a higher one.
    fn check(&self, events: &BTreeMap<u64, String>) {
        for (seq, generation) in &self.acked {
            let last = self.given[seq].last();
            assert_eq!(last, Some(generation), "event {seq} was given again after it was acknowledged");
        }
        for seq in events.keys() {
            assert!(self.acked.contains_key(seq) || self.unsure.contains(seq), "event {seq} was lost");
        }
    }
}

/// Takes all that is left after the last crash.
async fn drain(group: Group) -> Shift {
    let mut shift = Shift::default();
    loop {
        let status = group.status().await.unwrap();
        if status.lag == 0 {
            assert_eq!((status.lost, status.dead), (0, 0));
            return shift;
        }
        let fetched = group.fetch(1000, Duration::from_secs(60)).await.unwrap();
        let leases: Vec<Lease> = fetched.deliveries.iter().map(|one| one.lease).collect();
        shift.given.extend(&leases);
        if !leases.is_empty() {
            assert!(shift.ack(&group, leases).await);
        }
    }
}

fn options(stream: &StreamName) -> GroupOptions {
    GroupOptions {
        stream: Some(stream.clone()),
        // What a member had when the daemon died comes again after this, counted from its next life.
        lease_ms: Some(2000),
        max_deliveries: Some(1000),
        max_open: Some(4096),
        ..GroupOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_durable_acknowledgement_is_lost_and_nothing_that_was_done_is_given_again() {
    let user = User::new();
    let streams: Vec<StreamName> = (0..PRODUCERS).map(|n| format!("s/{n}").parse().unwrap()).collect();
    let mut acknowledged: Vec<BTreeMap<u64, String>> = vec![BTreeMap::new(); streams.len()];
    let mut worked: Vec<Worked> = (0..GROUPS).map(|_| Worked::default()).collect();
    let groups = |client: &Client| -> Vec<Group> {
        (0..GROUPS).map(|n| client.group(format!("g{n}").parse().unwrap())).collect()
    };
    for crash in 0..crashes() {
        let daemon = user.serve_with(&["--listen", "127.0.0.1:0"]);
        let client = Client::new(&daemon.url).unwrap();
        let groups = groups(&client);
        for (group, stream) in groups.iter().zip(&streams) {
            client.create_group(group.name(), &options(stream)).await.unwrap();
        }
        let (acks_tx, mut acks_rx) = tokio::sync::mpsc::channel(1);
        let producers: Vec<_> = streams
            .iter()
            .map(|stream| tokio::spawn(produce(client.clone(), stream.clone(), crash, acks_tx.clone())))
            .collect();
        let members: Vec<Vec<_>> = groups
            .iter()
            .map(|group| (0..MEMBERS).map(|_| tokio::spawn(work(group.clone()))).collect())
            .collect();
        // Another moment each time, with requests under way.
        for _ in 0..5 + 7 * (crash % CRASHES) {
            acks_rx.recv().await.unwrap();
        }
        drop(acks_rx);
        tokio::task::spawn_blocking(move || daemon.crash()).await.unwrap();
        for (acks, producer) in acknowledged.iter_mut().zip(producers) {
            acks.extend(producer.await.unwrap());
        }
        for (worked, members) in worked.iter_mut().zip(members) {
            for member in members {
                worked.add(&member.await.unwrap());
            }
        }
    }
    let daemon = user.serve_with(&["--listen", "127.0.0.1:0"]);
    let client = Client::new(&daemon.url).unwrap();
    for (stream, acks) in streams.iter().zip(&acknowledged) {
        let events = read_all(&client, stream).await;
        assert!(!acks.is_empty());
        for (seq, id) in acks {
            assert_eq!(events.get(seq), Some(id), "seq {seq} of `{stream}` was acknowledged");
        }
    }
    let drained: Vec<_> = groups(&client).into_iter().map(|group| tokio::spawn(drain(group))).collect();
    for ((worked, drained), stream) in worked.iter_mut().zip(drained).zip(&streams) {
        assert!(!worked.acked.is_empty(), "the members did something");
        worked.add(&drained.await.unwrap());
        worked.check(&read_all(&client, stream).await);
    }
}
