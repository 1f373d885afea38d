//! The scripts as texts: what the server says of them, and what they touch.

use undercurrent_servers::{Server, Setup, applicable, watch_keys};

use super::super::scripts::all;
use super::support::{open, options};
use crate::store::Store;
use crate::store::contract::{self, batch, key, new, publish};

#[tokio::test]
async fn every_script_is_understood() {
    let server = Server::start(Setup::standalone()).await.unwrap();
    for script in all() {
        let sha: String = server.command(&["SCRIPT", "LOAD", &script.text]).await.unwrap();
        assert_eq!(sha, script.sha, "{}", script.name);
    }
}

#[tokio::test]
async fn no_script_touches_a_key_that_it_was_not_given() {
    let server = Server::start(Setup::standalone().durable()).await.unwrap();
    let often = super::super::SharedStoreOptions {
        records: 20,
        facts: 1,
        clean_every: std::time::Duration::from_millis(10),
        vouch: std::time::Duration::from_millis(50),
        ..options(&server.url())
    };
    let workload = async {
        let a = super::support::open_with(often).await;
        let scope = contract::name("scope:s");
        for n in 0..40 {
            let said = crate::store::NewEvent {
                latest: Some((key(&format!("state:{n}")), Some("1".into()))),
                ..new("s", &n.to_string())
            };
            let mark = if n % 2 == 0 { crate::store::Mark::Vouched } else { crate::store::Mark::InDoubt };
            let row = crate::store::RowWrite {
                table: "t",
                id: n.to_string(),
                expected: None,
                value: Some("1".into()),
            };
            let names = vec![crate::store::Invalidation { name: scope.clone(), mark, event: None }];
            a.publish(crate::store::Batch { names, rows: vec![row], ..batch(vec![said]) }).await.unwrap();
        }
        contract::read_all(&*a, "s", 7).await;
        a.read_log(None, 9).await.unwrap();
        a.invalidations(std::slice::from_ref(&scope), 3).await;
        a.last(&[scope]).await.unwrap();
        a.row("t", "1").await.unwrap();
        a.rows("t").await.unwrap();
        a.latest(&key("state:1")).await.unwrap();
        a.streams().await.unwrap();
        let b = open(&server.url()).await;
        publish(&*b, "other", "1").await;
        b.read(&key("state:1"), None, true).await.unwrap();
        b.release(&key("state:1")).await;
        b.delete_stream(&contract::stream("s")).await.unwrap();
        super::support::eventually("the last states are forgotten", || async {
            let left: usize = server.command(&["ZCARD", "{uc:default}:latest"]).await.unwrap();
            (left <= 1).then_some(())
        })
        .await;
    };
    let watched = watch_keys(&server, workload).await;
    let Some(((), report)) = applicable(watched) else { return };
    assert!(report.scripts > 40 && report.commands > 400, "{report:?}");
    assert!(report.undeclared.is_empty(), "{report:?}");
}
