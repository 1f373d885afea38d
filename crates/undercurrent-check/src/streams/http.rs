//! A daemon in this process, asked over HTTP as any client asks it.

use std::path::Path;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use undercurrent::types::{ErrorCode, Seq, Start};
use undercurrent::{Durability, StreamName};
use undercurrent_client::{Client, ClientError, Delivery, PublishOptions, Subscription};
use undercurrent_server::{Config, ServeError, Server};

use super::door::{Door, Follow, Gone, Next, cursor, event, id_in, place};
use super::history::{Answer, Id, Place};

pub(crate) struct Http {
    client: Client,
    durability: Durability,
    shutdown: CancellationToken,
    /// Taken by whoever ends it.
    serving: Mutex<Option<JoinHandle<Result<(), ServeError>>>>,
}

impl Http {
    /// Starts a daemon on a directory, at any free port.
    pub(crate) async fn start(dir: &Path, durability: Durability) -> Self {
        let engine = undercurrent::Config { data: Some(dir.to_owned()), ..undercurrent::Config::default() };
        let listen = "127.0.0.1:0".parse().expect("an address");
        let server =
            Server::bind(Config { engine, listen, ..Config::default() }).await.expect("a port is free");
        let client = Client::new(&format!("http://{}", server.address())).expect("an address");
        let (shutdown, opened) = (CancellationToken::new(), server.opened());
        let serving = Mutex::new(Some(tokio::spawn(server.serve(shutdown.clone()))));
        opened.await;
        Self { client, durability, shutdown, serving }
    }

    async fn publish(&self, stream: &StreamName, ids: &[Id], expected: Option<u64>) -> Vec<Answer> {
        let events: Vec<_> = ids.iter().map(|id| event(*id)).collect();
        let (expected_seq, durability) = (expected.map(Seq), Some(self.durability));
        let options = PublishOptions { expected_seq, durability, ..PublishOptions::default() };
        let acks = match &events[..] {
            [one] => self.client.publish(stream, one, options).await.map(|ack| vec![ack]),
            several => self.client.publish_batch(stream, several, options).await,
        };
        let refused = match acks {
            Ok(acks) => {
                let answer = |ack: &undercurrent::types::wire::Ack| {
                    let place = place(ack.cursor.parse().expect("an acknowledgement has a cursor"));
                    if ack.duplicate { Answer::Again(place) } else { Answer::New(place) }
                };
                return acks.iter().map(answer).collect();
            }
            Err(error) if error.body().code == ErrorCode::Conflict => Answer::Elsewhere(None),
            Err(_) => Answer::Unknown,
        };
        vec![refused; ids.len()]
    }

    async fn open(&self, stream: &StreamName, after: Option<Place>) -> Result<Subscription, ClientError> {
        let start = after.map_or(Start::Beginning, |after| Start::After(cursor(after)));
        self.client.subscribe(stream).from(start).open().await
    }

    async fn end(&self) {
        self.shutdown.cancel();
        let serving = self.serving.lock().take();
        if let Some(serving) = serving {
            serving.await.expect("the daemon does not panic").expect("the daemon ends in order");
        }
    }
}

impl Door for Http {
    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        ids: &'a [Id],
        expected: Option<u64>,
    ) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(self.publish(stream, ids, expected))
    }

    /// Follows until it has caught up: so it is a page that ends at the tail.
    fn page<'a>(
        &'a self,
        stream: &'a StreamName,
        after: Option<Place>,
        limit: usize,
    ) -> BoxFuture<'a, Option<(Vec<(Place, Id)>, bool)>> {
        Box::pin(async move {
            let mut followed = self.open(stream, after).await.ok()?;
            let mut page = Vec::new();
            while page.len() < limit {
                match Follow::next(&mut followed).await {
                    Next::Event(place, id) => page.push((place, id)),
                    Next::CaughtUp => return Some((page, true)),
                    Next::Gap | Next::Ended => return None,
                }
            }
            Some((page, false))
        })
    }

    fn tail<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Option<Place>> {
        Box::pin(async move {
            let page = self.page(stream, None, usize::MAX).await?;
            page.0.last().map(|(place, _)| *place)
        })
    }

    fn follow<'a>(
        &'a self,
        stream: &'a StreamName,
        after: Option<Place>,
    ) -> BoxFuture<'a, Option<Box<dyn Follow>>> {
        Box::pin(async move {
            match self.open(stream, after).await {
                Ok(followed) => Some(Box::new(followed) as Box<dyn Follow>),
                Err(error) if error.body().code == ErrorCode::Gone => Some(Box::new(Gone) as Box<dyn Follow>),
                Err(_) => None,
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.end())
    }
}

impl Follow for Subscription {
    fn next(&mut self) -> BoxFuture<'_, Next> {
        Box::pin(async move {
            match Subscription::next(self).await {
                Ok(Delivery::Event(received)) => Next::Event(place(received.cursor), id_in(&received.json)),
                Ok(Delivery::CaughtUp(_)) => Next::CaughtUp,
                Ok(Delivery::Gap(_)) => Next::Gap,
                Ok(_) | Err(_) => Next::Ended,
            }
        })
    }
}
