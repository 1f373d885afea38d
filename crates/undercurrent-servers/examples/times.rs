//! Says how long each topology takes to start: `cargo run --package undercurrent-servers --example times`.
#![expect(clippy::print_stdout, reason = "what is printed is what was asked for")]

use std::sync::Arc;
use std::time::Instant;

use undercurrent_servers::{
    Certificates, ClientCertificate, Cluster, Replicated, Sentinels, Server, ServerError, Setup, applicable,
};

#[tokio::main]
async fn main() -> Result<(), ServerError> {
    let certificates = Arc::new(Certificates::make()?);
    let setup = Setup::standalone;
    let rules = ["~{uc:*}*", "+@all"];
    let servers = [
        setup(),
        setup().unix_socket(),
        setup().durable(),
        setup().tls(&certificates, ClientCertificate::Required),
        setup().password("secret"),
        setup().user("node", "secret", &rules),
    ];
    for setup in servers {
        let what = setup.describe();
        time(&what, Server::start(setup)).await;
    }
    time("a primary with two replicas", Replicated::start(setup(), 2)).await;
    time("one Sentinel before a primary and a replica", Sentinels::start(setup(), 1, 1)).await;
    time("three Sentinels before a primary and two replicas", Sentinels::start(setup(), 2, 3)).await;
    time("a cluster of six", Cluster::start(setup())).await;
    Ok(())
}

async fn time<T>(what: &str, starting: impl Future<Output = Result<T, ServerError>>) {
    let began = Instant::now();
    if applicable(starting.await).is_some() {
        println!("{:>8.1} ms  {what}", began.elapsed().as_secs_f64() * 1000.0);
    }
}
