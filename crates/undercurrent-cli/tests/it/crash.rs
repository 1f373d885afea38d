//! kill −9 of the real binary, under producers and the members of groups.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use undercurrent_client::{Client, ClientError, Delivery, Group, PublishOptions};
use undercurrent_types::wire::{GroupDelivery, GroupOptions};
use undercurrent_types::{Durability, Event, Lease, StreamName};

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

/// What the members of a group have seen and said.
#[derive(Default)]
struct Worked {
    /// What the daemon said is acknowledged, before one of the crashes.
    acked: BTreeSet<u64>,
    /// What was said to be done, and no answer came: it may be given again, or not.
    unsure: BTreeSet<u64>,
    /// The generation of the last lease of each event.
    generations: BTreeMap<u64, u64>,
}

/// What one member did.
#[derive(Default)]
struct Shift {
    given: Vec<GroupDelivery>,
    acked: Vec<Lease>,
    unsure: Vec<Lease>,
}

/// Works until the daemon is gone. One in five it gives back, so that events come again for another reason too.
async fn work(group: Group) -> Shift {
    let mut shift = Shift::default();
    while let Ok(fetched) = group.fetch(8, Duration::from_secs(60)).await {
        assert_eq!(fetched.gaps, []);
        let leases: Vec<Lease> = fetched.deliveries.iter().map(|one| one.lease).collect();
        shift.given.extend(fetched.deliveries);
        let (back, done): (Vec<_>, Vec<_>) = leases.into_iter().partition(|lease| lease.seq.0 % 5 == 0);
        if !done.is_empty() {
            match group.ack(done.clone()).await {
                Ok(_) => shift.acked.extend(done),
                Err(ClientError::Refused(body)) => panic!("a lease of a minute was refused: {body}"),
                Err(_) => {
                    shift.unsure.extend(done);
                    break;
                }
            }
        }
        if !back.is_empty() && group.nack(back, Some(Duration::from_millis(20)), None).await.is_err() {
            break;
        }
    }
    shift
}

impl Worked {
    /// Takes in what a member did in one life of the daemon; whatever came had to be allowed to come.
    fn add(&mut self, before: &BTreeSet<u64>, shift: &Shift) {
        for one in &shift.given {
            assert!(!before.contains(&one.seq.0), "event {} was acknowledged before the crash", one.seq);
        }
        self.acked.extend(shift.acked.iter().map(|lease| lease.seq.0));
        self.unsure.extend(shift.unsure.iter().map(|lease| lease.seq.0));
    }

    /// Takes in the leases of all members in one life of the daemon.
    fn lease(&mut self, shifts: &[Shift]) {
        let mut given: Vec<Lease> =
            shifts.iter().flat_map(|shift| &shift.given).map(|one| one.lease).collect();
        given.sort_by_key(|lease| lease.generation);
        for Lease { seq, generation } in given {
            let last = self.generations.insert(seq.0, generation);
            assert!(last.is_none_or(|last| last < generation), "a generation of event {seq} came twice");
        }
    }
}

/// Takes all that is left, after the last crash; what was acknowledged is not among it.
async fn drain(group: &Group, worked: &mut Worked) {
    loop {
        let status = group.status().await.unwrap();
        if status.lag == 0 {
            assert_eq!((status.lost, status.dead), (0, 0));
            return;
        }
        let fetched = group.fetch(1000, Duration::from_secs(60)).await.unwrap();
        let leases: Vec<Lease> = fetched.deliveries.iter().map(|one| one.lease).collect();
        for Lease { seq, .. } in &leases {
            assert!(!worked.acked.contains(&seq.0), "event {seq} was acknowledged");
        }
        if !leases.is_empty() {
            group.ack(leases.clone()).await.unwrap();
        }
        worked.acked.extend(leases.iter().map(|lease| lease.seq.0));
    }
}

fn options(stream: &StreamName) -> GroupOptions {
    GroupOptions {
        stream: Some(stream.clone()),
        // What a member had when the daemon died comes again after this, in its next life; a lease of a minute would
        // make the test as long. In every life it is counted anew.
        lease_ms: Some(60_000),
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
            let mut shifts = Vec::new();
            for member in members {
                shifts.push(member.await.unwrap());
            }
            let before = worked.acked.clone();
            shifts.iter().for_each(|shift| worked.add(&before, shift));
            worked.lease(&shifts);
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
    for ((group, worked), stream) in groups(&client).iter().zip(&mut worked).zip(&streams) {
        assert!(!worked.acked.is_empty(), "the members did something");
        drain(group, worked).await;
        // Every event is done: acknowledged, or said to be done when the daemon died.
        let events = read_all(&client, stream).await;
        for seq in events.keys() {
            assert!(worked.acked.contains(seq) || worked.unsure.contains(seq), "event {seq} was lost");
        }
    }
}
