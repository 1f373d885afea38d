//! What happens when the server, or the way to it, fails: a new incarnation or a jump, never an old answer.

use std::sync::Arc;

use undercurrent_servers::{Direction, Proxy, Replicated, Server, Setup, applicable};
use undercurrent_types::{Cursor, Token};

use super::super::SharedStore;
use super::support::{eventually, floor, invalidate, new, open, publish};
use crate::store::contract::{bare, batch, ids, name, read_all, stream};
use crate::store::{Commit, Committed, PublishError, ReadStreamError, Store, StoreError};

async fn server() -> Option<Server> {
    applicable(Server::start(Setup::standalone()).await)
}

/// What a node knew before something happened.
struct Before {
    token: Token,
    cursor: Cursor,
}

async fn before(store: &SharedStore) -> Before {
    let cursor = publish(store, "s", "1").await.events[0].cursor;
    invalidate(store, "tag:t").await;
    Before { token: store.barrier().await.unwrap(), cursor }
}

/// Waits until the node has an answer again.
async fn answered(store: &SharedStore) -> Token {
    eventually("the store answers", || async { store.barrier().await.ok() }).await
}

/// Checks that nothing of before is believed, and that the stream tells its readers.
async fn is_a_new_incarnation(store: &SharedStore, before: &Before) {
    let now = answered(store).await;
    assert_ne!(now.inc, before.token.inc);
    assert_eq!(store.horizon().incarnation(), now.inc);
    assert!(now.position > before.token.position, "positions that a node handles never fall");
    assert!(floor(store.horizon(), "tag:other") > before.token.position, "everything counts as moved");
    let old = store.commit(Commit::of(before.token, &[name("tag:other")])).await.unwrap();
    assert_eq!(old, Committed::Moved);
    let fresh = store.commit(Commit::of(now, &[name("tag:other")])).await.unwrap();
    assert!(matches!(fresh, Committed::Accepted(_)), "{fresh:?}");
    let gone = store.read_stream(&stream("s"), Some(before.cursor), 9).await;
    assert!(matches!(gone, Err(ReadStreamError::Gone { reason: "epoch", .. })), "{gone:?}");
    let next = publish(store, "s", "after").await.events[0].cursor;
    assert_ne!(next.epoch, before.cursor.epoch);
}

#[tokio::test]
async fn a_store_that_is_away_refuses_and_comes_back() {
    let Some(server) = applicable(Server::start(Setup::standalone().durable()).await) else { return };
    let a = open(&server.url()).await;
    let before = before(&a).await;
    server.kill();
    let asked = a.barrier().await;
    assert!(matches!(asked, Err(StoreError::Unavailable { .. })), "{asked:?}");
    let refused = a.publish(batch(vec![new("s", "2")])).await;
    assert!(matches!(refused, Err(PublishError::Unavailable { .. })), "{refused:?}");
    assert!(a.state().failed.is_some());
    server.restart().await.unwrap();
    // It lost nothing, but nobody can know that.
    is_a_new_incarnation(&a, &before).await;
    assert_eq!(ids(&read_all(&*a, "s", 9).await), ["1", "after"]);
    assert!(a.state().failed.is_none());
}

#[tokio::test]
async fn a_server_that_restarts_empty_is_a_new_incarnation() {
    let Some(server) = server().await else { return };
    let a = open(&server.url()).await;
    let before = before(&a).await;
    server.restart_empty().await.unwrap();
    is_a_new_incarnation(&a, &before).await;
    assert_eq!(ids(&read_all(&*a, "s", 9).await), ["after"]);
}

#[tokio::test]
async fn a_flush_is_a_new_incarnation_also_where_others_have_gone_on() {
    let Some(server) = server().await else { return };
    let [a, b] = super::support::two(&server).await;
    let before = before(&a).await;
    server.flush_all().await.unwrap();
    // A node that knows less than the other begins the new one.
    for n in 0..20 {
        invalidate(&b, &format!("tag:{n}")).await;
    }
    is_a_new_incarnation(&a, &before).await;
    let (of_a, of_b) = (a.barrier().await.unwrap(), b.barrier().await.unwrap());
    assert_eq!(of_a.inc, of_b.inc);
}

#[tokio::test]
async fn an_old_snapshot_is_a_new_incarnation() {
    let Some(server) = server().await else { return };
    let a = open(&server.url()).await;
    publish(&a, "s", "0").await;
    let old = server.snapshot().await.unwrap();
    let before = before(&a).await;
    server.restart_from(&old).await.unwrap();
    is_a_new_incarnation(&a, &before).await;
    assert_eq!(ids(&read_all(&*a, "s", 9).await), ["0", "after"]);
}

#[tokio::test]
async fn a_control_key_that_is_evicted_is_a_new_incarnation() {
    for key in ["control", "last"] {
        let Some(server) = server().await else { return };
        let a = open(&server.url()).await;
        let before = before(&a).await;
        let _: i64 = server.command(&["DEL", &format!("{{uc:default}}:{key}")]).await.unwrap();
        // Of the scripts that say something about validity, each notices by itself.
        let old = a.commit(Commit::of(before.token, &[name("tag:other")])).await.unwrap();
        assert_eq!(old, Committed::Moved, "without `{key}`");
        is_a_new_incarnation(&a, &before).await;
    }
}

#[tokio::test]
async fn a_log_that_is_evicted_is_a_jump() {
    let Some(server) = server().await else { return };
    let [a, b] = super::support::two(&server).await;
    let before = a.barrier().await.unwrap();
    invalidate(&b, "tag:t").await;
    let _: i64 = server.command(&["DEL", "{uc:default}:log"]).await.unwrap();
    let after = a.barrier().await.unwrap();
    assert_eq!(after.inc, before.inc);
    assert_eq!(floor(a.horizon(), "tag:other"), after.position);
}

#[tokio::test]
async fn half_open_connections_are_given_up() {
    let Some(server) = server().await else { return };
    let proxy = Proxy::start(server.port()).await.unwrap();
    let a = open(&server.url_at(proxy.port())).await;
    let token = invalidate(&a, "tag:t").await;
    for direction in [Direction::ToServer, Direction::ToClient] {
        proxy.swallow(direction);
        let asked = a.barrier().await;
        assert!(matches!(asked, Err(StoreError::Unavailable { .. })), "{asked:?}");
        proxy.release(direction);
        assert_eq!(answered(&a).await, token, "the same incarnation");
    }
}

#[tokio::test]
async fn a_publish_whose_answer_is_lost_is_there_once() {
    let Some(server) = server().await else { return };
    let proxy = Proxy::start(server.port()).await.unwrap();
    let a = open(&server.url_at(proxy.port())).await;
    publish(&a, "s", "1").await;
    proxy.hold(Direction::ToClient);
    let publishing = tokio::spawn({
        let a = a.clone();
        async move { publish(&a, "s", "2").await }
    });
    proxy.waits(Direction::ToClient).await.unwrap();
    proxy.release(Direction::ToClient);
    let _ = publishing.await.unwrap();
    proxy.hold(Direction::ToClient);
    let publishing = tokio::spawn({
        let a = a.clone();
        async move { a.publish(batch(vec![new("s", "3")])).await }
    });
    proxy.waits(Direction::ToClient).await.unwrap();
    proxy.cut();
    proxy.release(Direction::ToClient);
    let published = publishing.await.unwrap().unwrap();
    assert_eq!(published.events[0].cursor.seq.0, 3);
    assert_eq!(ids(&read_all(&*a, "s", 9).await), ["1", "2", "3"]);
}

#[tokio::test]
async fn a_row_whose_answer_is_lost_is_unknown() {
    let Some(server) = server().await else { return };
    let proxy = Proxy::start(server.port()).await.unwrap();
    let a = open(&server.url_at(proxy.port())).await;
    publish(&a, "s", "1").await;
    proxy.hold(Direction::ToClient);
    let row = crate::store::RowWrite {
        table: "t",
        id: "x".to_owned(),
        expected: Some(None),
        value: Some("1".into()),
    };
    let publishing = tokio::spawn({
        let a = a.clone();
        async move { a.publish(crate::store::Batch::writing(vec![row])).await }
    });
    proxy.waits(Direction::ToClient).await.unwrap();
    proxy.cut();
    proxy.release(Direction::ToClient);
    let published = publishing.await.unwrap();
    assert!(matches!(published, Err(PublishError::Unknown { .. })), "{published:?}");
    assert!(a.row("t", "x").await.unwrap().is_some());
}

/// A primary with a replica, and a node that finds whichever the proxy leads to.
async fn behind_a_name() -> Option<(Replicated, Proxy, Arc<SharedStore>)> {
    let servers = applicable(Replicated::start(Setup::standalone(), 1).await)?;
    let proxy = Proxy::start(servers.primary.port()).await.unwrap();
    let a = open(&servers.primary.url_at(proxy.port())).await;
    Some((servers, proxy, a))
}

#[tokio::test]
async fn a_lagging_replica_that_is_promoted_is_a_new_incarnation() {
    let Some((servers, proxy, a)) = behind_a_name().await else { return };
    servers.in_step().await.unwrap();
    servers.links[0].hold(Direction::ToClient);
    let token = invalidate(&a, "tag:t").await;
    let before = Before { token: a.barrier().await.unwrap(), cursor: a.tail(&stream("s")).await.unwrap() };
    assert_eq!(before.token, token);
    servers.replicas[0].promote().await.unwrap();
    proxy.direct(servers.replicas[0].port());
    proxy.cut();
    let now = answered(&a).await;
    assert!(now.inc != token.inc && now.position > token.position);
    let old = a.commit(Commit::of(token, &[name("tag:other")])).await.unwrap();
    assert_eq!(old, Committed::Moved);
}

#[tokio::test]
async fn nobody_joins_an_incarnation_again_that_they_have_left() {
    let Some((servers, proxy, a)) = behind_a_name().await else { return };
    servers.in_step().await.unwrap();
    let first = invalidate(&a, "tag:t").await;
    servers.replicas[0].promote().await.unwrap();
    proxy.direct(servers.replicas[0].port());
    proxy.cut();
    let second = answered(&a).await;
    assert_ne!(second.inc, first.inc);
    // The old primary never learned of it, and is named again.
    proxy.direct(servers.primary.port());
    proxy.cut();
    let third = answered(&a).await;
    assert!(third.inc != second.inc && third.inc != first.inc && third.position > second.position);
}

#[tokio::test]
async fn a_primary_that_becomes_a_replica_answers_nothing_more() {
    let Some((servers, _proxy, a)) = behind_a_name().await else { return };
    servers.in_step().await.unwrap();
    let token = invalidate(&a, "tag:t").await;
    servers.replicas[0].promote().await.unwrap();
    servers.primary.replicate(servers.replicas[0].port()).await.unwrap();
    let asked = a.barrier().await;
    assert!(matches!(asked, Err(StoreError::Unavailable { .. })), "{asked:?} after {token}");
    // And back: it has another history now, though the address is the same.
    servers.primary.promote().await.unwrap();
    let now = answered(&a).await;
    assert_ne!(now.inc, token.inc);
}

#[tokio::test]
async fn a_server_without_memory_takes_nothing_and_reads_go_on() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    let a = open(&server.url()).await;
    let token = invalidate(&a, "tag:t").await;
    server.config_set("maxmemory", "1mb").await.unwrap();
    let refused = a.publish(bare(&["tag:t"])).await;
    assert!(matches!(refused, Err(PublishError::Unavailable { .. })), "{refused:?}");
    // What was refused was told to whoever wanted it, so a position is right without it.
    assert_eq!(a.barrier().await.unwrap(), token);
    server.config_set("maxmemory", "0").await.unwrap();
    assert!(invalidate(&a, "tag:t").await.position > token.position);
}

#[tokio::test]
async fn replicated_events_wait_for_a_replica() {
    let Some((servers, _proxy, a)) = behind_a_name().await else { return };
    servers.in_step().await.unwrap();
    assert_eq!(a.strongest(), undercurrent_types::Durability::Replicated);
    let replicated = |id: &str| crate::store::NewEvent {
        durability: undercurrent_types::Durability::Replicated,
        ..new("r", id)
    };
    let published = a.publish(batch(vec![replicated("1")])).await.unwrap();
    assert_eq!(published.events[0].durability, undercurrent_types::Durability::Replicated);
    let there: usize = servers.replicas[0].command(&["XLEN", "{uc:default}:stream:r"]).await.unwrap();
    assert_eq!(there, 1);
    servers.links[0].hold(Direction::ToClient);
    let refused = a.publish(batch(vec![replicated("2")])).await;
    assert!(matches!(refused, Err(PublishError::Unknown { .. })), "{refused:?}");
    servers.links[0].release(Direction::ToClient);
    let again = a.publish(batch(vec![replicated("2")])).await.unwrap();
    assert!(again.events[0].duplicate, "it was there, and now it is safe");
}

/// What a server holds of the order, so that it can be set back without anything else that shows it.
async fn dump(server: &Server) -> Vec<(String, Vec<u8>)> {
    let mut kept = Vec::new();
    for word in ["control", "last", "log"] {
        let key = format!("{{uc:default}}:{word}");
        let bytes: redis::Value = server.command(&["DUMP", &key]).await.unwrap();
        let redis::Value::BulkString(bytes) = bytes else { panic!("{bytes:?}") };
        kept.push((key, bytes));
    }
    kept
}

async fn set_back(server: &Server, kept: &[(String, Vec<u8>)]) {
    let mut connection = server.connect().await.unwrap();
    for (key, bytes) in kept {
        let mut command = redis::cmd("RESTORE");
        command.arg(key).arg(0).arg(bytes).arg("REPLACE");
        let () = command.query_async(&mut connection).await.unwrap();
    }
}

/// A Dragonfly that was demoted, followed a primary that was behind, and was promoted back looks like this: the same
/// history by name, over the same connections, and positions that are given again.
#[tokio::test]
async fn a_server_that_goes_back_without_a_word_is_a_new_incarnation() {
    for first in 0..4 {
        let Some(server) = server().await else { return };
        let a = open(&server.url()).await;
        invalidate(&a, "tag:before").await;
        a.barrier().await.unwrap();
        let old = dump(&server).await;
        invalidate(&a, "tag:lost").await;
        let before = a.barrier().await.unwrap();
        set_back(&server, &old).await;
        // Others go on, and give positions again.
        let b = open(&server.url()).await;
        for _ in 0..first {
            invalidate(&b, "tag:t").await;
        }
        match first {
            // Whatever is asked first notices.
            0 => drop(a.barrier().await.unwrap()),
            1 => drop(invalidate(&a, "tag:x").await),
            2 => drop(a.read(&crate::store::contract::key("state:x"), None, false).await.unwrap()),
            _ => drop(a.last(&[name("tag:t")]).await.unwrap()),
        }
        let now = a.barrier().await.unwrap();
        assert!(now.inc != before.inc && now.position > before.position, "{first}: {before} then {now}");
        assert_eq!(b.barrier().await.unwrap().inc, now.inc);
    }
}

#[tokio::test]
async fn what_was_applied_late_of_a_server_that_goes_back_is_noticed() {
    let Some(server) = server().await else { return };
    let proxy = Proxy::start(server.port()).await.unwrap();
    let a = open(&server.url_at(proxy.port())).await;
    let b = open(&server.url()).await;
    invalidate(&a, "tag:before").await;
    let before = a.barrier().await.unwrap();
    let old = dump(&server).await;
    invalidate(&b, "tag:lost").await;
    proxy.hold(Direction::ToClient);
    let asked = tokio::spawn({
        let a = a.clone();
        async move { a.barrier().await }
    });
    proxy.waits(Direction::ToClient).await.unwrap();
    set_back(&server, &old).await;
    let own = tokio::spawn({
        let a = a.clone();
        async move { a.publish(bare(&["tag:x"])).await }
    });
    // Both answers are under way: one of a past that is gone, one of what came in its place.
    eventually("the second is written", || async {
        let log: usize = server.command(&["XLEN", "{uc:default}:log"]).await.unwrap();
        (log > 2).then_some(())
    })
    .await;
    proxy.release(Direction::ToClient);
    let _ = (asked.await.unwrap(), own.await.unwrap());
    let now = answered(&a).await;
    assert!(now.inc != before.inc, "{before} then {now}");
    assert!(floor(a.horizon(), "tag:other") > before.position);
}
