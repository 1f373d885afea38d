//! What the proxy does, as an ordinary client before a real server sees it.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use undercurrent_servers::Direction::{ToClient, ToServer};
use undercurrent_servers::{Link, Point, Proxy, Server, Setup, applicable};

use crate::eventually;

/// Returns a server and a proxy before it, or nothing where there is no server to start.
async fn behind_proxy() -> Option<(Server, Proxy)> {
    let server = applicable(Server::start(Setup::standalone()).await)?;
    let proxy = Proxy::start(server.port()).await.expect("there is a port");
    Some((server, proxy))
}

/// Opens a connection that waits for its answers as long as it takes.
async fn connect(proxy: &Proxy) -> RedisResult<MultiplexedConnection> {
    let client = Client::open(format!("redis://127.0.0.1:{}", proxy.port()))?;
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Begins a command and does not wait for its answer.
fn begin(connection: &MultiplexedConnection, words: &[&str]) -> JoinHandle<RedisResult<Option<String>>> {
    let mut connection = connection.clone();
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    tokio::spawn(async move { command.query_async(&mut connection).await })
}

#[tokio::test]
async fn what_is_held_has_not_happened_and_happens_when_it_is_released() {
    let Some((server, proxy)) = behind_proxy().await else { return };
    let connection = connect(&proxy).await.unwrap();
    proxy.hold(ToServer);
    let set = begin(&connection, &["SET", "a", "1"]);
    proxy.waits(ToServer).await.unwrap();
    assert_eq!(server.command::<Option<String>>(&["GET", "a"]).await.unwrap(), None);
    assert!(!set.is_finished());
    proxy.release(ToServer);
    set.await.unwrap().unwrap();
    assert_eq!(server.command::<Option<String>>(&["GET", "a"]).await.unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_held_answer_belongs_to_a_command_that_was_carried_out() {
    let Some((server, proxy)) = behind_proxy().await else { return };
    let connection = connect(&proxy).await.unwrap();
    proxy.hold(ToClient);
    let set = begin(&connection, &["SET", "a", "1"]);
    proxy.waits(ToClient).await.unwrap();
    assert_eq!(server.command::<Option<String>>(&["GET", "a"]).await.unwrap().as_deref(), Some("1"));
    assert!(!set.is_finished());
    // The answer is lost with the connection: the client does not learn that it was carried out.
    proxy.cut();
    set.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_request_on_a_held_connection_is_overtaken_by_those_of_another() {
    let Some((server, proxy)) = behind_proxy().await else { return };
    let (slow, fast) = (connect(&proxy).await.unwrap(), connect(&proxy).await.unwrap());
    let [slow_link, fast_link] = &proxy.links()[..] else { panic!("there are two connections") };
    assert!(slow_link.number() < fast_link.number());
    slow_link.hold(ToServer);
    let first = begin(&slow, &["RPUSH", "order", "first"]);
    slow_link.waits(ToServer).await.unwrap();
    begin(&fast, &["RPUSH", "order", "second"]).await.unwrap().unwrap();
    assert!(!first.is_finished());
    slow_link.release(ToServer);
    first.await.unwrap().unwrap();
    let order: Vec<String> = server.command(&["LRANGE", "order", "0", "-1"]).await.unwrap();
    assert_eq!(order, ["second", "first"]);
}

#[tokio::test]
async fn a_cut_ends_every_connection_and_a_new_one_is_welcome() {
    let Some((_server, proxy)) = behind_proxy().await else { return };
    let before = connect(&proxy).await.unwrap();
    let link = proxy.links().remove(0);
    proxy.cut();
    link.ended().await.unwrap();
    assert_eq!(link.passed(ToServer), None);
    begin(&before, &["PING"]).await.unwrap().unwrap_err();
    let after = connect(&proxy).await.unwrap();
    begin(&after, &["PING"]).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_is_reset_and_not_closed_by_a_cut() {
    let Some((_server, proxy)) = behind_proxy().await else { return };
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    eventually("the proxy has it", async || !proxy.links().is_empty()).await;
    proxy.cut();
    let error = client.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_half_open_connection_stays_and_says_nothing() {
    let Some((server, proxy)) = behind_proxy().await else { return };
    let connection = connect(&proxy).await.unwrap();
    let link = proxy.links().remove(0);
    proxy.swallow(ToServer);
    let lost = begin(&connection, &["SET", "a", "1"]);
    // What comes after it is swallowed too, and new connections get no answer either.
    let client = Client::open(format!("redis://127.0.0.1:{}", proxy.port())).unwrap();
    let impatient = AsyncConnectionConfig::new().set_connection_timeout(Some(Duration::from_millis(50)));
    assert!(client.get_multiplexed_async_connection_with_config(&impatient).await.is_err());
    assert!(!lost.is_finished() && link.client().is_some());
    assert_eq!(server.command::<Option<String>>(&["GET", "a"]).await.unwrap(), None);
    // Not even a client that goes away is noticed on the other side, whether it closes or resets.
    lost.abort();
    drop(connection);
    assert!(lost.await.unwrap_err().is_cancelled());
    link.closed(ToServer).await.unwrap();
    let resets = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let number = |link: &Link| link.number();
    eventually("the proxy has it", async || proxy.links().iter().map(number).max() > Some(link.number() + 1))
        .await;
    let reset = proxy.links().pop().unwrap();
    resets.set_zero_linger().unwrap();
    drop(resets);
    reset.closed(ToServer).await.unwrap();
    let clients = server.command::<String>(&["CLIENT", "LIST", "TYPE", "normal"]).await.unwrap();
    assert!(clients.lines().count() >= 3, "{clients}");
    assert!(link.client().is_some() && reset.client().is_some());
    reset.cut();
    link.cut();
    link.ended().await.unwrap();
}

#[tokio::test]
async fn a_proxy_refuses_new_connections_and_keeps_those_that_are_there() {
    let Some((_server, proxy)) = behind_proxy().await else { return };
    let connection = connect(&proxy).await.unwrap();
    for _ in 0..2 {
        proxy.refuse().await.unwrap();
        let error = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        begin(&connection, &["PING"]).await.unwrap().unwrap();
        proxy.accept().await.unwrap();
        connect(&proxy).await.unwrap();
    }
}

#[tokio::test]
async fn a_delay_is_waited_out_and_orders_nothing_anew() {
    let Some((_server, proxy)) = behind_proxy().await else { return };
    let connection = connect(&proxy).await.unwrap();
    let delay = Duration::from_millis(40);
    proxy.delay(ToServer, delay);
    proxy.delay(ToClient, delay);
    let began = Instant::now();
    let answers: Vec<_> = (0..20).map(|_| begin(&connection, &["INCR", "a"])).collect();
    let mut seen = Vec::new();
    for answer in answers {
        seen.push(answer.await.unwrap().unwrap().unwrap().parse::<u32>().unwrap());
    }
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
    assert!(began.elapsed() >= 2 * delay);
    proxy.delay(ToServer, Duration::ZERO);
    proxy.delay(ToClient, Duration::ZERO);
}

#[tokio::test]
async fn a_snare_holds_the_first_connection_that_asks_for_something() {
    let Some((server, proxy)) = behind_proxy().await else { return };
    let snare = proxy.snare(ToServer, Point::Before(b"INCR".to_vec()));
    let (one, other) = (connect(&proxy).await.unwrap(), connect(&proxy).await.unwrap());
    begin(&one, &["PING"]).await.unwrap().unwrap();
    let asked = begin(&other, &["INCR", "a"]);
    let link = snare.caught().await.unwrap();
    assert_eq!(link.number(), proxy.links()[1].number());
    // Only the first is caught.
    begin(&one, &["INCR", "a"]).await.unwrap().unwrap();
    assert!(!asked.is_finished());
    assert_eq!(server.command::<String>(&["GET", "a"]).await.unwrap(), "1");
    link.release(ToServer);
    assert_eq!(asked.await.unwrap().unwrap().as_deref(), Some("2"));
}

#[tokio::test]
async fn an_answer_is_held_after_a_pattern_or_a_number_of_bytes() {
    let Some((server, proxy)) = behind_proxy().await else { return };
    let () = server.command(&["SET", "a", "0123456789"]).await.unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    eventually("the proxy has it", async || !proxy.links().is_empty()).await;
    let link = proxy.links().remove(0);
    let after_pattern = link.snare(ToClient, Point::After(b"012".to_vec()));
    client.write_all(b"GET a\r\n").await.unwrap();
    after_pattern.caught().await.unwrap();
    assert_eq!(read(&mut client, 8).await, "$10\r\n012");
    link.waits(ToClient).await.unwrap();

    let after_bytes = link.snare(ToClient, Point::AfterBytes(3));
    link.release(ToClient);
    after_bytes.caught().await.unwrap();
    assert_eq!(read(&mut client, 3).await, "345");
    assert_eq!(link.passed(ToClient), Some(11));
    // The rest goes down with the server: a torn answer.
    server.kill();
    link.cut();
    client.read_exact(&mut [0]).await.unwrap_err();
}

#[tokio::test]
async fn more_than_a_proxy_keeps_waits_at_the_sender_and_arrives_complete() {
    let Some((server, proxy)) = behind_proxy().await else { return };
    let connection = connect(&proxy).await.unwrap();
    proxy.hold(ToServer);
    let value = "v".repeat(16 << 20);
    let set = begin(&connection, &["SET", "a", &value]);
    proxy.waits(ToServer).await.unwrap();
    assert_eq!(server.command::<Option<String>>(&["GET", "a"]).await.unwrap(), None);
    proxy.release(ToServer);
    set.await.unwrap().unwrap();
    assert_eq!(server.command::<usize>(&["STRLEN", "a"]).await.unwrap(), value.len());
}

#[tokio::test]
async fn a_server_that_dies_is_seen_through_the_proxy_and_another_takes_its_place() {
    let Some((server, proxy)) = behind_proxy().await else { return };
    let Some(other) = applicable(Server::start(Setup::standalone()).await) else { return };
    let connection = connect(&proxy).await.unwrap();
    server.kill();
    begin(&connection, &["PING"]).await.unwrap().unwrap_err();
    assert!(connect(&proxy).await.is_err());
    proxy.direct(other.port());
    let () = other.command(&["SET", "who", "other"]).await.unwrap();
    let connection = connect(&proxy).await.unwrap();
    assert_eq!(begin(&connection, &["GET", "who"]).await.unwrap().unwrap().as_deref(), Some("other"));
}

async fn read(client: &mut TcpStream, bytes: usize) -> String {
    let mut text = vec![0; bytes];
    client.read_exact(&mut text).await.expect("it is there");
    String::from_utf8(text).expect("it is text")
}
