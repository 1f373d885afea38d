//! The members of a group share a stream, and nothing that was acknowledged comes again.

use std::collections::BTreeSet;
use std::time::Duration;

use undercurrent::event_stream::Group;
use undercurrent::store::{Retention, StreamSettings};
use undercurrent::stream::{Delivery, Fetched};
use undercurrent::types::wire::{GroupOptions, GroupOrder, GroupStatus};
use undercurrent::types::{ErrorCode, Lease};
use undercurrent::{Durability, Event, EventStream};

use crate::kit::Engine;
use crate::nodes::{node, start};
use crate::stream::message;

/// The longest that any condition is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;

fn on(stream: &str) -> GroupOptions {
    GroupOptions {
        stream: Some(stream.parse().unwrap()),
        lease_ms: Some(60_000),
        backoff_ms: Some(0),
        max_backoff_ms: Some(0),
        ..GroupOptions::default()
    }
}

/// Makes a group `g`.
async fn group(events: &EventStream, options: GroupOptions) -> Group {
    let name = "g".parse().unwrap();
    events.create_group(&name, &options).await.unwrap();
    events.group(name)
}

async fn publish(events: &EventStream, stream: &str, count: usize) {
    for i in 0..count {
        events.publish(stream, message(&i.to_string())).await.unwrap();
    }
}

fn seqs(fetched: &Fetched) -> Vec<u64> {
    fetched.deliveries.iter().map(|one| one.lease.seq.0).collect()
}

fn leases(fetched: &Fetched) -> Vec<Lease> {
    fetched.deliveries.iter().map(|one| one.lease).collect()
}

/// Closes an engine and opens another one on its data.
async fn restart(engine: Engine) -> Engine {
    engine.events.close().await;
    let Engine { events, store, dir } = engine;
    drop((events, store));
    Engine::open_in(dir)
}

async fn dead_letters(events: &EventStream, stream: &str) -> Vec<Event> {
    let mut reader = events.subscribe(stream).await.unwrap();
    let mut letters = Vec::new();
    while let Delivery::Event(record) = reader.next().await.unwrap() {
        letters.push(record.event().unwrap());
    }
    letters
}

fn data(event: &Event) -> serde_json::Value {
    let json = event.data.as_ref().unwrap().as_json().unwrap();
    serde_json::from_str(json.get()).unwrap()
}

#[tokio::test]
async fn members_share_the_events_and_acknowledge_them_in_any_order() {
    let engine = Engine::open();
    publish(&engine.events, "s", 5).await;
    let group = group(&engine.events, on("s")).await;
    let first = group.fetch(2, NOW).await.unwrap();
    let second = group.fetch(10, NOW).await.unwrap();
    assert_eq!((seqs(&first), seqs(&second)), (vec![1, 2], vec![3, 4, 5]));
    assert!(first.deliveries.iter().all(|one| one.deliveries == 1 && one.lease_ms == 60_000));
    group.ack(&leases(&second)).await.unwrap();
    let GroupStatus { cursor, lag, out, .. } = group.status().await.unwrap();
    assert!(cursor.ends_with(".0000000000000000") && (lag, out) == (2, 2), "{cursor}");
    group.ack(&leases(&first)).await.unwrap();
    let GroupStatus { cursor, lag, .. } = group.status().await.unwrap();
    assert!(cursor.ends_with(".0000000000000005") && lag == 0, "{cursor}");
    assert!(group.fetch(10, NOW).await.unwrap().deliveries.is_empty());
}

#[tokio::test]
async fn a_member_that_waits_is_given_what_is_published() {
    let engine = Engine::open();
    let group = group(&engine.events, on("s")).await;
    let waiting = tokio::spawn({
        let group = group.clone();
        async move { group.fetch(10, PATIENCE).await.unwrap() }
    });
    publish(&engine.events, "s", 1).await;
    assert_eq!(seqs(&waiting.await.unwrap()), [1]);
}

#[tokio::test]
async fn what_was_acknowledged_does_not_come_again_after_a_restart_and_what_is_out_stays_out() {
    let engine = Engine::open();
    publish(&engine.events, "s", 6).await;
    let before = group(&engine.events, on("s")).await;
    let fetched = before.fetch(4, NOW).await.unwrap();
    before.ack(&leases(&fetched)[1..3]).await.unwrap();
    let engine = restart(engine).await;
    let after = engine.events.group("g".parse().unwrap());
    // The leases of 1 and 4 got their whole time again, and still count.
    assert_eq!(seqs(&after.fetch(10, NOW).await.unwrap()), [5, 6]);
    after.ack(&[leases(&fetched)[0]]).await.unwrap();
    after.release(&[leases(&fetched)[3]]).await.unwrap();
    let again = after.fetch(10, NOW).await.unwrap();
    assert_eq!((seqs(&again), again.deliveries[0].deliveries), (vec![4], 1));
    assert!(again.deliveries[0].lease.generation > fetched.deliveries[3].lease.generation);
}

#[tokio::test]
async fn a_member_that_dies_loses_its_lease_and_a_zombie_changes_nothing() {
    let engine = Engine::open();
    publish(&engine.events, "s", 1).await;
    let group = group(&engine.events, GroupOptions { lease_ms: Some(100), ..on("s") }).await;
    let zombie = leases(&group.fetch(1, NOW).await.unwrap());
    let heir = group.fetch(1, PATIENCE).await.unwrap();
    assert_eq!((seqs(&heir), heir.deliveries[0].deliveries), (vec![1], 2));
    let refusals = [
        group.ack(&zombie).await,
        group.nack(&zombie, None, None).await,
        group.extend(&zombie, None).await,
        group.term(&zombie, None).await,
        group.release(&zombie).await,
    ];
    for refused in refusals {
        let body = refused.unwrap_err().body();
        assert_eq!((body.code, body.refused), (ErrorCode::Conflict, zombie.clone()));
        assert!(body.message.contains("was given again"), "{}", body.message);
    }
    group.ack(&leases(&heir)).await.unwrap();
    let body = group.ack(&leases(&heir)).await.unwrap_err().body();
    assert!(body.message.contains("event 1 is done"), "{}", body.message);
}

#[tokio::test]
async fn what_counts_is_done_although_another_lease_is_refused() {
    let engine = Engine::open();
    publish(&engine.events, "s", 2).await;
    let group = group(&engine.events, on("s")).await;
    let given = leases(&group.fetch(2, NOW).await.unwrap());
    let never = "9:9".parse().unwrap();
    let error = group.ack(&[given[0], never, given[1]]).await.unwrap_err();
    assert!(error.to_string().contains("1 of 3 leases of group `g`"), "{error}");
    assert_eq!(error.body().refused, [never]);
    assert_eq!(group.status().await.unwrap().lag, 0);
}

#[tokio::test]
async fn an_event_that_fails_too_often_becomes_one_dead_letter_that_says_why() {
    let engine = Engine::open();
    let original = message("poison").with_subject("state:a");
    engine.events.publish("s", original).await.unwrap();
    let group = group(&engine.events, GroupOptions { max_deliveries: Some(2), ..on("s") }).await;
    for n in 1..=2 {
        let fetched = group.fetch(1, PATIENCE).await.unwrap();
        assert_eq!(fetched.deliveries[0].deliveries, n);
        group.nack(&leases(&fetched), None, Some(&format!("try {n} failed"))).await.unwrap();
    }
    let letters = dead_letters(&engine.events, "s/dead").await;
    assert_eq!((letters.len(), letters[0].subject.as_deref()), (1, Some("state:a")));
    let data = data(&letters[0]);
    assert_eq!((&data["group"], &data["stream"]), (&"g".into(), &"s".into()));
    assert_eq!((&data["deliveries"], &data["reason"]), (&2.into(), &"try 2 failed".into()));
    assert_eq!(
        (&data["event"]["data"]["text"], &data["event"]["sequence"]),
        (&"poison".into(), &data["cursor"])
    );
    let engine = restart(engine).await;
    let group = engine.events.group("g".parse().unwrap());
    assert!(group.fetch(1, NOW).await.unwrap().deliveries.is_empty());
    assert_eq!(dead_letters(&engine.events, "s/dead").await.len(), 1);
    let GroupStatus { dead, lag, .. } = group.status().await.unwrap();
    assert_eq!((dead, lag), (1, 0));
}

#[tokio::test]
async fn a_member_can_give_an_event_up_at_once_and_a_lease_that_runs_out_does_too_at_last() {
    let engine = Engine::open();
    publish(&engine.events, "s", 2).await;
    let dead = Some("graves".parse().unwrap());
    let options =
        GroupOptions { max_deliveries: Some(1), lease_ms: Some(100), dead_letters: dead, ..on("s") };
    let group = group(&engine.events, options).await;
    let given = leases(&group.fetch(2, NOW).await.unwrap());
    group.term(&given[..1], Some("it is no JSON")).await.unwrap();
    // Nobody asks for the other one: the group does it by itself.
    let mut reader = engine.events.subscribe("graves").await.unwrap();
    let mut reasons = Vec::new();
    while reasons.len() < 2 {
        let delivery = tokio::time::timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
        if let Delivery::Event(record) = delivery {
            reasons.push(data(&record.event().unwrap())["reason"].clone());
        }
    }
    assert_eq!(reasons, ["it is no JSON", "its last lease ran out"]);
}

#[tokio::test]
async fn events_of_one_subject_come_one_after_the_other_and_others_pass() {
    let engine = Engine::open();
    for subject in ["a", "a", "b", "a", "b"] {
        engine.events.publish("s", message(subject).with_subject(subject)).await.unwrap();
    }
    publish(&engine.events, "s", 1).await;
    let options = GroupOptions { order: Some(GroupOrder::Subject), ..on("s") };
    let group = group(&engine.events, options).await;
    let first = group.fetch(10, NOW).await.unwrap();
    assert_eq!(seqs(&first), [1, 3, 6]);
    assert_eq!(group.status().await.unwrap().held, 3);
    // While it waits to be given again it holds back as well.
    group.nack(&leases(&first)[..1], Some(PATIENCE), None).await.unwrap();
    assert!(group.fetch(10, NOW).await.unwrap().deliveries.is_empty());
    group.ack(&leases(&first)[1..]).await.unwrap();
    let next = group.fetch(10, NOW).await.unwrap();
    assert_eq!(seqs(&next), [5]);
    // Over a restart too; then the delay begins anew.
    let engine = restart(engine).await;
    let group = engine.events.group("g".parse().unwrap());
    assert!(group.fetch(10, NOW).await.unwrap().deliveries.is_empty());
}

#[tokio::test]
async fn a_failed_event_is_given_again_after_its_back_off_and_not_before() {
    let engine = Engine::open();
    publish(&engine.events, "s", 1).await;
    let options = GroupOptions { backoff_ms: Some(300), max_backoff_ms: Some(300), ..on("s") };
    let group = group(&engine.events, options).await;
    let given = leases(&group.fetch(1, NOW).await.unwrap());
    let nacked = tokio::time::Instant::now();
    group.nack(&given, None, None).await.unwrap();
    let again = group.fetch(1, PATIENCE).await.unwrap();
    assert_eq!(seqs(&again), [1]);
    assert!(nacked.elapsed() >= Duration::from_millis(300));
    group.nack(&leases(&again), Some(NOW), None).await.unwrap();
    assert_eq!(group.fetch(1, NOW).await.unwrap().deliveries[0].deliveries, 3);
}

#[tokio::test]
async fn a_full_group_says_so_and_goes_on_when_there_is_room() {
    let engine = Engine::open();
    publish(&engine.events, "s", 3).await;
    let group = group(&engine.events, GroupOptions { max_open: Some(2), ..on("s") }).await;
    let given = group.fetch(10, NOW).await.unwrap();
    assert_eq!(seqs(&given), [1, 2]);
    let none = group.fetch(10, NOW).await.unwrap();
    assert!(none.full && none.deliveries.is_empty());
    let waiting = tokio::spawn({
        let group = group.clone();
        async move { group.fetch(10, PATIENCE).await.unwrap() }
    });
    group.ack(&leases(&given)[1..]).await.unwrap();
    assert_eq!(seqs(&waiting.await.unwrap()), [3]);
}

#[tokio::test]
async fn what_retention_took_is_told_with_its_count() {
    let engine = Engine::open();
    publish(&engine.events, "s", 2).await;
    let group = group(&engine.events, on("s")).await;
    let given = group.fetch(1, NOW).await.unwrap();
    publish(&engine.events, "s", 8).await;
    let retention = Retention { count: Some(3), ..Retention::UNLIMITED };
    let settings = StreamSettings { durability: Durability::Durable, retention };
    let stream = "s".parse().unwrap();
    engine.events.create_stream(&stream, settings).await.unwrap();
    let oldest = async || engine.events.streams().await.unwrap()[0].oldest.0;
    while oldest().await < 8 {
        tokio::task::yield_now().await;
    }
    let fetched = group.fetch(10, NOW).await.unwrap();
    assert_eq!((seqs(&fetched), fetched.gaps.len()), (vec![8, 9, 10], 1));
    let gap = &fetched.gaps[0];
    assert_eq!((gap.reason.as_str(), gap.events), ("retention", Some(6)));
    // The first one is gone too, which is met when it would be given again.
    group.release(&leases(&given)).await.unwrap();
    let fetched = group.fetch(10, NOW).await.unwrap();
    assert_eq!((fetched.deliveries.len(), fetched.gaps[0].events), (0, Some(1)));
    let GroupStatus { lost, gap, out, .. } = group.status().await.unwrap();
    assert_eq!((lost, out, gap), (7, 3, fetched.gaps.last().cloned()));
}

#[tokio::test]
async fn a_group_goes_on_with_the_stream_that_follows_a_deleted_one_and_says_so() {
    let engine = Engine::open();
    publish(&engine.events, "s", 2).await;
    let group = group(&engine.events, on("s")).await;
    let old = leases(&group.fetch(1, NOW).await.unwrap());
    engine.events.delete_stream(&"s".parse().unwrap()).await.unwrap();
    publish(&engine.events, "s", 1).await;
    let fetched = group.fetch(10, NOW).await.unwrap();
    assert_eq!((seqs(&fetched), fetched.gaps[0].reason.as_str()), (vec![1], "epoch"));
    assert!(group.ack(&old).await.is_err(), "the lease is of another event");
    group.ack(&leases(&fetched)).await.unwrap();
}

#[tokio::test]
async fn a_group_made_before_its_stream_misses_nothing() {
    let engine = Engine::open();
    let group = group(&engine.events, on("later")).await;
    publish(&engine.events, "other", 1).await;
    engine.events.delete_stream(&"other".parse().unwrap()).await.unwrap();
    publish(&engine.events, "later", 1).await;
    let fetched = group.fetch(10, NOW).await.unwrap();
    assert_eq!((seqs(&fetched), fetched.gaps.len()), (vec![1], 0));
}

#[tokio::test]
async fn groups_are_made_set_anew_listed_and_deleted() {
    let engine = Engine::open();
    publish(&engine.events, "s", 3).await;
    let name = "g".parse().unwrap();
    let from_now = GroupOptions { from: Some("now".to_owned()), ..on("s") };
    assert_eq!(engine.events.create_group(&name, &from_now).await.unwrap().lag, 0);
    let longer = GroupOptions { lease_ms: Some(90_000), ..GroupOptions::default() };
    let status = engine.events.create_group(&name, &longer).await.unwrap();
    assert_eq!((status.lease_ms, status.from.as_str()), (90_000, "now"));
    let error = engine.events.create_group(&name, &on("t")).await.unwrap_err();
    assert_eq!(error.body().code, ErrorCode::Conflict);
    let short = GroupOptions { lease_ms: Some(1), ..GroupOptions::default() };
    let error = engine.events.create_group(&name, &short).await.unwrap_err();
    assert_eq!(error.body().code, ErrorCode::InvalidRequest);
    assert_eq!(engine.events.groups().await.unwrap().len(), 1);
    assert_eq!(engine.events.streams().await.unwrap().len(), 1);
    publish(&engine.events, "s", 1).await;
    let group = engine.events.group(name.clone());
    let old = leases(&group.fetch(1, NOW).await.unwrap());
    assert!(engine.events.delete_group(&name).await.unwrap());
    assert!(!engine.events.delete_group(&name).await.unwrap());
    assert_eq!(group.fetch(1, NOW).await.unwrap_err().body().code, ErrorCode::NotFound);
    // Another of that name never takes an old lease for its own.
    let cursor = "0000000000000001.0000000000000003".to_owned();
    engine.events.create_group(&name, &GroupOptions { from: Some(cursor), ..on("s") }).await.unwrap();
    let new = leases(&group.fetch(1, NOW).await.unwrap());
    assert!(old[0].seq == new[0].seq && old[0].generation < new[0].generation);
    assert!(group.ack(&old).await.is_err());
    let gone = "00000000000000ff.0000000000000001".to_owned();
    let options = GroupOptions { from: Some(gone), ..on("s") };
    let error = engine.events.create_group(&"h".parse().unwrap(), &options).await.unwrap_err();
    assert_eq!(error.body().code, ErrorCode::Gone);
}

#[tokio::test]
async fn a_caller_that_does_not_wait_takes_no_event_with_it() {
    let engine = Engine::open();
    let group = group(&engine.events, on("s")).await;
    for _ in 0..20 {
        let waiting = tokio::spawn({
            let group = group.clone();
            async move { group.fetch(10, PATIENCE).await }
        });
        tokio::task::yield_now().await;
        waiting.abort();
        publish(&engine.events, "s", 1).await;
        // It may have been answered already when it was stopped.
        if let Ok(Ok(fetched)) = waiting.await {
            group.release(&leases(&fetched)).await.unwrap();
        }
    }
    let mut given = BTreeSet::new();
    while given.len() < 20 {
        let fetched = group.fetch(100, PATIENCE).await.unwrap();
        assert!(fetched.deliveries.iter().all(|one| one.deliveries == 1));
        given.extend(seqs(&fetched));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_a_group_and_give_nothing_twice() {
    const TOTAL: usize = 400;
    let engine = Engine::open();
    // A second handle over the same store has coordinators of its own, as another node would.
    let other = engine.another();
    publish(&engine.events, "s", TOTAL).await;
    group(&engine.events, on("s")).await;
    let members = [&engine.events, &engine.events, &other, &other].map(|events| {
        let group = events.group("g".parse().unwrap());
        tokio::spawn(async move {
            let mut given = Vec::new();
            loop {
                let fetched = group.fetch(7, NOW).await.unwrap();
                if fetched.deliveries.is_empty() && !fetched.full {
                    return given;
                }
                group.ack(&leases(&fetched)).await.unwrap();
                given.extend(seqs(&fetched));
            }
        })
    });
    let mut all = Vec::new();
    for member in members {
        all.extend(member.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (1..=TOTAL as u64).collect::<Vec<_>>());
    assert_eq!(engine.events.groups().await.unwrap()[0].lag, 0);
}

#[tokio::test]
async fn a_member_at_one_node_is_given_what_another_node_held_up() {
    let engine = Engine::open();
    let other = engine.another();
    for _ in 0..2 {
        engine.events.publish("s", message("a").with_subject("a")).await.unwrap();
    }
    let here = group(&engine.events, GroupOptions { order: Some(GroupOrder::Subject), ..on("s") }).await;
    let first = here.fetch(10, NOW).await.unwrap();
    let there = other.group("g".parse().unwrap());
    let waiting = tokio::spawn(async move { there.fetch(10, PATIENCE).await.unwrap() });
    here.ack(&leases(&first)).await.unwrap();
    assert_eq!(seqs(&waiting.await.unwrap()), [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_at_two_nodes_of_a_shared_store_share_a_group() {
    const TOTAL: usize = 60;
    let server = start().await;
    let (a, b) = (node(&server).await, node(&server).await);
    publish(&a.events, "s", TOTAL).await;
    let here = group(&a.events, GroupOptions { max_deliveries: Some(1), ..on("s") }).await;
    let there = b.events.group("g".parse().unwrap());
    let members = [here.clone(), there.clone(), here.clone(), there.clone()].map(|group| {
        tokio::spawn(async move {
            let mut given = Vec::new();
            loop {
                let fetched = group.fetch(7, NOW).await.unwrap();
                if fetched.deliveries.is_empty() {
                    return given;
                }
                let (bad, good): (Vec<_>, Vec<_>) =
                    leases(&fetched).into_iter().partition(|lease| lease.seq.0 % 10 == 0);
                if !good.is_empty() {
                    group.ack(&good).await.unwrap();
                }
                if !bad.is_empty() {
                    group.nack(&bad, None, Some("it failed")).await.unwrap();
                }
                given.extend(seqs(&fetched));
            }
        })
    });
    let mut all = Vec::new();
    for member in members {
        all.extend(member.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (1..=TOTAL as u64).collect::<Vec<_>>());
    let GroupStatus { lag, dead, .. } = there.status().await.unwrap();
    assert_eq!((lag, dead), (0, 6));
    assert_eq!(dead_letters(&b.events, "s/dead").await.len(), 6);
}
