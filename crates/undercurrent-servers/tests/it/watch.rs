//! Undeclared keys of scripts, on a real server.

use redis::AsyncCommands;
use undercurrent_servers::{KeyReport, Server, Setup, applicable, watch_keys};

/// Runs a script with the keys `a` and `b`, and reports what it touched.
async fn report(script: &str) -> Option<KeyReport> {
    let server = applicable(Server::start(Setup::standalone()).await)?;
    let mut connection = server.connect().await.expect("it answers");
    let workload = async move {
        // Not a script's: it counts for nothing.
        let () = connection.set("elsewhere", 1).await.expect("it answers");
        let mut eval = redis::cmd("EVAL");
        eval.arg(script).arg(2).arg("a").arg("b").arg("elsewhere");
        let _: redis::Value = eval.query_async(&mut connection).await.expect("the script is right");
        let loaded: String = redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(script)
            .query_async(&mut connection)
            .await
            .expect("it is right");
        let mut evalsha = redis::cmd("EVALSHA");
        evalsha.arg(loaded).arg(2).arg("a").arg("b\x00\"").arg("elsewhere");
        let _: redis::Value = evalsha.query_async(&mut connection).await.expect("the script is right");
    };
    Some(applicable(watch_keys(&server, workload).await)?.1)
}

#[tokio::test]
async fn keys_that_were_declared_are_no_matter() {
    let script = "redis.call('SET', KEYS[1], 'elsewhere') redis.call('TIME')
        return redis.call('MGET', KEYS[2], KEYS[1])";
    let Some(report) = report(script).await else { return };
    assert_eq!((report.scripts, report.commands, report.count), (2, 6, 0), "{report:?}");
}

#[tokio::test]
async fn a_key_that_was_not_declared_is_named_with_its_script() {
    let script =
        "-- COMMIT\nredis.call('SET', KEYS[1], 1) redis.call('xadd', ARGV[1] .. ':log', '*', 'k', 'v')
        return redis.call('MGET', KEYS[1], 'third')";
    let Some(report) = report(script).await else { return };
    assert_eq!((report.scripts, report.commands, report.count), (2, 6, 4), "{report:?}");
    let found = report.undeclared.iter().map(|it| format!("{} {}", it.command, it.key));
    assert_eq!(found.collect::<Vec<_>>()[..2], ["MGET third", "XADD elsewhere:log"]);
    assert!(report.undeclared.iter().any(|it| it.script == "-- COMMIT"));
}
