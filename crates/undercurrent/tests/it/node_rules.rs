//! Nodes on one real server go by the same rules.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tempfile::TempDir;
use undercurrent::cache::{LoadError, PutOptions, ReadError};
use undercurrent::event_stream::{ContextError, ContextReason, PublishError};
use undercurrent::rules::RuleSet;
use undercurrent::store::dragonfly::SharedStoreOptions;
use undercurrent::{Config, Event, EventStream, Key, OpenError, apply_rules};
use undercurrent_servers::{Server, Setup};

/// What nodes of one server are opened with, each with a data directory of its own.
struct Site {
    server: Server,
    data: TempDir,
    nodes: AtomicU32,
}

impl Site {
    async fn start() -> Self {
        let server = Server::start(Setup::standalone()).await.unwrap();
        Self { server, data: tempfile::tempdir().unwrap(), nodes: AtomicU32::new(0) }
    }

    fn config(&self, rules: &RuleSet) -> Config {
        let node = self.nodes.fetch_add(1, Ordering::Relaxed).to_string();
        Config {
            data: Some(self.data.path().join(node)),
            rules: rules.clone(),
            shared: Some(SharedStoreOptions::new(self.server.url().parse().unwrap())),
            ..Config::default()
        }
    }

    async fn open(&self, rules: &RuleSet) -> EventStream {
        EventStream::open(self.config(rules)).await.unwrap()
    }

    async fn apply(&self, rules: &RuleSet) {
        assert_eq!(apply_rules(self.config(rules)).await.unwrap(), rules.version());
    }
}

/// Returns the shipped rules, and for each of these names one more: an event `observation.<name>` makes `tag:<name>` stale.
fn with(names: &[&str]) -> RuleSet {
    let rule = |name: &&str| {
        format!("[[rule]]\nname = '{name}'\ntypes = ['observation.{name}']\nstale = ['tag:{name}']\n")
    };
    RuleSet::from_toml(&names.iter().map(rule).collect::<String>(), "rules.toml").unwrap()
}

async fn observe(node: &EventStream, name: &str) -> Result<(), PublishError> {
    let ty = format!("observation.{name}").parse().unwrap();
    node.publish("s", Event::new(ty, "agent/a".parse().unwrap())).await.map(drop)
}

/// Puts a value that depends on a tag.
async fn put(node: &EventStream, key: &Key, tag: &str) {
    let options = PutOptions { tags: vec![format!("tag:{tag}").parse().unwrap()], ..PutOptions::default() };
    node.put(key, Bytes::from_static(b"v"), options).await.unwrap();
}

async fn is_there(node: &EventStream, key: &Key) -> bool {
    let read = node.get_app_context(key).await;
    let missing = |error: &ContextError| {
        matches!(error.reason(), ContextReason::Read(ReadError::Load(LoadError::Missing { .. })))
    };
    assert!(read.as_ref().err().is_none_or(missing), "{read:?}");
    read.is_ok()
}

#[tokio::test]
async fn a_node_that_runs_goes_by_the_rules_that_another_puts_in_force() {
    let site = Site::start().await;
    let [a, b] = [site.open(&with(&[])).await, site.open(&with(&[])).await];
    let key: Key = "note:k".parse().unwrap();
    put(&a, &key, "mine").await;
    observe(&b, "mine").await.unwrap();
    assert!(is_there(&a, &key).await && is_there(&b, &key).await, "no rule says so yet");

    site.apply(&with(&["mine"])).await;
    observe(&b, "mine").await.unwrap();
    assert!(!is_there(&a, &key).await && !is_there(&b, &key).await);
    assert_eq!(b.status().await.unwrap().rules, with(&["mine"]).version());
    // Once more, where it has them.
    put(&b, &key, "mine").await;
    observe(&b, "mine").await.unwrap();
    assert!(!is_there(&a, &key).await && !is_there(&b, &key).await);
    // And back: nothing that its configuration names is missing.
    site.apply(&with(&[])).await;
    put(&b, &key, "mine").await;
    observe(&b, "mine").await.unwrap();
    assert!(is_there(&a, &key).await && is_there(&b, &key).await);
}

#[tokio::test]
async fn rules_without_one_that_a_node_is_configured_with_are_refused_by_name() {
    let site = Site::start().await;
    let shipped = site.open(&with(&[])).await;
    let refused = EventStream::open(site.config(&with(&["mine"]))).await;
    let Err(error @ OpenError::OtherRules { .. }) = refused else { panic!("it was opened") };
    assert!(error.to_string().contains("rule `mine`"), "{error}");
    site.apply(&with(&["mine"])).await;
    let mine = site.open(&with(&["mine"])).await;
    // A node that is configured with none takes what there is.
    assert_eq!(site.open(&with(&[])).await.rules().version(), with(&["mine"]).version());

    site.apply(&with(&["other"])).await;
    observe(&shipped, "other").await.unwrap();
    for _ in 0..2 {
        let refused = observe(&mine, "mine").await.unwrap_err();
        assert!(matches!(refused, PublishError::OtherRules(_)), "{refused}");
        assert!(refused.to_string().contains("rule `mine`"), "{refused}");
    }
    let key: Key = "note:k".parse().unwrap();
    put(&shipped, &key, "other").await;
    mine.invalidate(vec!["tag:other".parse().unwrap()]).await.unwrap();
    assert!(!is_there(&shipped, &key).await, "what is stale may be said under any rules");

    site.apply(&with(&["other", "mine"])).await;
    put(&shipped, &key, "other").await;
    observe(&mine, "other").await.unwrap();
    assert!(!is_there(&shipped, &key).await, "it goes on with what it was not started with");
}

#[tokio::test]
async fn a_server_that_forgot_the_rules_is_told_those_that_were_in_force() {
    let site = Site::start().await;
    let [a, b] = [site.open(&with(&[])).await, site.open(&with(&[])).await];
    site.apply(&with(&["mine"])).await;
    observe(&a, "mine").await.unwrap();
    let snapshot = site.server.snapshot().await.unwrap();
    site.apply(&with(&["mine", "more"])).await;
    observe(&a, "more").await.unwrap();

    // An older state of the server has older rules, and they are in force then.
    site.server.restart_from(&snapshot).await.unwrap();
    while let Err(error) = observe(&a, "more").await {
        assert!(error.body().retryable, "{error}");
        tokio::task::yield_now().await;
    }
    assert_eq!(a.rules().version(), with(&["mine"]).version());

    site.server.flush_all().await.unwrap();
    let key: Key = "note:k".parse().unwrap();
    observe(&a, "mine").await.unwrap();
    put(&a, &key, "mine").await;
    observe(&b, "mine").await.unwrap();
    assert!(!is_there(&a, &key).await);
    assert_eq!(b.installed_rules().await.unwrap(), Some(with(&["mine"]).version()));
}

#[tokio::test]
async fn a_row_of_rules_that_says_only_their_version_is_taken_by_those_who_have_them() {
    let site = Site::start().await;
    let mine = with(&["mine"]);
    site.apply(&mine).await;
    let row: String = site.server.command(&["HGET", "{uc:default}:table:rules", "current"]).await.unwrap();
    let revision = row.split(' ').next().unwrap();
    let old = format!("{revision} {{\"version\":\"{}\"}}", mine.version());
    let () = site.server.command(&["HSET", "{uc:default}:table:rules", "current", &old]).await.unwrap();
    observe(&site.open(&mine).await, "mine").await.unwrap();
    let refused = EventStream::open(site.config(&with(&[]))).await.err();
    assert!(matches!(refused, Some(OpenError::OtherRules { .. })), "{refused:?}");
    // Applied once more they are there for all.
    site.apply(&mine).await;
    observe(&site.open(&with(&[])).await, "mine").await.unwrap();
}
