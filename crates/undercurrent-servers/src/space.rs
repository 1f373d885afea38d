//! A place on a server for a test that needs no control of it.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use redis::{Client, Connection, RedisResult};
use uuid::Uuid;

use crate::choice;
use crate::error::ServerError;
use crate::server::Server;
use crate::setup::Setup;

/// How long an existing server may take to answer while it is tidied up.
const ANSWER: Duration = Duration::from_secs(10);

/// A URL and a key prefix of its own: on the server that the environment names, if it names one that runs already, else on
/// one that is started for it.
///
/// When this is dropped, every key that begins with `{<prefix>:` is removed from an existing server.
#[derive(Debug)]
pub struct Space {
    url: String,
    prefix: String,
    server: Option<Server>,
}

impl Space {
    /// Opens a place.
    ///
    /// # Errors
    ///
    /// As [`Server::start`], where a server is started.
    pub async fn open() -> Result<Self, ServerError> {
        match choice::url() {
            Some(url) => Ok(Self::at(&url)),
            None => {
                let server = Server::start(Setup::standalone()).await?;
                let mut space = Self::at("");
                space.server = Some(server);
                Ok(space)
            }
        }
    }

    /// Opens a place on an existing server: `redis://`, `unix://`, `redis+sentinel://…/name` or `redis+cluster://`, the
    /// last two with several addresses, and all but `unix://` with TLS as `rediss…`.
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), prefix: format!("uctest-{}", Uuid::new_v4().simple()), server: None }
    }

    /// Returns the URL to use.
    pub fn url(&self) -> String {
        self.server.as_ref().map_or_else(|| self.url.clone(), Server::url)
    }

    /// Returns what all keys of the test begin with, after a brace.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the server, where it is the kit's and may be disturbed.
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if self.server.is_some() {
            return;
        }
        // Blocks for as long as it takes: after a test nothing else is to be done.
        if let Err(error) = tidy(&self.url, &format!("{{{}:*", self.prefix)) {
            let text = format!("\nkeys `{{{}:…` may be left on the server: {error}\n", self.prefix);
            // A closed standard error has nobody to tell.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}

/// Removes the keys of a pattern wherever they lie.
fn tidy(url: &str, pattern: &str) -> RedisResult<()> {
    for place in primaries(url)? {
        let mut connection = connect(&place)?;
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1000);
            let (next, keys): (u64, Vec<Vec<u8>>) = scan.query(&mut connection)?;
            // One by one: on a cluster they lie in many slots.
            for key in keys {
                let () = redis::cmd("UNLINK").arg(key).query(&mut connection)?;
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// Returns plain URLs of all servers that may hold keys.
fn primaries(url: &str) -> RedisResult<BTreeSet<String>> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => (format!("{credentials}@"), rest),
        None => (String::new(), rest),
    };
    let (hosts, name) = rest.split_once('/').unwrap_or((rest, ""));
    let (scheme, way) = scheme.split_once('+').unwrap_or((scheme, ""));
    match way {
        "sentinel" => {
            let ask = |host: &str| -> RedisResult<(String, u16)> {
                let mut sentinel = connect(&format!("{scheme}://{host}"))?;
                redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name).query(&mut sentinel)
            };
            let (host, port) = first(hosts, ask)?;
            Ok(BTreeSet::from([format!("{scheme}://{credentials}{host}:{port}")]))
        }
        "cluster" => {
            let ask = |host: &str| -> RedisResult<String> {
                let mut node = connect(&format!("{scheme}://{credentials}{host}"))?;
                redis::cmd("CLUSTER").arg("NODES").query(&mut node)
            };
            // `<id> <host>:<port>@<bus>,<name> <flags> …`
            let nodes = first(hosts, ask)?;
            let primary = |line: &str| {
                let mut words = line.split(' ').skip(1);
                let (place, flags) = (words.next()?.split('@').next()?.to_owned(), words.next()?);
                let holds = flags.contains("master") && !flags.contains("fail");
                holds.then(|| format!("{scheme}://{credentials}{place}"))
            };
            Ok(nodes.lines().filter_map(primary).collect())
        }
        _ => Ok(BTreeSet::from([url.to_owned()])),
    }
}

/// Returns the first answer of several hosts, or why the last gave none.
fn first<T>(hosts: &str, ask: impl Fn(&str) -> RedisResult<T>) -> RedisResult<T> {
    let (rest, last) = hosts.rsplit_once(',').unwrap_or(("", hosts));
    let known = rest.split(',').filter(|host| !host.is_empty()).find_map(|host| ask(host).ok());
    known.map_or_else(|| ask(last), Ok)
}

fn connect(url: &str) -> RedisResult<Connection> {
    crate::tls::install_provider();
    let connection = Client::open(url)?.get_connection_with_timeout(ANSWER)?;
    connection.set_read_timeout(Some(ANSWER))?;
    Ok(connection)
}
