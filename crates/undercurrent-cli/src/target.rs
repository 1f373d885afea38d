//! Which daemon a command talks to.

use undercurrent_client::Client;

use crate::args::Global;
use crate::daemons;
use crate::failure::Failure;

/// Where a daemon listens that was told nothing.
const DEFAULT: &str = "http://127.0.0.1:7433";

/// Returns a client of the daemon that was named, or serves the current directory, or listens on the default port.
pub(crate) async fn client(global: &Global) -> Result<Client, Failure> {
    let url = match &global.url {
        Some(url) => url.clone(),
        None => serving_here(global).await.unwrap_or_else(|| DEFAULT.to_owned()),
    };
    let mut client = Client::new(&url)?;
    if let Some(namespace) = &global.namespace {
        client = client.with_namespace(namespace)?;
    }
    match std::env::var("UNDERCURRENT_TOKEN") {
        Ok(token) if !token.is_empty() => Ok(client.with_token(&token)?),
        _ => Ok(client),
    }
}

async fn serving_here(global: &Global) -> Option<String> {
    let here = std::env::current_dir().ok()?;
    let daemon = daemons::serving(&daemons::dir()?, &here, global.namespace.as_deref()).await?;
    Some(daemon.url)
}
