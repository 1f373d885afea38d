//! A hit allocates nothing. In a program of its own, since it counts what the whole process allocates.

use std::sync::Arc;

use bytes::Bytes;
use undercurrent::cache::PutOptions;
use undercurrent::{Config, EventStream, Key, Level};

#[test]
fn a_hit_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { data: Some(dir.path().to_owned()), ..Config::default() };
    let (events, key) = runtime.block_on(async {
        let events = EventStream::open(config).await.unwrap();
        let key: Key = "answer:x".parse().unwrap();
        events.put(&key, Bytes::from_static(b"42"), PutOptions::default()).await.unwrap();
        (Arc::new(events), key)
    });
    for level in [Level::Fresh, Level::Local] {
        let mut answer = None;
        let counted = allocation_counter::measure(|| {
            let read = std::pin::pin!(std::future::IntoFuture::into_future(
                events.get_app_context(&key).level(level)
            ));
            let waker = std::task::Waker::noop();
            answer = Some(std::future::Future::poll(read, &mut std::task::Context::from_waker(waker)));
        });
        let Some(std::task::Poll::Ready(Ok(answer))) = answer else { panic!("a hit is ready at once") };
        assert_eq!(answer.text(), Some("42"));
        assert_eq!(counted.count_total, 0, "at {level}");
    }
}
