//! What a test tells a server over a connection.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisResult};

use super::{Server, ruler};
use crate::error::ServerError;
use crate::tls;

/// How long the kit's own commands may take. Tests that stop a server use connections of their own.
const ANSWER: Duration = Duration::from_secs(10);

impl Server {
    /// Returns the password of who may do everything, if one is asked for.
    pub(crate) fn ruler(&self) -> Option<&str> {
        ruler(&self.setup)
    }

    /// Returns a client that may do everything.
    ///
    /// # Panics
    ///
    /// Panics if the certificates were removed.
    pub fn client(&self) -> Client {
        let mut url = self.url();
        if let Some(password) = ruler(&self.setup) {
            let (scheme, place) = (url.split("://").next().unwrap_or_default(), self.port());
            let password = utf8_percent_encode(password, NON_ALPHANUMERIC);
            url = format!("{scheme}://:{password}@127.0.0.1:{place}");
        }
        self.client_for(&url).expect("the kit writes URLs that the client reads")
    }

    /// Returns a client with what a user of the server has: its credentials and, over TLS, its certificate.
    ///
    /// # Panics
    ///
    /// Panics if the certificates were removed.
    pub fn user_client(&self) -> Client {
        self.client_for(&self.url()).expect("the kit writes URLs that the client reads")
    }

    fn client_for(&self, url: &str) -> RedisResult<Client> {
        match &self.setup.tls {
            None => Client::open(url),
            Some((certificates, _)) => {
                tls::install_provider();
                Client::build_with_tls(url, certificates.for_client(true))
            }
        }
    }

    /// Opens a connection that may do everything. A command on it fails after ten seconds without an answer.
    ///
    /// # Errors
    ///
    /// Fails where the server does not take it.
    pub async fn connect(&self) -> Result<MultiplexedConnection, ServerError> {
        let config = AsyncConnectionConfig::new();
        let config = config.set_connection_timeout(Some(ANSWER)).set_response_timeout(Some(ANSWER));
        Ok(self.client().get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// Runs one command on a connection of its own, as `redis-cli` would: `&["CONFIG", "SET", "maxmemory", "3mb"]`.
    ///
    /// # Errors
    ///
    /// Fails with the server's answer, or where there is none.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, ServerError> {
        let mut connection = self.connect().await?;
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        Ok(command.query_async(&mut connection).await?)
    }

    /// Returns a field of a section of `INFO`.
    ///
    /// # Errors
    ///
    /// Fails where the server does not answer.
    pub async fn info(&self, section: &str, field: &str) -> Result<Option<String>, ServerError> {
        let text: String = self.command(&["INFO", section]).await?;
        Ok(field_of(&text, field).map(str::to_owned))
    }

    /// Removes everything (`FLUSHALL`).
    ///
    /// # Errors
    ///
    /// Fails where the server refuses it.
    pub async fn flush_all(&self) -> Result<(), ServerError> {
        self.command(&["FLUSHALL"]).await
    }

    /// Changes an option of the running server (`CONFIG SET`).
    ///
    /// # Errors
    ///
    /// Fails where the server does not have the option or refuses the value.
    pub async fn config_set(&self, name: &str, value: &str) -> Result<(), ServerError> {
        self.command(&["CONFIG", "SET", name, value]).await
    }

    /// Makes it follow the server at a loopback port (`REPLICAOF`), which may be a proxy's. Returns at once.
    ///
    /// # Errors
    ///
    /// Fails where the server refuses it.
    pub async fn replicate(&self, port: u16) -> Result<(), ServerError> {
        self.command(&["REPLICAOF", "127.0.0.1", &port.to_string()]).await
    }

    /// Makes it a primary (`REPLICAOF NO ONE`), with whatever it has by now.
    ///
    /// # Errors
    ///
    /// Fails where the server refuses it.
    pub async fn promote(&self) -> Result<(), ServerError> {
        self.command(&["REPLICAOF", "NO", "ONE"]).await
    }
}

/// Returns the value of a line `field:value`.
pub(crate) fn field_of<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
}
