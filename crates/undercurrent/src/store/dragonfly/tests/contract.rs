//! What every store must do, on a server of its own.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use undercurrent_servers::Space;
use undercurrent_types::StreamName;

use super::super::{SharedStore, SharedStoreOptions};
use crate::store::contract::{Subject, contract};
use crate::store::{Retention, Store};

struct OnServer {
    space: Space,
    store: Option<Arc<SharedStore>>,
}

impl OnServer {
    async fn start() -> Self {
        let mut subject = Self { space: Space::open().await.unwrap(), store: None };
        subject.open().await;
        subject
    }

    async fn open(&mut self) {
        let options = SharedStoreOptions::new(self.space.url().parse().unwrap());
        let options = SharedStoreOptions { prefix: self.space.prefix().to_owned(), ..options };
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
