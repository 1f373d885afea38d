//! Servers that are found, reached and allowed in different ways, and those that are refused.

use std::sync::Arc;

use undercurrent_servers::{Certificates, ClientCertificate, Cluster, Sentinels, Server, Setup, applicable};

use super::super::{ConnectError, SharedStore, SharedStoreOptions};
use super::support::{eventually, invalidate, open, open_with, options, publish};
use crate::store::{PublishError, Store};

/// What the documentation says that a user needs.
fn documented() -> Vec<&'static str> {
    let docs = include_str!("../../../../../../docs/store.md");
    let line = docs.lines().find_map(|line| line.strip_prefix("ACL SETUSER undercurrent on >secret "));
    line.expect("it is documented").split(' ').collect()
}

#[tokio::test]
async fn a_unix_socket_leads_to_a_store() {
    let server = Server::start(Setup::standalone().unix_socket()).await;
    let Some(server) = applicable(server) else { return };
    let a = open(&format!("unix://{}", server.socket().unwrap().display())).await;
    invalidate(&a, "tag:t").await;
}

#[tokio::test]
async fn a_store_is_reached_over_tls_with_a_certificate() {
    let certificates = Arc::new(Certificates::make().unwrap());
    let server = Server::start(Setup::standalone().tls(&certificates, ClientCertificate::Required)).await;
    let Some(server) = applicable(server) else { return };
    let plain = options(&server.url());
    let ours = SharedStoreOptions {
        ca: Some(certificates.authority()),
        identity: Some(certificates.client()),
        ..plain.clone()
    };
    let a = open_with(ours.clone()).await;
    invalidate(&a, "tag:t").await;
    for refused in [plain, SharedStoreOptions { identity: None, ..ours }] {
        assert!(SharedStore::open(refused).await.is_err());
    }
}

#[tokio::test]
async fn a_user_that_may_do_no_more_than_is_documented_is_enough() {
    let setup = Setup::standalone().durable().user("ann", "s@cret", &documented());
    let Some(server) = applicable(Server::start(setup).await) else { return };
    let often =
        SharedStoreOptions { clean_every: std::time::Duration::from_millis(50), ..options(&server.url()) };
    let a = open_with(often).await;
    assert_eq!(a.strongest(), undercurrent_types::Durability::Durable);
    super::scripts::use_all(&a).await;
    let mut live_rx = a.follow(&crate::store::contract::stream("s"));
    publish(&a, "s", "live").await;
    assert_eq!(live_rx.recv().await.unwrap().id_text(), "live");
    let wrong = options(&server.url().replace("s%40cret", "wrong"));
    let error = SharedStore::open(wrong).await.err().unwrap();
    assert!(matches!(error, ConnectError::Denied(_)), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
}

/// Kills the primary of a group, and checks that a node that was led to it is led to its successor.
async fn the_successor_is_found(group: &Sentinels, a: &SharedStore) {
    let token = invalidate(a, "tag:t").await;
    let before = group.primary().await.unwrap();
    before.kill();
    group.promoted(before.port()).await.unwrap();
    let now = eventually("the successor is found", || async { a.barrier().await.ok() }).await;
    assert!(now.inc != token.inc && now.position > token.position);
}

#[tokio::test]
async fn sentinels_lead_to_the_primary_and_to_its_successor() {
    let group = Sentinels::start(Setup::standalone(), 1, 3).await;
    let Some(group) = applicable(group) else { return };
    the_successor_is_found(&group, &*open(&group.url()).await).await;
}

#[tokio::test]
async fn a_cluster_leads_to_the_node_that_has_the_namespace() {
    let cluster = applicable(Cluster::start(Setup::standalone()).await);
    let Some(cluster) = cluster else { return };
    let a = open(&cluster.url()).await;
    let token = publish(&a, "s", "1").await.token;
    assert_eq!(a.barrier().await.unwrap(), token);
    let owner = cluster.owner("{uc:default}:control").await.unwrap();
    let place = cluster.nodes.iter().position(|node| node.port() == owner.port()).unwrap();
    cluster.take_over(place + Cluster::PRIMARIES).await.unwrap();
    // The old one answers until it has heard of its successor.
    let now = eventually("the new owner is found", || async {
        a.barrier().await.ok().filter(|now| now.inc != token.inc)
    });
    assert!(now.await.position > token.position);
}

/// Returns how a node uses an address over TLS that asks for a certificate.
fn with_certificate(url: &str, certificates: &Certificates) -> SharedStoreOptions {
    let (ca, identity) = (Some(certificates.authority()), Some(certificates.client()));
    SharedStoreOptions { ca, identity, ..options(url) }
}

#[tokio::test]
async fn a_cluster_and_sentinels_are_asked_over_tls_as_the_server_is() {
    let certificates = Arc::new(Certificates::make().unwrap());
    let setup = || Setup::standalone().password("s@cret").tls(&certificates, ClientCertificate::Required);
    if let Some(cluster) = applicable(Cluster::start(setup()).await) {
        let url = cluster.url();
        assert!(url.starts_with("rediss+cluster://"), "{url}");
        let a = open_with(with_certificate(&url, &certificates)).await;
        let token = publish(&a, "s", "1").await.token;
        assert_eq!(a.barrier().await.unwrap(), token);
        assert!(SharedStore::open(options(&url)).await.is_err(), "nobody vouches for the server");
        // Where it is asked without TLS nobody answers.
        assert!(SharedStore::open(options(&url.replacen("rediss", "redis", 1))).await.is_err());
    }
    if let Some(group) = applicable(Sentinels::start(setup(), 1, 3).await) {
        let url = group.url();
        assert!(url.starts_with("rediss+sentinel://"), "{url}");
        let a = open_with(with_certificate(&url, &certificates)).await;
        the_successor_is_found(&group, &a).await;
        assert!(SharedStore::open(options(&url)).await.is_err(), "nobody vouches for the sentinels");
    }
}

#[tokio::test]
async fn two_namespaces_and_two_products_share_a_server() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    let plain = options(&server.url());
    let other = SharedStoreOptions { namespace: "other".to_owned(), ..plain.clone() };
    let product = SharedStoreOptions { prefix: "product".to_owned(), ..plain.clone() };
    let [a, b, c] = [open_with(plain).await, open_with(other).await, open_with(product).await];
    publish(&a, "s", "1").await;
    for store in [b, c] {
        assert!(store.streams().await.unwrap().is_empty());
        assert!(!publish(&store, "s", "1").await.events[0].duplicate);
    }
}

async fn refusal(server: &Server) -> String {
    SharedStore::open(options(&server.url())).await.err().unwrap().to_string()
}

#[tokio::test]
async fn a_server_that_may_lose_keys_is_refused_by_name() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    server.config_set("maxmemory", "100mb").await.unwrap();
    server.config_set("maxmemory-policy", "allkeys-lru").await.unwrap();
    assert!(refusal(&server).await.contains("maxmemory-policy allkeys-lru"));
    server.config_set("maxmemory-policy", "volatile-lru").await.unwrap();
    open(&server.url()).await;
    let Some(primary) = applicable(Server::start(Setup::standalone()).await) else { return };
    server.replicate(primary.port()).await.unwrap();
    assert!(refusal(&server).await.contains("is a replica"));
}

#[tokio::test]
async fn keys_of_something_else_are_refused_by_name() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    let _: i64 =
        server.command(&["HSET", "{uc:default}:control", "inc", "1", "format", "other/9"]).await.unwrap();
    let error = refusal(&server).await;
    assert!(error.contains("`{uc:default}:control`") && error.contains("`other/9`"), "{error}");
    server.flush_all().await.unwrap();
    let _: () = server.command(&["SET", "{uc:default}:control", "x"]).await.unwrap();
    assert!(refusal(&server).await.contains("another program"));
}

#[tokio::test]
async fn a_stream_that_asks_for_more_than_the_server_gives_is_refused() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    let a = open(&server.url()).await;
    assert_eq!(a.strongest(), undercurrent_types::Durability::Memory);
    let refused = a.publish(crate::store::contract::batch(vec![crate::store::contract::new("s", "1")])).await;
    assert!(matches!(refused, Err(PublishError::TooDurable { .. })), "{refused:?}");
    assert!(a.streams().await.unwrap().is_empty());
}
