//! `export`: events as lines that `import` reads.

use std::path::Path;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;
use undercurrent::store::embedded::StoreOptions;
use undercurrent_client::{Client, Delivery};
use undercurrent_server::{Config, Server};
use undercurrent_types::ErrorCode;

use crate::failure::Failure;
use crate::output;

/// Prints the events of streams that a daemon has.
pub(crate) async fn run(streams: &str, client: &Client) -> Result<ExitCode, Failure> {
    if streams.starts_with('$') {
        return Err(Failure::usage(format!("`{streams}` is a view and no stream: it has nothing to import")));
    }
    let mut subscription = client.subscribe_all(streams).open().await?;
    loop {
        match subscription.next().await? {
            Delivery::Event(received) => output::bytes(&[&received.json, &b"\n"[..]].concat())?,
            Delivery::CaughtUp(_) => return Ok(ExitCode::SUCCESS),
            Delivery::Gap(gap) => {
                let lost = format!("what follows {} went while it was read ({})", gap.after, gap.reason);
                return Err(
                    Failure::new(ErrorCode::Gone, lost).hint("what was printed is incomplete: export again")
                );
            }
            Delivery::Interrupted(error) => {
                return Err(Failure::from(error).hint("what was printed is incomplete: export again"));
            }
            _ => {}
        }
    }
}

/// Prints the events of streams in a data directory that no daemon has open.
pub(crate) async fn offline(streams: &str, data: &Path) -> Result<ExitCode, Failure> {
    if !data.join("log").is_dir() {
        let missing = format!("`{}` is no data directory: it has no `log`", data.display());
        return Err(Failure::new(ErrorCode::NotFound, missing));
    }
    // Nothing is let go for its age while it is looked at.
    let store = StoreOptions { clean_every: None, ..StoreOptions::default() };
    let engine =
        undercurrent::Config { data: Some(data.to_owned()), store, ..undercurrent::Config::default() };
    let listen = "127.0.0.1:0".parse().expect("it is an address of this machine");
    let server = Server::bind(Config { engine, listen, ..Config::default() }).await;
    let server = server.map_err(|error| Failure::from(error.body()))?;
    let client = Client::new(&format!("http://{}", server.address()))?;
    let (opened, shutdown) = (server.opened(), CancellationToken::new());
    let mut serving = tokio::spawn(server.serve(shutdown.clone()));
    let exported = tokio::select! {
        // It ends by itself only when the directory can not be opened.
        ended = &mut serving => return Err(match ended {
            Ok(Err(error)) => Failure::from(error.body()),
            _ => Failure::internal("the data directory was closed"),
        }),
        exported = async {
            opened.await;
            run(streams, &client).await
        } => exported,
    };
    shutdown.cancel();
    // What can not be closed is closed by the next start.
    let _ = serving.await;
    exported
}
