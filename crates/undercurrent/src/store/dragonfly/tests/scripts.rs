//! The scripts as texts: what the server says of them, and what they touch.

use std::collections::BTreeSet;
use std::time::Duration;

use undercurrent_servers::{Server, Setup, applicable, watch_keys};
use undercurrent_types::{Durability, Name, Token, Version};

use super::super::scripts::all;
use super::super::{SharedStore, SharedStoreOptions};
use super::support::{eventually, new, open_with, options};
use crate::store::contract::{self, batch, key};
use crate::store::{
    Batch, Commit, Committed, Invalidation, Keep, KeptEntry, Mark, Moment, NewEvent, Over, RowWrite, Store,
};

#[tokio::test]
async fn every_script_is_understood() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    for script in all() {
        let sha: String = server.command(&["SCRIPT", "LOAD", &script.text]).await.unwrap();
        assert_eq!(sha, script.sha, "{}", script.name);
    }
}

/// Uses everything that a store offers.
pub(super) async fn use_all(a: &SharedStore) {
    let scope = contract::name("scope:s");
    for n in 0..40 {
        let said = NewEvent {
            latest: Some((key(&format!("state:{n}")), Some("1".into()))),
            ..new("s", &n.to_string())
        };
        let mark = if n % 2 == 0 { Mark::Vouched } else { Mark::InDoubt };
        let row = RowWrite { table: "t", id: n.to_string(), expected: None, value: Some("1".into()) };
        let by_key = Invalidation::of(contract::name("state:x"));
        let names = vec![Invalidation { name: scope.clone(), mark, event: None }, by_key];
        a.publish(Batch { names, rows: vec![row], ..batch(vec![said]) }).await.unwrap();
    }
    contract::read_all(a, "s", 7).await;
    a.read_log(None, 9).await.unwrap();
    a.invalidations(std::slice::from_ref(&scope), 3).await;
    a.last(&[scope]).await.unwrap();
    a.row("t", "1").await.unwrap();
    a.rows("t").await.unwrap();
    a.latest(&key("state:1")).await.unwrap();
    a.streams().await.unwrap();
    keep(a, "state:x", "1").await;
    a.read(&key("state:y"), None, true).await.unwrap();
    a.release(&key("state:y")).await;
    a.create_stream(
        &contract::stream("s"),
        crate::store::StreamSettings {
            durability: Durability::Memory,
            retention: crate::store::Retention { count: Some(3), ..crate::store::Retention::UNLIMITED },
        },
    )
    .await
    .unwrap();
    eventually("events are let go", || async {
        let state = &a.streams().await.unwrap()[0];
        (state.oldest.0 == 38).then_some(())
    })
    .await;
    a.publish(batch(vec![new("s", "98765432109")])).await.unwrap();
    let (scrubbed, _) = a.scrub(&crate::store::Secret::new(b"98765432109").unwrap()).await.unwrap();
    assert_eq!(scrubbed.segments, 1);
    a.delete_stream(&contract::stream("s")).await.unwrap();
}

/// Has a value kept that depends on its key and a tag.
pub(super) async fn keep(a: &SharedStore, of: &str, value: &'static str) {
    a.barrier().await.unwrap();
    let h = a.read(&key(of), None, true).await.unwrap().at;
    let committed = keep_over(a, (of, value), h, Over::Anything).await;
    assert!(matches!(committed, Committed::Accepted(_)), "{committed:?}");
}

/// Asks for a value that was read from a position on to be kept as [`keep`] does.
pub(super) async fn keep_over(
    a: &SharedStore,
    (of, value): (&str, &'static str),
    h: Token,
    over: Over,
) -> Committed {
    let of = key(of);
    let closure = [Name::from(&of), contract::name("tag:t")];
    let entry = KeptEntry {
        value: Some(value.into()),
        version: Version::of(Some(value.as_bytes())),
        loader_version: 1,
        h: h.position,
        own: closure.clone().into(),
        closure: closure.clone().into(),
        keys: Box::default(),
        inputs: Box::default(),
        validator: None,
        deadline: None,
        own_deadline: None,
        max_age: None,
        since: Moment::now(),
        took: Duration::default(),
    };
    let keep = Keep { key: &of, entry: &entry, over };
    a.commit(Commit { keep: Some(keep), ..Commit::of(h, &closure) }).await.unwrap()
}

async fn keys_of(server: &Server) -> BTreeSet<String> {
    server.command(&["KEYS", "*"]).await.unwrap()
}

#[tokio::test]
async fn every_key_is_documented() {
    let docs = include_str!("../../../../../../docs/store.md");
    let documented =
        |word: &str| docs.contains(&format!("| `{word}` ")) || docs.contains(&format!("`{word}:<"));
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    let often = SharedStoreOptions { clean_every: Duration::from_millis(10), ..options(&server.url()) };
    let a = open_with(often).await;
    let mut seen = BTreeSet::new();
    tokio::select! {
        () = use_all(&a) => {}
        () = async { loop { seen.extend(keys_of(&server).await); } } => {}
    }
    seen.extend(keys_of(&server).await);
    assert!(seen.len() > 10, "{seen:?}");
    for key in seen {
        let rest = key.strip_prefix("{uc:default}:").unwrap_or_else(|| panic!("`{key}` is a key of others"));
        let word = rest.split(':').next().unwrap();
        assert!(
            documented(word) || documented(rest.rsplit_once(':').unwrap().0),
            "`{key}` is not documented"
        );
    }
}

#[tokio::test]
async fn programs_that_know_only_get_see_values_while_they_are_good() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    let plain = SharedStoreOptions { plain_keys: Some(Duration::from_secs(60)), ..options(&server.url()) };
    let [a, b] = [open_with(plain.clone()).await, open_with(plain.clone()).await];
    let get = async |key: &str| server.command::<Option<String>>(&["GET", key]).await.unwrap();
    keep(&a, "state:task_id", "{\"step\":2}").await;
    assert_eq!(get("context:state:task_id").await.as_deref(), Some("{\"step\":2}"));
    b.publish(contract::bare(&["state:task_id"])).await.unwrap();
    assert_eq!(get("context:state:task_id").await, None);
    keep(&a, "file:/path", "text").await;
    assert_eq!(get("context:file:/path").await.as_deref(), Some("text"));
    b.publish(contract::bare(&["tag:t"])).await.unwrap();
    assert_eq!(get("context:file:/path").await, None);
    let elsewhere = SharedStoreOptions { namespace: "other".to_owned(), ..plain };
    assert!(SharedStore::open(elsewhere).await.is_err());
}

#[tokio::test]
async fn no_script_touches_a_key_that_it_was_not_given() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    let often = SharedStoreOptions {
        records: 20,
        facts: 1,
        clean_every: Duration::from_millis(10),
        vouch: Duration::from_millis(50),
        plain_keys: Some(Duration::from_secs(5)),
        ..options(&server.url())
    };
    let workload = async {
        let a = open_with(often).await;
        use_all(&a).await;
        eventually("the last states are forgotten", || async {
            let left: usize = server.command(&["ZCARD", "{uc:default}:latest"]).await.unwrap();
            (left <= 1).then_some(())
        })
        .await;
    };
    let watched = Box::pin(watch_keys(&server, workload)).await;
    let Some(((), report)) = applicable(watched) else { return };
    assert!(report.scripts > 40 && report.commands > 400, "{report:?}");
    assert!(report.undeclared.is_empty(), "{report:?}");
}
