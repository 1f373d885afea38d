//! Several servers that belong together.

use std::sync::Arc;

use undercurrent_servers::Direction::ToClient;
use undercurrent_servers::{
    Certificates, ClientCertificate, Cluster, Replicated, Sentinels, Setup, applicable,
};

#[tokio::test]
async fn replicas_have_what_the_primary_acknowledged_and_take_its_place() {
    let Some(group) = applicable(Replicated::start(Setup::standalone(), 2).await) else { return };
    let () = group.primary.command(&["SET", "a", "1"]).await.unwrap();
    group.in_step().await.unwrap();
    for replica in &group.replicas {
        assert_eq!(replica.command::<String>(&["GET", "a"]).await.unwrap(), "1");
        let refused = replica.command::<()>(&["SET", "a", "2"]).await.unwrap_err();
        assert!(format!("{refused:?}").contains("ReadOnly"), "{refused:?}");
    }
    group.primary.kill();
    group.replicas[0].promote().await.unwrap();
    let () = group.replicas[0].command(&["SET", "a", "2"]).await.unwrap();
    assert_eq!(group.replicas[0].info("replication", "role").await.unwrap().as_deref(), Some("master"));
}

#[tokio::test]
async fn a_replica_that_lags_is_promoted_without_what_it_did_not_get() {
    let Some(group) = applicable(Replicated::start(Setup::standalone(), 1).await) else { return };
    let (replica, link) = (&group.replicas[0], &group.links[0]);
    let () = group.primary.command(&["SET", "a", "old"]).await.unwrap();
    group.in_step().await.unwrap();
    link.hold(ToClient);
    let () = group.primary.command(&["SET", "a", "new"]).await.unwrap();
    link.waits(ToClient).await.unwrap();
    group.primary.kill();
    link.cut();
    link.refuse().await.unwrap();
    replica.promote().await.unwrap();
    assert_eq!(replica.command::<String>(&["GET", "a"]).await.unwrap(), "old");
}

#[tokio::test]
async fn replicas_follow_over_tls_too() {
    let certificates = Arc::new(Certificates::make().unwrap());
    let setup = Setup::standalone().tls(&certificates, ClientCertificate::Required).password("secret");
    let Some(group) = applicable(Replicated::start(setup, 1).await) else { return };
    let () = group.primary.command(&["SET", "a", "1"]).await.unwrap();
    group.in_step().await.unwrap();
    assert_eq!(group.replicas[0].command::<String>(&["GET", "a"]).await.unwrap(), "1");
}

#[tokio::test]
async fn sentinels_promote_a_replica_when_the_primary_is_killed() {
    let Some(group) = applicable(Sentinels::start(Setup::standalone(), 2, 3).await) else { return };
    let before = group.primary().await.unwrap().port();
    assert_eq!(before, group.servers.primary.port());
    group.servers.primary.kill();
    let now = group.promoted(before).await.unwrap();
    assert_ne!(now.port(), before);
    let () = now.command(&["SET", "a", "1"]).await.unwrap();
}

#[tokio::test]
async fn a_single_sentinel_decides_alone_before_servers_with_a_password() {
    let setup = Setup::standalone().password("secret");
    let Some(group) = applicable(Sentinels::start(setup, 1, 1).await) else { return };
    assert!(group.url().starts_with("redis+sentinel://:secret@127.0.0.1:"), "{}", group.url());
    let before = group.servers.primary.port();
    group.servers.primary.stop().await.unwrap();
    assert_eq!(group.promoted(before).await.unwrap().port(), group.servers.replicas[0].port());
}

#[tokio::test]
async fn a_cluster_of_six_moves_slots_and_goes_on_when_a_replica_takes_over() {
    let Some(cluster) = applicable(Cluster::start(Setup::standalone()).await) else { return };
    let key = "{uc:default}:control";
    let owner = cluster.owner(key).await.unwrap();
    let () = owner.command(&["SET", key, "1"]).await.unwrap();
    let place = cluster.nodes.iter().position(|node| node.port() == owner.port()).unwrap();
    assert!(place < Cluster::PRIMARIES);
    // Every other primary sends the key elsewhere.
    let other = &cluster.nodes[(place + 1) % Cluster::PRIMARIES];
    assert!(format!("{:?}", other.command::<()>(&["GET", key]).await.unwrap_err()).contains("Moved"));

    // A slot moves with what is in it.
    let next = (place + 1) % Cluster::PRIMARIES;
    cluster.move_slot_of(key, next).await.unwrap();
    assert_eq!(cluster.owner(key).await.unwrap().port(), other.port());
    assert_eq!(other.command::<String>(&["GET", key]).await.unwrap(), "1");
    cluster.move_slot_of(key, place).await.unwrap();

    let replica = place + Cluster::PRIMARIES;
    for next in [replica, place] {
        cluster.fail_over(key).await.unwrap();
        assert_eq!(cluster.owner(key).await.unwrap().port(), cluster.nodes[next].port());
        assert_eq!(cluster.nodes[next].command::<String>(&["GET", key]).await.unwrap(), "1");
    }

    cluster.nodes[place].kill();
    cluster.take_over(replica).await.unwrap();
    assert_eq!(cluster.owner(key).await.unwrap().port(), cluster.nodes[replica].port());
}
