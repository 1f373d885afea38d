//! What every store must do, on a server of its own.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use undercurrent_servers::{Server, Setup};
use undercurrent_types::StreamName;

use super::super::{SharedStore, SharedStoreOptions};
use crate::store::contract::{Subject, contract};
use crate::store::{Retention, Store};

struct OnServer {
    server: Server,
    store: Option<Arc<SharedStore>>,
}

impl OnServer {
    async fn start() -> Self {
        let server = Server::start(Setup::standalone().durable()).await.unwrap();
        let mut subject = Self { server, store: None };
        subject.open().await;
        subject
    }

    async fn open(&mut self) {
        let options = SharedStoreOptions::new(self.server.url().parse().unwrap());
        self.store = Some(Arc::new(SharedStore::open(options).await.unwrap()));
    }
}

impl Subject for OnServer {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().expect("it is open")
    }

    fn restart(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(store) = self.store.take() {
                store.close().await;
            }
            self.open().await;
        })
    }

    fn retention(&self, _stream: &StreamName) -> Retention {
        super::super::streams::RETENTION
    }
}

contract!(OnServer::start().await);
