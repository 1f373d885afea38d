mod server;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::server::{Server, reply};
use super::*;
use crate::cache::{Cache, CacheOptions, ReadError, ReadOptions};
use crate::store::embedded::{EmbeddedStore, StoreOptions};

fn key(url: &str) -> Key {
    format!("http:{url}").parse().unwrap()
}

fn private(host: &str) -> AllowedHost {
    AllowedHost { host: host.to_owned(), port: None, private: true }
}

fn public(host: &str) -> AllowedHost {
    AllowedHost { private: false, ..private(host) }
}

fn options(allow: &[AllowedHost]) -> HttpOptions {
    HttpOptions { allow: allow.to_vec(), ..HttpOptions::default() }
}

/// A loader that may ask the servers of the tests.
fn loader() -> HttpLoader {
    HttpLoader::new(options(&[private("127.0.0.1")])).unwrap()
}

async fn load(loader: &HttpLoader, url: &str) -> Result<Loaded, LoadError> {
    let key = key(url);
    loader.load(&key, &Inputs::none(&key)).await
}

async fn text(loader: &HttpLoader, url: &str) -> Option<String> {
    let value = load(loader, url).await.unwrap().value?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

async fn denied(loader: &HttpLoader, url: &str) -> String {
    match load(loader, url).await {
        Err(LoadError::Denied { reason, .. }) => reason,
        other => panic!("`{url}` gave {other:?}"),
    }
}

async fn failed(loader: &HttpLoader, url: &str) -> String {
    match load(loader, url).await {
        Err(LoadError::Failed { reason, .. }) => reason,
        other => panic!("`{url}` gave {other:?}"),
    }
}

/// Checks what a load found against the source.
async fn check(loader: &HttpLoader, url: &str, loaded: &Loaded) -> Check {
    loader.check(&key(url), loaded.validator.as_ref().expect("it has a validator")).await.unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_value_is_the_body_and_what_is_gone_is_a_value_too() {
    let server = Server::start(|path| match path {
        "/there?a=b%20c" => reply(200, &[], "body"),
        "/empty" => reply(204, &[], ""),
        "/gone" => reply(410, &[], "gone"),
        "/missing" => reply(404, &[("cache-control", "max-age=5")], "missing"),
        _ => reply(500, &[], "broken"),
    })
    .await;
    let loader = loader();
    assert_eq!(text(&loader, &server.url("/there?a=b%20c#fragment")).await.unwrap(), "body");
    assert_eq!(server.last("accept-encoding").unwrap(), "identity");
    assert!(!server.has_header("if-none-match") && !server.has_header("cookie"));
    assert_eq!(text(&loader, &server.url("/empty")).await.unwrap(), "");
    assert_eq!(load(&loader, &server.url("/gone")).await.unwrap().max_age, Some(seconds(60)));
    let missing = load(&loader, &server.url("/missing")).await.unwrap();
    assert_eq!((missing.value, missing.max_age), (None, Some(seconds(5))));
    let reason = failed(&loader, &server.url("/broken")).await;
    assert!(reason.ends_with("answered with 500 Internal Server Error"), "{reason}");
}

#[tokio::test]
async fn statuses_that_are_no_value_are_errors() {
    let server = Server::start(|path| reply(path[1..].parse().unwrap(), &[], "")).await;
    let loader = loader();
    for status in ["201", "206", "300", "304", "400", "401", "403", "429", "500", "503"] {
        let reason = failed(&loader, &server.url(&format!("/{status}"))).await;
        assert!(reason.contains(&format!("answered with {status}")), "{reason}");
    }
}

#[tokio::test]
async fn a_check_asks_whether_it_is_unchanged() {
    let etag = [("etag", "\"one\""), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
    let server = Server::start(move |_| reply(200, &etag, "one")).await;
    let (loader, url) = (loader(), server.url("/"));
    let loaded = load(&loader, &url).await.unwrap();
    server.answer(|_| reply(304, &[], ""));
    assert_eq!(check(&loader, &url, &loaded).await, Check::Unchanged);
    assert_eq!(server.last("if-none-match").unwrap(), "\"one\"");
    assert!(!server.has_header("if-modified-since"));
    for status in [200, 404, 500] {
        server.answer(move |_| reply(status, &[], ""));
        assert_eq!(check(&loader, &url, &loaded).await, Check::Changed, "{status}");
    }
    assert_eq!(loader.describe(&loaded.validator.unwrap()), format!("ETag \"one\" of {url}"));
}

#[tokio::test]
async fn without_an_etag_the_time_of_the_last_change_is_asked_about() {
    let time = "Sun, 06 Nov 1994 08:49:37 GMT";
    let server = Server::start(move |_| reply(200, &[("last-modified", time)], "one")).await;
    let (loader, url) = (loader(), server.url("/"));
    let loaded = load(&loader, &url).await.unwrap();
    server.answer(|_| reply(304, &[], ""));
    assert_eq!(check(&loader, &url, &loaded).await, Check::Unchanged);
    assert_eq!(server.last("if-modified-since").unwrap(), time);
}

#[tokio::test]
async fn what_is_unchanged_but_may_be_used_for_less_time_is_loaded_again() {
    let server =
        Server::start(|_| reply(200, &[("etag", "\"one\""), ("cache-control", "max-age=60")], "one")).await;
    let (loader, url) = (loader(), server.url("/"));
    let loaded = load(&loader, &url).await.unwrap();
    let cases =
        [("max-age=60", Check::Unchanged), ("max-age=90", Check::Unchanged), ("no-cache", Check::Changed)];
    for (now, expected) in cases {
        server.answer(move |_| reply(304, &[("cache-control", now)], ""));
        assert_eq!(check(&loader, &url, &loaded).await, expected, "{now}");
    }
    server.answer(|_| reply(304, &[], ""));
    assert_eq!(check(&loader, &url, &loaded).await, Check::Unchanged, "it goes by what it said before");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_read_to_its_end() {
    let endless = || futures_util::stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![0; 1 << 16])));
    let server = Server::start(move |path| match path {
        "/endless" => reply(200, &[], Body::from_stream(endless())),
        "/declared" => reply(200, &[("content-length", "1000001")], Body::from_stream(endless())),
        _ => reply(200, &[], vec![0; 1_000_000]),
    })
    .await;
    let small = HttpOptions { size_limit: 1_000_000, ..options(&[private("127.0.0.1")]) };
    let loader = HttpLoader::new(small).unwrap();
    assert_eq!(load(&loader, &server.url("/")).await.unwrap().value.unwrap().len(), 1_000_000);
    let LoadError::TooLarge { actual, limit: 1_000_000, .. } =
        load(&loader, &server.url("/endless")).await.unwrap_err()
    else {
        panic!("it is too large")
    };
    assert!(actual < 2_000_000, "{actual} bytes were read");
    let error = load(&loader, &server.url("/declared")).await.unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { actual: 1_000_001, .. }), "{error:?}");
}

#[tokio::test]
async fn what_takes_too_long_ends_in_time() {
    let server = Server::start(|path| match path {
        "/body" => {
            reply(200, &[], Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>()))
        }
        _ => reply(302, &[("location", "/body")], ""),
    })
    .await;
    let hasty = HttpOptions { timeout: Duration::from_millis(100), ..options(&[private("127.0.0.1")]) };
    let loader = HttpLoader::new(hasty).unwrap();
    for path in ["/body", "/redirected"] {
        let error = load(&loader, &server.url(path)).await.unwrap_err();
        assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_broken_answer_is_an_error() {
    let server = Server::start(|path| match path {
        "/encoded" => reply(200, &[("content-encoding", "gzip")], "x"),
        _ => {
            let broken: [Result<Bytes, _>; 2] =
                [Ok("half".into()), Err(std::io::Error::other("it breaks off"))];
            reply(200, &[], Body::from_stream(futures_util::stream::iter(broken)))
        }
    })
    .await;
    let loader = loader();
    assert!(failed(&loader, &server.url("/encoded")).await.contains("`gzip`"));
    failed(&loader, &server.url("/half")).await;
    let url = server.url("/");
    drop(server);
    let nobody = HttpLoader::new(options(&[private("127.0.0.1")])).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}/", listener.local_addr().unwrap());
    drop((listener, url));
    assert!(failed(&nobody, &closed).await.contains("can not be asked"));
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_allowed() {
    let server = Server::start(|path| match path {
        "/0" => reply(200, &[("cache-control", "max-age=60"), ("etag", "\"end\"")], "end"),
        "/3" => reply(301, &[("location", "2"), ("cache-control", "max-age=9")], ""),
        path => {
            let next: u32 = path[1..].parse::<u32>().unwrap() - 1;
            reply(307, &[("location", &format!("/{next}")), ("cache-control", "max-age=30")], "")
        }
    })
    .await;
    let loader = loader();
    let loaded = load(&loader, &server.url("/5")).await.unwrap();
    assert_eq!(loaded.value.as_deref(), Some(&b"end"[..]));
    assert_eq!(loaded.max_age, Some(seconds(9)), "the shortest of all on the way");
    assert_eq!(server.paths(), ["/5", "/4", "/3", "/2", "/1", "/0"]);
    assert!(failed(&loader, &server.url("/6")).await.contains("more than 5 redirects"));
    assert_eq!(server.count(), 12);
    check(&loader, &server.url("/5"), &loaded).await;
    assert_eq!(server.last("if-none-match").unwrap(), "\"end\"");
    let conditions = server.count();
    server.answer(|path| match path {
        "/elsewhere" => reply(304, &[("cache-control", "max-age=60")], ""),
        _ => reply(302, &[("location", "/elsewhere"), ("cache-control", "max-age=60")], ""),
    });
    let moved = check(&loader, &server.url("/5"), &loaded).await;
    assert_eq!(moved, Check::Changed, "another place's version says nothing");
    assert_eq!(server.last("if-none-match"), None);
    assert_eq!(server.count(), conditions + 2);
}

#[tokio::test]
async fn a_redirect_leads_only_where_it_is_allowed_to() {
    let other = Server::start(|_| reply(200, &[], "secret")).await;
    let port = other.port();
    let server = Server::start(move |path| match path {
        "/host" => reply(302, &[("location", &format!("http://localhost:{port}/"))], ""),
        "/address" => reply(302, &[("location", "http://169.254.169.254/latest/meta-data")], ""),
        "/scheme" => reply(302, &[("location", "file:///etc/passwd")], ""),
        "/user" => reply(302, &[("location", &format!("http://a:b@127.0.0.1:{port}/"))], ""),
        "/port" => reply(302, &[("location", &format!("http://127.0.0.1:{port}/"))], ""),
        "/nowhere" => reply(302, &[("location", "http://[")], ""),
        _ => reply(302, &[], ""),
    })
    .await;
    let only = AllowedHost { port: Some(server.port()), ..private("127.0.0.1") };
    let loader = HttpLoader::new(options(&[only])).unwrap();
    let cases = [
        ("/host", "`localhost`"),
        ("/address", "`169.254.169.254` is not allowed"),
        ("/scheme", "`file` is neither"),
        ("/user", "user or a password"),
        ("/port", &*format!("`127.0.0.1`, port {port}, is not allowed")),
    ];
    for (path, expected) in cases {
        let reason = denied(&loader, &server.url(path)).await;
        assert!(reason.contains(expected), "{path} gave `{reason}`");
    }
    assert!(failed(&loader, &server.url("/nowhere")).await.contains("no URL"));
    assert!(failed(&loader, &server.url("/without")).await.contains("302"));
    assert_eq!(other.count(), 0, "nothing that is denied is asked");
}

#[tokio::test]
async fn only_what_is_named_is_asked() {
    let server = Server::start(|_| reply(200, &[], "secret")).await;
    let port = server.port();
    let nothing = HttpLoader::new(HttpOptions::default()).unwrap();
    let reason = denied(&nothing, &server.url("/")).await;
    assert!(reason.contains("is not allowed; name it in `allow`"), "{reason}");
    let allow = [public("127.0.0.1"), public("localhost"), public("::1"), public("*.localhost")];
    let loader = HttpLoader::new(options(&allow)).unwrap();
    let urls = [
        "http://127.0.0.1",
        "http://127.1",
        "http://0x7f.0.0.1",
        "http://2130706433",
        "http://127.0.0.1.",
        "http://[::1]",
        "http://[::ffff:127.0.0.1]",
        "http://localhost",
        "http://LOCALHOST",
    ];
    for url in urls {
        let reason = denied(&loader, &format!("{url}:{port}/")).await;
        assert!(reason.contains("private = true") || reason.contains("not allowed"), "{url} gave `{reason}`");
    }
    for (url, expected) in [
        ("ftp://127.0.0.1/", "neither"),
        ("not a url", "not a URL"),
        ("http://user@127.0.0.1/", "user or a password"),
        ("http://:password@127.0.0.1/", "user or a password"),
        ("http://elsewhere.example/", "not allowed"),
        ("data:,x", "neither"),
    ] {
        let reason = denied(&loader, url).await;
        assert!(reason.contains(expected), "`{url}` gave `{reason}`");
    }
    assert_eq!(server.count(), 0, "nothing that is denied is asked");
    let named = HttpLoader::new(options(&[private("localhost")])).unwrap();
    assert_eq!(text(&named, &format!("http://localhost:{port}/")).await.unwrap(), "secret");
}

#[tokio::test]
async fn a_connection_to_a_private_address_serves_no_other_rule() {
    let server = Server::start(|_| reply(200, &[], "secret")).await;
    let other = Server::start(|_| reply(200, &[], "secret")).await;
    let named = AllowedHost { port: Some(server.port()), ..private("localhost") };
    let loader = HttpLoader::new(options(&[named, public("localhost")])).unwrap();
    let url = |server: &Server| format!("http://localhost:{}/", server.port());
    assert_eq!(text(&loader, &url(&server)).await.unwrap(), "secret");
    let reason = denied(&loader, &url(&other)).await;
    assert!(reason.contains("private = true"), "{reason}");
    assert_eq!(other.count(), 0);
}

#[test]
fn patterns_cover_what_they_say() {
    let cases = [
        ("api.example.com", "https://api.example.com/", true),
        ("API.example.com", "https://Api.Example.com:8443/", true),
        ("api.example.com", "https://api.example.com.evil.net/", false),
        ("api.example.com", "https://xapi.example.com/", false),
        ("*.example.com", "https://a.b.example.com/", true),
        ("*.example.com", "https://example.com/", false),
        ("*.example.com", "https://evilexample.com/", false),
        ("8.8.8.8", "http://8.8.8.8/", true),
        ("8.8.8.8", "http://0x08080808/", true),
        ("2001:4860:4860::8888", "http://[2001:4860:4860:0::8888]/", true),
        ("[2001:4860:4860::8888]", "http://[2001:4860:4860::8888]/", true),
        ("bücher.example", "https://xn--bcher-kva.example/", true),
    ];
    for (host, url, expected) in cases {
        let gate = Gate::new(&[public(host)]).unwrap();
        assert_eq!(gate.admit(&url.parse().unwrap()).is_ok(), expected, "`{host}` and `{url}`");
    }
    let gate = Gate::new(&[AllowedHost { port: Some(443), ..public("a.example") }]).unwrap();
    assert!(gate.admit(&"https://a.example/".parse().unwrap()).is_ok());
    assert!(gate.admit(&"http://a.example/".parse().unwrap()).is_err());
}

#[test]
fn options_that_can_not_be_used_are_refused() {
    let host = |host: AllowedHost| options(&[host]);
    let cases = [
        (host(public("")), "empty host"),
        (host(public("*")), "before the first dot"),
        (host(public("a.*.example")), "before the first dot"),
        (host(public("*.*.example")), "after `*.`"),
        (host(public("*.127.0.0.1")), "after `*.`"),
        (host(public("https://a.example")), "without a scheme"),
        (host(public("a.example:80")), "without a scheme"),
        (host(private("*.internal")), "named in full"),
        (HttpOptions { timeout: Duration::ZERO, ..options(&[]) }, "`timeout`"),
        (HttpOptions { timeout: seconds(601), ..options(&[]) }, "`timeout`"),
        (HttpOptions { size_limit: 0, ..options(&[]) }, "`size_limit`"),
        (HttpOptions { size_limit: (64 << 20) + 1, ..options(&[]) }, "`size_limit`"),
    ];
    for (options, reason) in cases {
        let error = HttpLoader::new(options.clone()).unwrap_err().to_string();
        assert!(error.contains(reason), "{options:?} gave `{error}`");
    }
}

#[test]
fn options_stand_in_toml() {
    let given = r#"
        allow = [{ host = "api.example.com" }, { host = "127.0.0.1", port = 8080, private = true }]
        timeout = "5s"
        size_limit = 1024
        max_age = "10s"
    "#;
    let expected = HttpOptions {
        allow: vec![public("api.example.com"), AllowedHost { port: Some(8080), ..private("127.0.0.1") }],
        timeout: seconds(5),
        size_limit: 1024,
        max_age: seconds(10),
    };
    assert_eq!(toml::from_str(given), Ok(expected));
    assert_eq!(toml::from_str(""), Ok(HttpOptions::default()));
    assert!(toml::from_str::<HttpOptions>("proxy = \"x\"").is_err());
}

#[test]
fn a_web_server_can_not_be_waited_for() {
    let (loader, key) = (loader(), key("http://127.0.0.1/"));
    assert!(loader.offers(&key, Level::Synced).unwrap_err().contains("can not be waited for"));
    for level in [Level::Local, Level::Fresh, Level::Verified] {
        assert_eq!(loader.offers(&key, level), Ok(()));
    }
}

#[tokio::test]
async fn a_cache_asks_no_oftener_than_the_headers_demand() {
    let server = Server::start(|path| match path {
        "/kept" => reply(200, &[("cache-control", "max-age=3600"), ("etag", "\"1\"")], "kept"),
        _ => reply(200, &[("cache-control", "no-cache"), ("etag", "\"1\"")], "asked"),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(dir.path(), StoreOptions::default()).unwrap());
    let cache = Cache::new(store, CacheOptions::default());
    cache.register("http", Arc::new(loader()));
    let get = async |path: &str, level: Level| -> Result<String, ReadError> {
        let options = ReadOptions { level: Some(level), ..ReadOptions::default() };
        Ok(cache.get(&key(&server.url(path)), options).await?.text().unwrap().to_owned())
    };
    for _ in 0..3 {
        assert_eq!(get("/kept", Level::Fresh).await.unwrap(), "kept");
    }
    assert_eq!(server.count(), 1);
    assert_eq!(get("/asked", Level::Fresh).await.unwrap(), "asked");
    server.answer(|_| reply(304, &[], ""));
    assert_eq!(get("/asked", Level::Fresh).await.unwrap(), "asked");
    assert_eq!(get("/kept", Level::Verified).await.unwrap(), "kept");
    assert_eq!(server.paths(), ["/kept", "/asked", "/asked", "/kept"]);
    assert_eq!(server.last("if-none-match").unwrap(), "\"1\"");
    server.answer(|_| reply(200, &[("etag", "\"2\"")], "changed"));
    assert_eq!(get("/kept", Level::Verified).await.unwrap(), "changed");
    assert!(matches!(get("/kept", Level::Synced).await, Err(ReadError::LevelNotOffered { .. })));
}

/// Answers one connection by TLS, as `localhost`, with the head and body given.
async fn answer_by_tls(answer: &'static str) -> std::net::SocketAddr {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tests/localhost.pem")).unwrap();
    let private = PrivateKeyDer::from_pem_slice(include_bytes!("tests/localhost.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], private)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let Ok(mut connection) = acceptor.accept(connection).await else { continue };
            let mut request = [0; 4096];
            let read = connection.read(&mut request).await.unwrap();
            assert!(request[..read].ends_with(b"\r\n\r\n"));
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection.shutdown().await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn certificates_are_checked() {
    let address = answer_by_tls("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsafe").await;
    let url = format!("https://localhost:{}/", address.port());
    let allow = options(&[private("localhost"), private("127.0.0.2")]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(include_bytes!("tests/localhost.pem")).unwrap()).unwrap();
    let trusting = HttpLoader::with_client(allow.clone(), Client::trusting(roots)).unwrap();
    assert_eq!(text(&trusting, &url).await.unwrap(), "safe");
    let reason = failed(&HttpLoader::new(allow).unwrap(), &url).await;
    assert!(reason.contains("certificate"), "{reason}");
}

#[tokio::test]
async fn no_redirect_leads_out_of_encryption() {
    let address =
        answer_by_tls("HTTP/1.1 302 Found\r\nlocation: http://localhost/\r\ncontent-length: 0\r\n\r\n").await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(include_bytes!("tests/localhost.pem")).unwrap()).unwrap();
    let loader = HttpLoader::with_client(options(&[private("localhost")]), Client::trusting(roots)).unwrap();
    let reason = denied(&loader, &format!("https://localhost:{}/", address.port())).await;
    assert!(reason.contains("not encrypted"), "{reason}");
}
