//! kill −9 of the real binary.

use std::collections::BTreeMap;

use undercurrent_client::{Client, Delivery, PublishOptions};
use undercurrent_types::{Durability, Event, StreamName};

use crate::kit::User;

/// How often the daemon is killed, unless `UNDERCURRENT_KILLS` says otherwise; long runs take 200.
const CRASHES: u64 = 20;
/// How many producers publish at once, each to a stream of its own.
const PRODUCERS: u64 = 16;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_durable_acknowledgement_is_lost() {
    let user = User::new();
    let streams: Vec<StreamName> = (0..PRODUCERS).map(|n| format!("s/{n}").parse().unwrap()).collect();
    let mut acknowledged: Vec<BTreeMap<u64, String>> = vec![BTreeMap::new(); streams.len()];
    for crash in 0..crashes() {
        let daemon = user.serve_with(&["--listen", "127.0.0.1:0"]);
        let client = Client::new(&daemon.url).unwrap();
        let (acks_tx, mut acks_rx) = tokio::sync::mpsc::channel(1);
        let producers: Vec<_> = streams
            .iter()
            .map(|stream| tokio::spawn(produce(client.clone(), stream.clone(), crash, acks_tx.clone())))
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
}
