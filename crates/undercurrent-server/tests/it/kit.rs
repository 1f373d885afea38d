//! A daemon in this process, and how to ask it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use undercurrent::EventStream;
use undercurrent_server::{Config, ServeError, Server};
use undercurrent_types::ErrorBody;

/// The longest that any condition is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Daemon {
    pub(crate) url: String,
    pub(crate) root: PathBuf,
    pub(crate) engine: EventStream,
    http: reqwest::Client,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
    dirs: Dirs,
}

/// The directories of a daemon, which outlive it.
pub(crate) struct Dirs {
    root: TempDir,
    data: TempDir,
}

impl Dirs {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), data: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn config(&self) -> Config {
        let engine = undercurrent::Config {
            data: Some(self.data.path().to_owned()),
            roots: vec![self.root.path().to_owned()],
            ..undercurrent::Config::default()
        };
        Config { engine, listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() }
    }
}

impl Daemon {
    pub(crate) async fn start() -> Self {
        Self::start_with(Dirs::new(), |_| {}).await
    }

    pub(crate) async fn start_with(dirs: Dirs, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = dirs.config();
        configure(&mut config);
        let server = Server::bind(config).await.unwrap();
        let url = format!("http://{}", server.address());
        let shutdown = CancellationToken::new();
        let opened = server.opened();
        let serving = tokio::spawn(server.serve(shutdown.clone()));
        let engine = in_time(opened).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let root = dirs.root.path().canonicalize().unwrap();
        Self { url, root, engine, http, shutdown, serving, dirs }
    }

    /// Begins the end, as a signal does.
    pub(crate) fn begin_end(&self) {
        self.shutdown.cancel();
    }

    /// Ends the daemon, and returns what the next one may begin with.
    pub(crate) async fn end(self) -> Dirs {
        self.shutdown.cancel();
        in_time(self.serving).await.unwrap().unwrap();
        self.dirs
    }

    pub(crate) fn write(&self, relative: &str, bytes: &[u8]) -> String {
        let path = self.root.join(relative);
        std::fs::write(&path, bytes).unwrap();
        key_of(&path)
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method: Method = method.parse().unwrap();
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request("GET", path)
    }

    /// Asks about a key.
    pub(crate) fn context(&self, method: &str, key: &str) -> RequestBuilder {
        self.request(method, "/v1/context").query(&[("key", key)])
    }

    pub(crate) fn post_event(&self, stream: &str, event: &Value) -> RequestBuilder {
        let request = self.request("POST", &format!("/v1/events/{stream}"));
        request.header(CONTENT_TYPE, "application/cloudevents+json").body(event.to_string())
    }

    /// Publishes messages with these ids, and returns their cursors.
    pub(crate) async fn publish(&self, stream: &str, ids: &[&str]) -> Vec<String> {
        let mut cursors = Vec::new();
        for id in ids {
            let ack = json_of(self.post_event(stream, &message(id))).await;
            cursors.push(ack["cursor"].as_str().unwrap().to_owned());
        }
        cursors
    }

    /// Says whether nobody has published anything, but for what the watched root itself says.
    pub(crate) async fn has_no_events(&self) -> bool {
        self.engine.streams().await.unwrap().iter().all(|one| one.stream.as_str().starts_with("local/"))
    }

    /// Sends bytes as they are and returns all that comes back.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        in_time(socket.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

pub(crate) fn message(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "agent/7", "type": "message", "data": {"text": id}})
}

pub(crate) fn key_of(path: &Path) -> String {
    undercurrent::Key::file(path).unwrap().to_string()
}

/// Fails when a condition does not come true.
pub(crate) async fn in_time<T>(condition: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, condition).await.expect("it happens in time")
}

pub(crate) async fn send(request: RequestBuilder) -> Response {
    in_time(request.send()).await.unwrap()
}

/// Returns the JSON of an answer that is no error.
pub(crate) async fn json_of(request: RequestBuilder) -> Value {
    let response = send(request).await;
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Returns status and body of an answer that is an error.
pub(crate) async fn refused(request: RequestBuilder) -> (u16, ErrorBody) {
    let response = send(request).await;
    let status = response.status().as_u16();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {status} `{text}`"));
    (status, body)
}

pub(crate) fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name).unwrap_or_else(|| panic!("`{name}` is missing"));
    value.to_str().unwrap().to_owned()
}

/// The frames of a subscription, as text, one by one.
pub(crate) struct Frames {
    response: Response,
    text: String,
}

impl Frames {
    pub(crate) async fn open(request: RequestBuilder) -> Self {
        let response = send(request.header("accept", "text/event-stream")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-type"), "text/event-stream");
        Self { response, text: String::new() }
    }

    /// Waits for the next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let frame = Frame::parse(frame);
                self.text = rest.to_owned();
                return Some(frame);
            }
            let chunk = in_time(self.response.chunk()).await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Waits for a frame with a name, and returns the ids of the events before it.
    pub(crate) async fn until(&mut self, name: &str) -> (Vec<String>, Frame) {
        let mut ids = Vec::new();
        loop {
            let frame = self.next().await.expect("the subscription goes on");
            if frame.name == name {
                return (ids, frame);
            }
            if frame.name == "comment" {
                continue;
            }
            ids.push(frame.data["id"].as_str().unwrap().to_owned());
        }
    }
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Frame {
    fn parse(text: &str) -> Self {
        let mut frame = Self { id: String::new(), name: String::new(), data: Value::Null };
        for line in text.lines() {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("id", id) => frame.id = id.to_owned(),
                ("event", name) => frame.name = name.to_owned(),
                ("data", data) => frame.data = serde_json::from_str(data).unwrap(),
                (":", "") => frame.name = "comment".to_owned(),
                other => panic!("what is {other:?}?"),
            }
        }
        frame
    }
}
