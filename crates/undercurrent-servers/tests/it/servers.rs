//! One server at a time.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, ErrorKind};
use undercurrent_servers::{Certificates, ClientCertificate, Flavour, Server, Setup, applicable};

use crate::gone;

#[tokio::test]
async fn a_server_answers_and_dies_when_it_is_killed() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    assert_eq!(server.command::<String>(&["PING"]).await.unwrap(), "PONG");
    assert_ne!(server.port(), 6379);
    assert!(server.runs());
    server.kill();
    assert!(!server.runs());
    server.command::<String>(&["PING"]).await.unwrap_err();
    server.stop().await.unwrap_err();
}

#[tokio::test]
async fn a_server_keeps_its_port_and_what_it_saved_over_a_kill() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    let (port, pid) = (server.port(), server.pid());
    let () = server.command(&["SET", "a", "old"]).await.unwrap();
    let saved = server.snapshot().await.unwrap();
    let () = server.command(&["SET", "a", "new"]).await.unwrap();

    server.restart().await.unwrap();
    assert_eq!((server.port(), server.pid() == pid), (port, false));
    // What was written after the last save is lost without an append-only file.
    assert_eq!(value(&server).await.as_deref(), Some("old"));

    server.restart_empty().await.unwrap();
    assert_eq!(value(&server).await, None);

    server.restart_from(&saved).await.unwrap();
    assert_eq!(value(&server).await.as_deref(), Some("old"));
    server.flush_all().await.unwrap();
    assert_eq!(value(&server).await, None);
}

#[tokio::test]
async fn a_durable_server_loses_nothing_that_it_acknowledged() {
    let Some(server) = applicable(Server::start(Setup::standalone().durable()).await) else { return };
    let () = server.command(&["SET", "a", "old"]).await.unwrap();
    let kept = server.snapshot().await.unwrap();
    let () = server.command(&["SET", "a", "new"]).await.unwrap();
    server.restart().await.unwrap();
    assert_eq!(value(&server).await.as_deref(), Some("new"));
    server.restart_from(&kept).await.unwrap();
    assert_eq!(value(&server).await.as_deref(), Some("old"));
}

#[tokio::test]
async fn a_stopped_server_holds_its_connections_and_answers_when_it_goes_on() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = server.client().get_multiplexed_async_connection_with_config(&config).await;
    let mut connection = connection.unwrap();
    server.stop().await.unwrap();
    let answer = tokio::spawn(async move { redis::cmd("PING").query_async::<String>(&mut connection).await });
    let impatient = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_millis(50)));
    let other = server.client().get_multiplexed_async_connection_with_config(&impatient).await;
    assert!(other.is_err(), "a stopped server answered");
    assert!(!answer.is_finished());
    server.go_on().unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), "PONG");
}

#[tokio::test]
async fn a_server_listens_on_a_unix_socket_too() {
    let Some(server) = applicable(Server::start(Setup::standalone().unix_socket()).await) else { return };
    let url = format!("unix://{}", server.socket().unwrap().display());
    let connection = Client::open(url).unwrap().get_multiplexed_async_connection().await;
    assert_eq!(redis::cmd("PING").query_async::<String>(&mut connection.unwrap()).await.unwrap(), "PONG");
}

#[tokio::test]
async fn a_password_is_asked_for_and_is_part_of_the_url() {
    let password = "p:@/ssword";
    let Some(server) = applicable(Server::start(Setup::standalone().password(password)).await) else {
        return;
    };
    assert_eq!(ping(&Client::open(server.url()).unwrap()).await, Ok("PONG".to_owned()));
    let without = format!("redis://127.0.0.1:{}", server.port());
    assert!(ping(&Client::open(without).unwrap()).await.unwrap_err().contains("NOAUTH"));
}

#[tokio::test]
async fn a_user_may_do_what_its_rules_say_and_nothing_else() {
    let rules = ["~{uc:*}*", "+@connection", "+get", "+set", "+evalsha", "+script|load"];
    let setup = Setup::standalone().user("node", "secret", &rules);
    let Some(server) = applicable(Server::start(setup).await) else { return };
    let mut connection = server.user_client().get_multiplexed_async_connection().await.unwrap();
    let mut run = async |words: &[&str]| -> String {
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(*word);
        });
        let answer: redis::RedisResult<redis::Value> = command.query_async(&mut connection).await;
        answer.map_or_else(|e| format!("{e:?}"), |value| format!("{value:?}"))
    };
    assert_eq!(run(&["SET", "{uc:default}:a", "1"]).await, "ok");
    assert!(run(&["SET", "elsewhere", "1"]).await.contains("NoPerm"));
    assert!(run(&["FLUSHALL"]).await.contains("NoPerm"));
    let without = format!("redis://127.0.0.1:{}", server.port());
    assert!(ping(&Client::open(without).unwrap()).await.is_err());

    // The kit itself rules the server, and the rules outlive a restart.
    server.flush_all().await.unwrap();
    server.restart().await.unwrap();
    assert_eq!(ping(&server.user_client()).await, Ok("PONG".to_owned()));
}

#[tokio::test]
async fn a_server_with_tls_serves_only_whom_it_knows() {
    let certificates = Arc::new(Certificates::make().unwrap());
    let strangers = Certificates::make().unwrap();
    for clients in [ClientCertificate::Required, ClientCertificate::Optional] {
        let setup = Setup::standalone().tls(&certificates, clients);
        let Some(server) = applicable(Server::start(setup).await) else { continue };
        assert!(server.url().starts_with("rediss://"));
        let with = |tls| ping_with(server.url(), tls);
        assert_eq!(with(certificates.for_client(true)).await, Ok("PONG".to_owned()));
        let without_certificate = with(certificates.for_client(false)).await;
        assert_eq!(
            without_certificate.is_ok(),
            clients == ClientCertificate::Optional,
            "{without_certificate:?}"
        );
        // The server's certificate is not of the authority that this client trusts.
        with(strangers.for_client(true)).await.unwrap_err();
        // The client's certificate is not of the authority that the server trusts.
        let mut mixed = strangers.for_client(true);
        mixed.root_cert = certificates.for_client(true).root_cert;
        with(mixed).await.unwrap_err();
        let plain = format!("redis://127.0.0.1:{}", server.port());
        ping(&Client::open(plain).unwrap()).await.unwrap_err();
    }
}

#[tokio::test]
async fn an_option_is_set_at_the_start_and_while_it_runs() {
    let Some(server) = applicable(Server::start(Setup::standalone().option("maxmemory", "700mb")).await)
    else {
        return;
    };
    assert_eq!(server.info("memory", "maxmemory").await.unwrap().as_deref(), Some("734003200"));
    server.config_set("maxmemory", "800mb").await.unwrap();
    assert_eq!(server.info("memory", "maxmemory").await.unwrap().as_deref(), Some("838860800"));
}

#[tokio::test]
async fn a_server_that_can_not_start_says_why() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    if server.flavour() == Flavour::Dragonfly {
        return;
    }
    let error = Server::start(Setup::standalone().option("hz", "often")).await.unwrap_err().to_string();
    assert!(error.contains("ended by itself") && error.contains("hz"), "{error}");
}

#[tokio::test]
async fn a_server_ends_with_a_test_that_panics() {
    let (pid_tx, pid_rx) = tokio::sync::oneshot::channel();
    let test = tokio::spawn(async move {
        let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
        pid_tx.send(server.pid()).unwrap();
        panic!("on purpose");
    });
    let Ok(pid) = pid_rx.await else { return };
    test.await.unwrap_err();
    gone(pid).await;
}

#[tokio::test]
async fn a_server_ends_with_a_process_that_is_killed() {
    // The parent of these servers is this program once more, running the test below alone.
    let itself = std::env::current_exe().unwrap();
    let words = ["--exact", "servers::holds_a_server", "--ignored", "--nocapture"];
    // What it leaves behind goes with this folder.
    let folder = tempfile::tempdir().unwrap();
    let mut parent = Command::new(itself);
    parent.args(words).env("TMPDIR", folder.path()).stdout(Stdio::piped());
    let mut parent = parent.spawn().unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let pid = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("server ")?.parse().ok());
    parent.kill().unwrap();
    parent.wait().unwrap();
    if let Some(pid) = pid {
        gone(pid).await;
    }
}

#[tokio::test]
#[ignore = "is a process that another test kills"]
async fn holds_a_server() {
    let Some(server) = applicable(Server::start(Setup::standalone()).await) else { return };
    writeln!(std::io::stdout(), "\nserver {}", server.pid()).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_server_outlives_the_thread_that_started_it() {
    let thread = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Server::start(Setup::standalone()))
    });
    let Some(server) = applicable(thread.join().unwrap()) else { return };
    assert_eq!(server.command::<String>(&["PING"]).await.unwrap(), "PONG");
}

async fn value(server: &Server) -> Option<String> {
    server.command(&["GET", "a"]).await.expect("it answers")
}

async fn ping(client: &Client) -> Result<String, String> {
    let mut connection = client.get_multiplexed_async_connection().await.map_err(|e| kind(&e))?;
    redis::cmd("PING").query_async(&mut connection).await.map_err(|e| kind(&e))
}

async fn ping_with(url: String, tls: redis::TlsCertificates) -> Result<String, String> {
    ping(&Client::build_with_tls(url, tls).expect("the certificates can be read")).await
}

fn kind(error: &redis::RedisError) -> String {
    let kind: ErrorKind = error.kind();
    format!("{kind:?}: {error}")
}
