//! What a second node sees.

use tokio::sync::broadcast::error::TryRecvError;
use undercurrent_servers::{Server, Setup, Space, applicable};
use undercurrent_types::Seq;

use super::scripts::{keep, keep_over};
use super::support::{
    eventually, floor, invalidate, new, open_with, options, options_in, publish, two, two_in,
};
use crate::store::contract::{batch, ids, key, name, read_all, stream};
use crate::store::{Batch, Commit, Committed, Invalidation, Kept, Mark, Over, PublishError, Store};

/// A place for what needs no control of the server, also on one that runs already.
async fn space() -> Option<Space> {
    applicable(Space::open().await)
}

async fn server() -> Option<Server> {
    applicable(Server::start(Setup::standalone()).await)
}

#[tokio::test]
async fn an_invalidation_on_one_node_raises_the_floor_of_another_with_its_barrier() {
    let Some(space) = space().await else { return };
    let [a, b] = two_in(&space).await;
    let before = b.barrier().await.unwrap();
    let moved = invalidate(&a, "tag:t").await;
    assert!(floor(b.horizon(), "tag:t") < moved.position, "nobody has asked yet");
    let after = b.barrier().await.unwrap();
    assert_eq!((after, floor(b.horizon(), "tag:t")), (moved, moved.position));
    assert!(floor(b.horizon(), "tag:other") <= before.position, "nothing else was moved");
    assert_eq!(b.commit(Commit::of(before, &[name("tag:t")])).await.unwrap(), Committed::Moved);
}

#[tokio::test]
async fn who_follows_on_one_node_gets_what_another_publishes() {
    let Some(space) = space().await else { return };
    let [a, b] = two_in(&space).await;
    let mut of_stream_rx = b.follow(&stream("s"));
    let mut all_rx = b.observe();
    let mut visible_rx = b.watch_visible();
    let moving =
        Batch { names: vec![Invalidation::of(name("tag:t"))], ..batch(vec![new("s", "1"), new("t", "2")]) };
    let published = a.publish(moving).await.unwrap();
    let seen = of_stream_rx.recv().await.unwrap();
    assert_eq!((seen.id_text(), seen.cursor, seen.token), ("1", published.events[0].cursor, published.token));
    assert_eq!(all_rx.recv().await.unwrap().id_text(), "1");
    assert_eq!(all_rx.recv().await.unwrap().id_text(), "2");
    // The floor is raised before the event is handed on.
    assert!(floor(b.horizon(), "tag:t") >= published.token.position);
    visible_rx.wait_for(|visible| *visible >= published.token.position.0).await.unwrap();
    assert!(matches!(of_stream_rx.try_recv(), Err(TryRecvError::Empty)));
}

#[tokio::test]
async fn streams_rows_and_ids_are_those_of_all_nodes() {
    let Some(space) = space().await else { return };
    let [a, b] = two_in(&space).await;
    let first = publish(&a, "s", "1").await;
    assert!(publish(&b, "s", "1").await.events[0].duplicate);
    let expecting =
        |seq| batch(vec![crate::store::NewEvent { expected_seq: Some(Seq(seq)), ..new("s", "2") }]);
    assert!(matches!(b.publish(expecting(0)).await, Err(PublishError::ExpectedSeq { actual: Seq(1), .. })));
    b.publish(expecting(1)).await.unwrap();
    assert_eq!(ids(&read_all(&*a, "s", 9).await), ["1", "2"]);
    assert_eq!(a.tail(&stream("s")).await.unwrap().epoch, first.events[0].cursor.epoch);
    let row = |value: &'static str, expected| {
        let value = Some(value.into());
        Batch::writing(vec![crate::store::RowWrite { table: "t", id: "x".to_owned(), expected, value }])
    };
    let written = a.publish(row("1", Some(None))).await.unwrap().token.position;
    assert_eq!(b.row("t", "x").await.unwrap().unwrap().revision, written);
    let refused = b.publish(row("2", Some(None))).await;
    assert!(matches!(refused, Err(PublishError::RowConflict { actual: Some(at), .. }) if at == written));
}

#[tokio::test]
async fn a_node_that_slept_while_the_log_was_trimmed_jumps() {
    let Some(server) = server().await else { return };
    let small = || crate::store::dragonfly::SharedStoreOptions { records: 20, ..options(&server.url()) };
    let [a, b] = [open_with(small()).await, open_with(small()).await];
    let before = b.barrier().await.unwrap();
    for n in 0..100 {
        invalidate(&a, &format!("tag:{}", n % 50)).await;
    }
    let log: usize = server.command(&["XLEN", "{uc:default}:log"]).await.unwrap();
    // It is trimmed at every sixteenth position.
    assert!(log <= 36, "the log has {log} records");
    let names: usize = server.command(&["HLEN", "{uc:default}:last"]).await.unwrap();
    assert!(names <= 37, "{names} names are remembered");
    let after = b.barrier().await.unwrap();
    assert_eq!(after.inc, before.inc);
    // A name that nobody moved counts as moved: nobody can say.
    assert_eq!(floor(b.horizon(), "tag:other"), after.position);
    assert_eq!(b.commit(Commit::of(before, &[name("tag:other")])).await.unwrap(), Committed::Moved);
    assert!(matches!(
        b.commit(Commit::of(after, &[name("tag:other")])).await.unwrap(),
        Committed::Accepted(_)
    ));
}

#[tokio::test]
async fn a_name_in_doubt_is_not_trimmed() {
    let Some(space) = space().await else { return };
    let small = crate::store::dragonfly::SharedStoreOptions { records: 5, ..options_in(&space) };
    let a = open_with(small).await;
    let doubt = Invalidation { name: name("scope:s"), mark: Mark::InDoubt, event: None };
    a.publish(Batch::moving(vec![doubt], "a test")).await.unwrap();
    for n in 0..50 {
        invalidate(&a, &format!("tag:{n}")).await;
    }
    let known = a.last(&[name("scope:s"), name("tag:0")]).await.unwrap();
    assert!(known[0].in_doubt && known[0].position.is_some());
    assert_eq!((known[1].in_doubt, known[1].position), (false, None));
}

#[tokio::test]
async fn a_scope_is_in_doubt_when_nobody_vouches_for_it_any_more() {
    let Some(space) = space().await else { return };
    let short = || crate::store::dragonfly::SharedStoreOptions {
        vouch: std::time::Duration::from_secs(1),
        ..options_in(&space)
    };
    let [a, b] = [open_with(short()).await, open_with(short()).await];
    let scope = [name("scope:s")];
    let mark =
        |mark| Batch::moving(vec![Invalidation { name: scope[0].clone(), mark, event: None }], "a test");
    assert!(b.last(&scope).await.unwrap()[0].in_doubt, "nobody has vouched for it yet");
    let vouched = a.publish(mark(Mark::Vouched)).await.unwrap().token;
    b.barrier().await.unwrap();
    assert!(matches!(b.commit(Commit::of(vouched, &scope)).await.unwrap(), Committed::Accepted(_)));
    let refused = b.publish(mark(Mark::Vouched)).await;
    assert!(matches!(refused, Err(PublishError::Owned { .. })), "{refused:?}");
    // It is renewed for longer than it would last.
    let until = crate::store::Moment::now().after(std::time::Duration::from_millis(2500));
    eventually("more than twice its time has passed", || async {
        let accepted = b.commit(Commit::of(vouched, &scope)).await.unwrap();
        assert!(matches!(accepted, Committed::Accepted(_)), "{accepted:?}");
        until.remaining().is_zero().then_some(())
    })
    .await;
    a.close().await;
    drop(a);
    let lapsed = eventually("it lapses", || async {
        let answer = b.commit(Commit::of(vouched, &scope)).await.unwrap();
        (answer == Committed::Moved).then_some(())
    });
    lapsed.await;
    let now = b.barrier().await.unwrap();
    assert!(now.position > vouched.position, "it took a position");
    assert_eq!(b.commit(Commit::of(now, &scope)).await.unwrap(), Committed::InDoubt);
    assert!(floor(b.horizon(), "scope:s") > vouched.position);
    let again = b.publish(mark(Mark::Vouched)).await.unwrap().token;
    assert!(matches!(b.commit(Commit::of(again, &scope)).await.unwrap(), Committed::Accepted(_)));
}

#[tokio::test]
async fn a_value_found_unchanged_does_not_stand_beside_another_that_was_loaded_meanwhile() {
    let Some(space) = space().await else { return };
    let [a, b] = two_in(&space).await;
    keep(&a, "state:x", "1").await;
    invalidate(&a, "tag:t").await;
    let h = b.read(&key("state:x"), None, true).await.unwrap().at;
    keep(&a, "state:x", "2").await;
    assert_eq!(keep_over(&b, ("state:x", "1"), h, Over::Same).await, Committed::Moved);
    let stands = a.read(&key("state:x"), None, false).await.unwrap().kept;
    assert!(matches!(stands, Kept::Nothing), "nobody can say which of them is the later one: {stands:?}");
}

#[tokio::test]
async fn concurrent_reads_share_the_next_barrier() {
    let Some(server) = server().await else { return };
    let [a, _] = two(&server).await;
    let count = || async {
        let stats: String = server.command(&["INFO", "commandstats"]).await.unwrap();
        let line = stats.lines().find(|line| line.starts_with("cmdstat_persist:")).unwrap().to_owned();
        line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()
    };
    a.barrier().await.unwrap();
    let before = count().await;
    let reads = (0..256).map(|_| a.barrier());
    let answers = futures_util::future::join_all(reads).await;
    assert!(answers.iter().all(Result::is_ok));
    let sent = count().await - before;
    assert!(sent <= 5, "{sent} barriers for 256 reads");
}

#[tokio::test]
async fn a_read_that_is_given_up_leaves_the_others_their_barrier() {
    let Some(space) = space().await else { return };
    let [a, b] = two_in(&space).await;
    for _ in 0..50 {
        let moved = invalidate(&b, "tag:t").await;
        let mut leads = Box::pin(a.barrier());
        let mut waits = Box::pin(a.barrier());
        let mut given_up = Box::pin(a.barrier());
        for future in [&mut leads, &mut waits, &mut given_up] {
            assert!(futures_util::poll!(future.as_mut()).is_pending());
        }
        drop(leads);
        drop(given_up);
        assert!(waits.await.unwrap().position >= moved.position);
    }
}

#[tokio::test]
async fn events_and_states_that_need_not_be_kept_are_let_go() {
    let Some(server) = server().await else { return };
    let often = crate::store::dragonfly::SharedStoreOptions {
        clean_every: std::time::Duration::from_millis(20),
        facts: 3,
        ..options(&server.url())
    };
    let a = open_with(often).await;
    let three = crate::store::Retention { count: Some(3), ..crate::store::Retention::UNLIMITED };
    let settings =
        crate::store::StreamSettings { durability: undercurrent_types::Durability::Memory, retention: three };
    a.create_stream(&stream("s"), settings).await.unwrap();
    let mut first = None;
    for n in 0..50 {
        let key: undercurrent_types::Key = format!("state:{n}").parse().unwrap();
        let said =
            crate::store::NewEvent { latest: Some((key, Some("1".into()))), ..new("s", &n.to_string()) };
        let token = a.publish(batch(vec![said])).await.unwrap().token;
        first.get_or_insert(token);
    }
    eventually("47 are gone", || async {
        let state = &a.streams().await.unwrap()[0];
        (state.oldest == Seq(48)).then_some(())
    })
    .await;
    assert_eq!(ids(&read_all(&*a, "s", 9).await), ["47", "48", "49"]);
    eventually("three states are left", || async {
        let left: usize = server.command(&["ZCARD", "{uc:default}:latest"]).await.unwrap();
        (left == 3).then_some(())
    })
    .await;
    let forgotten = a.last(&[name("state:0")]).await.unwrap()[0].position.unwrap();
    assert!(forgotten > first.unwrap().position, "who knew it has to ask again");
    assert_eq!(a.latest(&"state:0".parse().unwrap()).await.unwrap(), None);
    assert!(a.latest(&"state:49".parse().unwrap()).await.unwrap().is_some());
}
