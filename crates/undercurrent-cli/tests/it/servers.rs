//! Servers of a store as an operator meets them: a replica, TLS, a password that nobody may be shown.

use std::sync::Arc;

use undercurrent_servers::{Certificates, ClientCertificate, Replicated, Setup, applicable};

use crate::kit::{Ran, Running, User, text};
use crate::nodes::{start, wait};

/// What an address can not hold as it is.
const PASSWORD: &str = "hunter2@OfTheStore";
const ENCODED: &str = "hunter2%40OfTheStore";
/// The part of it that is the same however it is written.
const TOLD: &str = "hunter2";

#[test]
fn doctor_says_of_a_replica_that_it_is_one_and_of_whom() {
    let Some(group) = applicable(wait(Replicated::start(Setup::standalone(), 1))) else { return };
    let user = User::new();
    let primary = user.run(&["doctor", "--store", &group.primary.url()]);
    assert_eq!(primary.code, 0, "{primary:?}");
    assert!(primary.out.contains("1 replicas"), "{primary:?}");
    let replica = user.run(&["doctor", "--store", &group.replicas[0].url(), "--json"]);
    assert_eq!(replica.code, 1, "{replica:?}");
    assert!(replica.err.contains("is a replica"), "{replica:?}");
    let found: serde_json::Value = serde_json::from_str(&replica.out).unwrap();
    assert_eq!(found["replication"]["role"], "slave");
    // It follows by way of the kit's link.
    let of = found["replication"]["primary"].as_str().unwrap();
    assert_eq!(of, format!("127.0.0.1:{}", group.links[0].port()));
    let served = user.run(&["serve", "--store", &group.replicas[0].url(), "--listen", "127.0.0.1:0"]);
    assert!(served.code != 0 && served.err.contains("is a replica"), "{served:?}");
}

#[test]
fn a_daemon_and_doctor_go_over_tls_with_what_the_configuration_names() {
    let certificates = Arc::new(Certificates::make().unwrap());
    let setup = Setup::standalone().password(PASSWORD).tls(&certificates, ClientCertificate::Required);
    let Some(server) = applicable(wait(undercurrent_servers::Server::start(setup))) else { return };
    let user = User::new();
    let (cert, key) = certificates.client();
    let data = text(user.home().join("data"));
    let named = format!(
        "data = '{data}'\n[store]\nurl = '{}'\nca = '{}'\n",
        server.url(),
        text(certificates.authority())
    );
    user.write("stranger.toml", &named);
    user.write("known.toml", format!("{named}cert = '{}'\nkey = '{}'\n", text(cert), text(key)));
    let doctor = |file: &str| user.run(&["doctor", "--config", file]);
    let known = doctor("known.toml");
    assert!(known.code == 0 && known.out.contains("acknowledgements say `memory`"), "{known:?}");
    let stranger = doctor("stranger.toml");
    assert_eq!(stranger.code, 4, "{stranger:?}");
    let unknown = user.run(&["doctor", "--store", &server.url()]);
    assert!(unknown.code == 4 && unknown.err.contains("certificate"), "{unknown:?}");

    let daemon = user.serve_with(&["--config", "known.toml", "--listen", "127.0.0.1:0"]);
    user.run(&["--url", &daemon.url, "put", "note:k", "v"]).lines();
    assert_eq!(user.run(&["--url", &daemon.url, "get", "note:k"]).out, "v");
    for ran in [known, stranger, unknown] {
        assert!(!ran.out.contains(TOLD) && !ran.err.contains(TOLD), "{ran:?}");
    }
}

/// Starts a daemon that says all that it ever says.
fn talkative(user: &User, words: &[&str], environment: Option<&str>) -> Running {
    let mut command = user.command(&[&["serve", "--listen", "127.0.0.1:0"], words].concat());
    command.env("UNDERCURRENT_LOG", "trace");
    if let Some(url) = environment {
        command.env("UNDERCURRENT_STORE", url);
    }
    let mut daemon = Running::start(command);
    daemon.url = daemon.until("undercurrent").split_whitespace().last().unwrap().to_owned();
    daemon
}

#[test]
fn a_password_is_never_said_whatever_goes_wrong_and_however_much_is_logged() {
    for by_environment in [false, true] {
        let server = start(Setup::standalone().user("node", PASSWORD, &["~*", "+@all"]));
        let url = server.url();
        assert!(url.contains(ENCODED), "{url}");
        let user = User::new();
        let data = text(user.home().join("data"));
        user.write("with.toml", format!("data = '{data}'\n[store]\nurl = '{url}'\n"));
        let words: &[&str] = if by_environment { &["--data", &data] } else { &["--config", "with.toml"] };
        let daemon = talkative(&user, words, by_environment.then_some(&*url));
        let run = |words: &[&str]| user.run(&[&["--url", &daemon.url], words].concat());
        let mut said = Vec::new();
        said.push(run(&["put", "note:k", "v"]));
        said.push(run(&["publish", "s", "--type", "message"]));
        assert!(said.iter().all(|ran| ran.code == 0), "{said:?}");
        said.push(run(&["status", "--json"]));
        // The password is another one now, and those who came with the old one are sent away.
        let () = wait(server.command(&["ACL", "SETUSER", "node", "resetpass", ">another"])).unwrap();
        let _: i64 = wait(server.command(&["CLIENT", "KILL", "USER", "node"])).unwrap();
        said.extend(refused(&run));
        server.kill();
        said.extend(refused(&run));
        for words in [["doctor", "--config", "with.toml"], ["serve", "--config", "with.toml"]] {
            let mut command = user.command(&words);
            command.env("UNDERCURRENT_LOG", "trace");
            said.push(Ran::of(command.output().unwrap()));
        }
        let logged = daemon.end_and_tell();
        assert!(logged.contains("TRACE"), "it logs everything: {logged}");
        let all = said.iter().flat_map(|ran| [&ran.out, &ran.err]).chain([&logged]);
        for text in all {
            let line = text.lines().find(|line| line.contains(TOLD));
            assert_eq!(line, None);
        }
    }
}

/// Asks for what needs the store, which does not let anybody in.
fn refused(run: &impl Fn(&[&str]) -> Ran) -> Vec<Ran> {
    let asked = [&["publish", "s", "--type", "message"][..], &["get", "note:k"], &["status"], &["streams"]];
    let all: Vec<_> = asked.iter().map(|words| run(words)).collect();
    assert_ne!(all[0].code, 0, "{all:?}");
    all
}
