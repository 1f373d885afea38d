//! Places on servers that are not the kit's to disturb.

use undercurrent_servers::{Cluster, Sentinels, Server, Setup, Space, applicable};

/// Writes below the prefix and beside it on a server, and leaves; returns the keys that are left there.
async fn left_after(url: &str, server: &Server) -> Vec<String> {
    let space = Space::at(url);
    assert!(space.server().is_none());
    let below = |word: &str| format!("{{{}:default}}:{word}", space.prefix());
    for key in [below("control"), below("log"), "beside".to_owned(), "{uctest:default}:log".to_owned()] {
        // On a cluster only one of them has its slot here.
        let _ = server.command::<()>(&["SET", &key, "1"]).await;
    }
    drop(space);
    server.command(&["KEYS", "*"]).await.expect("it answers")
}

#[tokio::test]
async fn what_a_test_wrote_on_an_existing_server_is_gone_and_nothing_else_is() {
    let Some(server) = applicable(Server::start(Setup::standalone().password("p@ss")).await) else { return };
    let mut left = left_after(&server.url(), &server).await;
    left.sort_unstable();
    assert_eq!(left, ["beside", "{uctest:default}:log"]);
}

#[tokio::test]
async fn it_is_gone_behind_sentinels_and_on_a_cluster_too() {
    if let Some(group) = applicable(Sentinels::start(Setup::standalone().password("p"), 1, 1).await) {
        let left = left_after(&group.url(), &group.servers.primary).await;
        assert_eq!(left.len(), 2, "{left:?}");
    }
    let Some(cluster) = applicable(Cluster::start(Setup::standalone()).await) else { return };
    let space = Space::at(&cluster.url());
    let mut written = Vec::new();
    for namespace in 0..20 {
        let key = format!("{{{}:{namespace}}}:log", space.prefix());
        let owner = cluster.owner(&key).await.unwrap();
        let () = owner.command(&["SET", &key, "1"]).await.unwrap();
        written.push(owner.port());
    }
    written.sort_unstable();
    written.dedup();
    assert!(written.len() > 1, "all keys lie on one node");
    drop(space);
    for node in &cluster.nodes[..Cluster::PRIMARIES] {
        assert_eq!(node.command::<u32>(&["DBSIZE"]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_place_is_on_a_server_of_its_own_where_none_is_named() {
    let Some(space) = applicable(Space::open().await) else { return };
    let Some(server) = space.server() else { return };
    assert_eq!(space.url(), server.url());
    assert_eq!(server.command::<u32>(&["DBSIZE"]).await.unwrap(), 0);
}
