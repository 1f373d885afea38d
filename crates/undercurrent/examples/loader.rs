//! A loader of one's own: `users:ID` from a table that stands for any source.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;

use futures_util::future::BoxFuture;
use undercurrent::cache::{Inputs, LoadError, Loaded, Loader};
use undercurrent::{Config, EventStream, Key, Level};

struct Users;

impl Loader for Users {
    fn name(&self) -> &'static str {
        "users"
    }

    fn load<'a>(&'a self, key: &'a Key, _inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        let name = [("1", "Ada"), ("2", "Grace")].iter().find(|(id, _)| *id == key.rest());
        Box::pin(
            async move { Ok(Loaded { value: name.map(|(_, name)| (*name).into()), ..Loaded::default() }) },
        )
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let stream = EventStream::open(Config { data: Some(data.path().into()), ..Config::default() }).await?;
    stream.cache().register("users", Arc::new(Users));

    let first = stream.get_app_context("users:1").await?;
    println!("{:?}: {}", first.text(), first.why());
    let again = stream.get_app_context("users:1").await?;
    println!("{:?}: {}", again.text(), again.why());
    stream.invalidate(vec!["users:1".parse()?]).await?;
    let later = stream.get_app_context("users:1").level(Level::Fresh).await?;
    println!("{:?}: {}", later.text(), later.why());
    anyhow::ensure!(stream.get_app_context("users:3").await?.value().is_none(), "nobody has this id");
    stream.close().await;
    Ok(())
}
