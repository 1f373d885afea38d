//! A store in this process.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use undercurrent::store::embedded::{EmbeddedStore, StoreOptions};
use undercurrent::store::{Batch, NewEvent, PublishError, Published, ReadStreamError, Store};
use undercurrent::stream::{Delivery, Filter, Start, SubscribeError, Subscription};
use undercurrent::types::Seq;
use undercurrent::{Durability, StreamName};

use super::door::{Door, Follow, Gone, Next, cursor, event, place};
use super::history::{Answer, Id, Place};

pub(crate) struct Local {
    store: Arc<dyn Store>,
    durability: Durability,
}

impl Local {
    /// Opens the store in a directory, with small files, so that there are several.
    pub(crate) fn open(dir: &Path, durability: Durability) -> Self {
        let options = StoreOptions {
            segment_bytes: 64 << 10,
            first_segment_bytes: 16 << 10,
            clean_every: None,
            ..StoreOptions::default()
        };
        let store =
            EmbeddedStore::open(dir, options).unwrap_or_else(|e| panic!("the store is not opened: {e}"));
        Self { store: Arc::new(store), durability }
    }

    async fn publish(&self, stream: &StreamName, ids: &[Id], expected: Option<u64>) -> Vec<Answer> {
        let new = |(i, id): (usize, &Id)| NewEvent {
            stream: stream.clone(),
            event: event(*id),
            durability: self.durability,
            expected_seq: expected.filter(|_| i == 0).map(Seq),
            latest: None,
        };
        let events = ids.iter().enumerate().map(new).collect();
        let published = self.store.publish(Batch { events, ..Batch::default() }).await;
        answers(published, ids.len())
    }
}

fn answers(published: Result<Published, PublishError>, count: usize) -> Vec<Answer> {
    let refused = match published {
        Ok(published) => {
            let answer = |one: &undercurrent::store::PublishedEvent| match one.duplicate {
                true => Answer::Again(place(one.cursor)),
                false => Answer::New(place(one.cursor)),
            };
            return published.events.iter().map(answer).collect();
        }
        Err(PublishError::ExpectedSeq { actual, .. }) => Answer::Elsewhere(Some(actual.0)),
        Err(PublishError::Closed) => Answer::Refused,
        Err(PublishError::Unknown { .. }) => Answer::Unknown,
        Err(other) => panic!("{other}"),
    };
    vec![refused; count]
}

impl Door for Local {
    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        ids: &'a [Id],
        expected: Option<u64>,
    ) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(self.publish(stream, ids, expected))
    }

    fn page<'a>(
        &'a self,
        stream: &'a StreamName,
        after: Option<Place>,
        limit: usize,
    ) -> BoxFuture<'a, Option<(Vec<(Place, Id)>, bool)>> {
        Box::pin(async move {
            let page = self.store.read_stream(stream, after.map(cursor), limit).await.ok()?;
            let id = |text: &str| text.parse().expect("the workload made it");
            let records = page.records.iter().map(|record| (place(record.cursor), id(record.id_text())));
            Some((records.collect(), page.at_tail))
        })
    }

    fn tail<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Option<Place>> {
        Box::pin(async move { Some(place(self.store.tail(stream).await.ok()?)) })
    }

    fn follow<'a>(
        &'a self,
        stream: &'a StreamName,
        after: Option<Place>,
    ) -> BoxFuture<'a, Option<Box<dyn Follow>>> {
        Box::pin(async move {
            let start = after.map_or(Start::Beginning, |after| Start::After(cursor(after)));
            let store = self.store.clone();
            match Subscription::open(store, stream.clone(), start, Filter::default()).await {
                Ok(followed) => Some(Box::new(followed) as Box<dyn Follow>),
                Err(SubscribeError::Read(ReadStreamError::Gone { .. })) => {
                    Some(Box::new(Gone) as Box<dyn Follow>)
                }
                Err(_) => None,
            }
        })
    }

    /// Keeps the thread until it is done: what else happens meanwhile does not depend on how long that takes, so a seed on
    /// one thread fails again.
    fn close(&self) -> BoxFuture<'_, ()> {
        let store = self.store.clone();
        Box::pin(async move {
            let closing = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                runtime.block_on(store.close());
            });
            closing.join().expect("closing does not panic");
        })
    }
}

impl Follow for Subscription {
    fn next(&mut self) -> BoxFuture<'_, Next> {
        Box::pin(async move {
            match Subscription::next(self).await {
                Ok(Delivery::Event(record)) => {
                    let id = record.id_text().parse().expect("the workload made it");
                    Next::Event(place(record.cursor), id)
                }
                Ok(Delivery::CaughtUp(_)) => Next::CaughtUp,
                Ok(Delivery::Gap(_)) => Next::Gap,
                Err(_) => Next::Ended,
            }
        })
    }
}
