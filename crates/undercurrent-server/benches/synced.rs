//! From the change of a file to the right answer over HTTP, beside a bare watcher and a bare round trip.
//!
//! Ours: a file is written, then asked for at `synced` over a connection that is kept; the first answer has to be
//! right. The peer: a file is written, a bare inotify watcher sees it, then a bare request goes over the same
//! connection. Both take turns.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]

use std::mem::MaybeUninit;
use std::path::Path;
use std::time::Instant;

use rustix::fs::inotify;
use tokio_util::sync::CancellationToken;
use undercurrent_server::{Config, Server};

fn main() {
    let short = std::env::args().any(|argument| argument == "--short");
    let rounds = if short { 100 } else { 5000 };
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().canonicalize().expect("a directory");
    let (root, bare) = (dir.join("root"), dir.join("bare"));
    std::fs::create_dir(&root).expect("a directory");
    std::fs::create_dir(&bare).expect("a directory");

    let daemon = tokio::runtime::Runtime::new().expect("a runtime");
    let engine = undercurrent::Config {
        data: Some(dir.join("data")),
        roots: vec![root.clone()],
        ..undercurrent::Config::default()
    };
    let config = Config { engine, listen: "127.0.0.1:0".parse().expect("an address"), ..Config::default() };
    let server = daemon.block_on(Server::bind(config)).expect("a listener");
    let url = format!("http://{}", server.address());
    let shutdown = CancellationToken::new();
    let opened = server.opened();
    let serving = daemon.spawn(server.serve(shutdown.clone()));
    daemon.block_on(opened);

    let client = Client::new(&url);
    let watcher = Watcher::new(&bare);
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for round in 0..rounds + rounds / 10 {
        let text = format!("{round:08}");
        let our = client.changed_and_read(&root.join("file"), &text);
        let peer = watcher.changed_and_seen(&bare.join("file"), &text, &client);
        // The first tenth warms up.
        if round >= rounds / 10 {
            ours.push(our);
            peers.push(peer);
        }
    }
    shutdown.cancel();
    daemon.block_on(serving).expect("it ends").expect("it ends well");

    println!("| work | ours | peer | ratio | goal |");
    println!("|---|---|---|---|---|");
    for (name, of) in [("p50", 50), ("p99", 99)] {
        let (our, peer) = (percentile(&mut ours, of), percentile(&mut peers, of));
        println!(
            "| change of a file → `get file:` right at `synced` over HTTP, {name} | {our:.0} µs | {peer:.0} µs, bare \
             inotify and a bare request | {:.2} | ≤ 2 |",
            our / peer
        );
    }
}

fn percentile(times: &mut [f64], of: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() - 1) * of / 100]
}

/// One client with one connection that is kept.
struct Client {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    url: String,
}

impl Client {
    fn new(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { runtime, http, url: url.to_owned() }
    }

    fn get(&self, path: &str) -> String {
        self.runtime.block_on(async {
            let request = self.http.get(format!("{}{path}", self.url)).header("prefer", "freshness=synced");
            let answer = request.send().await.expect("an answer");
            answer.text().await.expect("its body")
        })
    }

    /// Returns the microseconds from before the write to the answer.
    fn changed_and_read(&self, file: &Path, text: &str) -> f64 {
        let path = format!("/v1/context?key=file:{}", file.display());
        let start = Instant::now();
        std::fs::write(file, text).expect("a file");
        let answer = self.get(&path);
        let time = start.elapsed();
        assert_eq!(answer, text, "the first answer after the change");
        time.as_secs_f64() * 1e6
    }
}

/// A bare inotify watcher of one directory.
struct Watcher(std::os::fd::OwnedFd);

impl Watcher {
    fn new(dir: &Path) -> Self {
        let instance = inotify::init(inotify::CreateFlags::CLOEXEC).expect("an instance");
        inotify::add_watch(&instance, dir, inotify::WatchFlags::CLOSE_WRITE).expect("a watch");
        Self(instance)
    }

    /// Returns the microseconds from before the write to the end of the request that follows its event.
    fn changed_and_seen(&self, file: &Path, text: &str, client: &Client) -> f64 {
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.0, &mut room);
        let start = Instant::now();
        std::fs::write(file, text).expect("a file");
        events.next().expect("its event");
        client.get("/healthz");
        start.elapsed().as_secs_f64() * 1e6
    }
}
