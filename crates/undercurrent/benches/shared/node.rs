//! Nodes of one namespace, and the raw connections that they are compared with.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use undercurrent::cache::{
    Cache, CacheOptions, Check, Inputs, LoadError, Loaded, Loader, ReadOptions, Validator,
};
use undercurrent::event_stream::{Outgoing, Redactor};
use undercurrent::rules::RuleSet;
use undercurrent::store::Store;
use undercurrent::store::dragonfly::{SharedStore, SharedStoreOptions};
use undercurrent::types::Data;
use undercurrent::{Event, EventStream, Key, Level};
use undercurrent_servers::Server;

/// The value of every key.
pub(crate) const VALUE: [u8; 1024] = [b'x'; 1024];

/// A process' part of a namespace.
pub(crate) struct Node {
    pub(crate) events: EventStream,
    pub(crate) store: Arc<dyn Store>,
}

impl Node {
    /// Opens a node with a connection of its own.
    pub(crate) async fn open(server: &Server, namespace: &str) -> Self {
        let options = SharedStoreOptions::new(server.url().parse().expect("it is a URL"));
        let options = SharedStoreOptions { namespace: namespace.to_owned(), ..options };
        let store: Arc<dyn Store> = Arc::new(SharedStore::open(options).await.expect("a store"));
        Self::over(store)
    }

    /// Puts a node together over a store.
    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        let cache = Cache::new(store.clone(), CacheOptions::default());
        let (rules, redactor) = (RuleSet::shipped(), Redactor::default());
        let events = EventStream::assemble("bench".to_owned(), store.clone(), cache, rules, redactor);
        events.cache().register("x", Arc::new(Constant));
        Self { events, store }
    }

    /// Reads a key at a level.
    pub(crate) async fn read(&self, key: &Key, level: Level) {
        let options = ReadOptions { level: Some(level), ..ReadOptions::default() };
        self.events.get_app_context(key).with(options).await.expect("a value");
    }
}

/// Loads the same value for every key.
struct Constant;

impl Loader for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn default_level(&self) -> Level {
        Level::Fresh
    }

    fn offers(&self, _key: &Key, _level: Level) -> Result<(), String> {
        Ok(())
    }

    fn load<'a>(&'a self, _key: &'a Key, _inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        let value = Some(Bytes::from_static(&VALUE));
        Box::pin(async move { Ok(Loaded { value, ..Loaded::default() }) })
    }

    fn check<'a>(&'a self, _: &'a Key, _: &'a Validator) -> BoxFuture<'a, Result<Check, LoadError>> {
        Box::pin(async { Ok(Check::Unchanged) })
    }
}

/// Returns a key that the nodes can load.
pub(crate) fn key(text: &str) -> Key {
    format!("x:{text}").parse().expect("it is a key")
}

/// Returns a message of 256 bytes of data to a stream. Its id is made here, as for everybody who gives none.
pub(crate) fn message(stream: &str) -> Outgoing {
    let event = Event::new("message".parse().expect("a type"), "agent/7".parse().expect("a source"));
    let data = format!("\"{}\"", "x".repeat(254));
    Outgoing {
        stream: stream.parse().expect("a name"),
        event: event.with_data(Data::from_json(data.as_bytes()).expect("data")),
        durability: None,
        expected_seq: None,
    }
}

/// Opens a raw connection that may wait as long as it likes.
pub(crate) async fn raw(server: &Server) -> MultiplexedConnection {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let made = server.client().get_multiplexed_async_connection_with_config(&config).await;
    made.expect("a connection")
}

/// Returns how many commands the server has run, those inside of scripts and transactions among them, and of each how
/// many.
pub(crate) async fn commands(connection: &mut MultiplexedConnection) -> (u64, Vec<(String, u64)>) {
    let told: String =
        redis::cmd("INFO").arg("commandstats").query_async(connection).await.expect("statistics");
    let calls = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    let all: Vec<(String, u64)> = told.lines().filter_map(calls).collect();
    (all.iter().map(|(_, calls)| calls).sum(), all)
}
