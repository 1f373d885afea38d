//! The program that is started: what it is, and how it is told what it shall do.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{NotApplicable, ServerError};
use crate::server::ruler;
use crate::setup::{ClientCertificate, Setup};

/// A family of servers that speak the same protocol and take the same flags.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flavour {
    /// Redis 7 or newer.
    Redis,
    /// Valkey 8 or newer.
    Valkey,
    /// Dragonfly.
    Dragonfly,
}

/// A server program.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    flavour: Flavour,
    version: String,
}

/// Where one server lives.
pub(crate) struct Place<'a> {
    pub(crate) port: u16,
    pub(crate) bus: u16,
    pub(crate) data: &'a Path,
    pub(crate) socket: &'a Path,
    pub(crate) users: &'a Path,
}

impl Program {
    /// Finds out what a program is, by its name and by what `--version` prints.
    ///
    /// # Errors
    ///
    /// Fails where it is missing or is not known.
    pub fn find(path: PathBuf) -> Result<Self, ServerError> {
        let Ok(output) = Command::new(&path).arg("--version").output() else {
            return Err(ServerError::NoProgram(path));
        };
        let printed =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match recognise(&name, &printed) {
            Some((flavour, version)) => Ok(Self { path, flavour, version }),
            None => {
                let printed = printed.lines().next().unwrap_or_default().to_owned();
                Err(ServerError::Unrecognised { program: path, printed })
            }
        }
    }

    /// Returns where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what it is.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Says that this program can not be set up so.
    pub(crate) fn not_applicable(&self, topology: &str, because: &'static str) -> ServerError {
        NotApplicable { program: self.to_string(), topology: topology.to_owned(), because }.into()
    }

    /// Returns the words of the command line.
    pub(crate) fn args(&self, setup: &Setup, place: &Place<'_>) -> Result<Vec<String>, ServerError> {
        match self.flavour {
            Flavour::Redis | Flavour::Valkey => Ok(redis_args(setup, place)),
            Flavour::Dragonfly => dragonfly_args(setup, place)
                .map_err(|because| self.not_applicable(&setup.describe(), because)),
        }
    }
}

/// Writes name and version.
impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.flavour {
            Flavour::Redis => "Redis",
            Flavour::Valkey => "Valkey",
            Flavour::Dragonfly => "Dragonfly",
        };
        write!(f, "{name} {}", self.version)
    }
}

/// Reads what `--version` prints: `Redis server v=7.0.15 …`, `Valkey server v=9.1.2 …`, `dragonfly v1.40.1-…`.
///
/// The name of the file decides only where the text names none of them.
fn recognise(name: &str, printed: &str) -> Option<(Flavour, String)> {
    let line = printed.lines().find(|line| !line.trim().is_empty())?.to_lowercase();
    let known = [("valkey", Flavour::Valkey), ("dragonfly", Flavour::Dragonfly), ("redis", Flavour::Redis)];
    let named = |text: &str| known.iter().find(|(word, _)| text.contains(word)).map(|(_, flavour)| *flavour);
    let flavour = named(&line).or_else(|| named(&name.to_lowercase()))?;
    let word = line.split_whitespace().find_map(|word| {
        let digits = word.trim_start_matches("v=").trim_start_matches('v');
        digits.starts_with(|c: char| c.is_ascii_digit()).then(|| digits.to_owned())
    })?;
    let end = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    Some((flavour, word[..end].to_owned()))
}

fn redis_args(setup: &Setup, place: &Place<'_>) -> Vec<String> {
    let port = place.port.to_string();
    let data = place.data.display().to_string();
    let (plain, tls) = if setup.tls.is_some() { ("0", port.as_str()) } else { (port.as_str(), "0") };
    let mut args = Vec::new();
    let mut set = |name: &str, value: &str| args.extend([format!("--{name}"), value.to_owned()]);
    set("port", plain);
    set("bind", "127.0.0.1");
    set("daemonize", "no");
    set("dir", &data);
    set("dbfilename", "dump.rdb");
    set("save", "");
    set("enable-debug-command", "local");
    // A replica is told to begin at once, not after the default of five seconds in which others might come too.
    set("repl-diskless-sync-delay", "0");
    set("repl-ping-replica-period", "1");
    set("appendonly", if setup.durable { "yes" } else { "no" });
    if setup.durable {
        set("appendfsync", "always");
    }
    if setup.unix_socket {
        set("unixsocket", &place.socket.display().to_string());
    }
    if setup.tls.is_some() {
        set("tls-port", tls);
        set("tls-cluster", "yes");
        tls_settings(setup).iter().for_each(|(name, value)| set(name, value));
    }
    if setup.user.is_some() {
        set("aclfile", &place.users.display().to_string());
    } else if let Some(password) = &setup.password {
        set("requirepass", password);
        set("masterauth", password);
    }
    if setup.cluster {
        set("cluster-enabled", "yes");
        set("cluster-config-file", "nodes.conf");
        set("cluster-node-timeout", "2000");
        set("cluster-port", &place.bus.to_string());
    }
    for (name, value) in &setup.settings {
        set(name, value);
    }
    args
}

/// Returns what Redis, Valkey and their Sentinels are told of TLS, except the port.
pub(crate) fn tls_settings(setup: &Setup) -> Vec<(&'static str, String)> {
    let Some((certificates, clients)) = &setup.tls else { return Vec::new() };
    let (certificate, key) = certificates.server();
    let asked = if *clients == ClientCertificate::Required { "yes" } else { "optional" };
    vec![
        ("tls-replication", "yes".to_owned()),
        ("tls-cert-file", certificate.display().to_string()),
        ("tls-key-file", key.display().to_string()),
        ("tls-ca-cert-file", certificates.authority().display().to_string()),
        ("tls-auth-clients", asked.to_owned()),
    ]
}

/// Written after Dragonfly's reference of flags.
fn dragonfly_args(setup: &Setup, place: &Place<'_>) -> Result<Vec<String>, &'static str> {
    if setup.durable {
        return Err("it has no append-only file");
    }
    if setup.cluster {
        return Err("its cluster is set up by a control plane, not by its nodes");
    }
    let mut args = Vec::new();
    let mut set = |name: &str, value: &str| args.push(format!("--{name}={value}"));
    set("port", &place.port.to_string());
    set("bind", "127.0.0.1");
    set("dir", &place.data.display().to_string());
    set("dbfilename", "dump");
    set("proactor_threads", "2");
    set("lock_on_hashtags", "true");
    set("version_check", "false");
    set("alsologtostderr", "true");
    if setup.unix_socket {
        set("unixsocket", &place.socket.display().to_string());
    }
    if let Some((certificates, clients)) = &setup.tls {
        if *clients == ClientCertificate::Optional {
            return Err("with an authority it always asks for client certificates");
        }
        let (certificate, key) = certificates.server();
        set("tls", "true");
        set("tls_replication", "true");
        set("tls_cert_file", &certificate.display().to_string());
        set("tls_key_file", &key.display().to_string());
        set("tls_ca_cert_file", &certificates.authority().display().to_string());
    }
    if let Some(password) = ruler(setup) {
        set("requirepass", password);
        set("masterauth", password);
    }
    for (name, value) in &setup.settings {
        match name.as_str() {
            "maxmemory" => set(name, value),
            _ => return Err("it has no such option"),
        }
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_what_it_says_it_is() {
        let cases = [
            ("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0", "Redis 7.0.15"),
            ("valkey-server", "Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64", "Valkey 9.1.2"),
            ("redis-server", "Valkey server v=8.0.1 sha=0", "Valkey 8.0.1"),
            ("dragonfly", "dragonfly v1.40.1-5e2d3a\nbuild time: 2026-10-01", "Dragonfly 1.40.1"),
            ("dragonfly-x86_64", "v1.40.1-5e2d3a", "Dragonfly 1.40.1"),
        ];
        for (name, printed, expected) in cases {
            let (flavour, version) = recognise(name, printed).unwrap();
            assert_eq!(Program { path: name.into(), flavour, version }.to_string(), expected);
        }
        assert_eq!(recognise("cat", "cat (GNU coreutils) 9.1"), None);
        assert_eq!(recognise("redis-server", ""), None);
    }

    #[test]
    fn a_missing_and_a_strange_program_are_named() {
        let text = |path: &str| Program::find(path.into()).unwrap_err().to_string();
        assert!(text("/nowhere/redis-server").contains("`/nowhere/redis-server` is not there: install it"));
        assert!(text("/bin/cat").contains("`/bin/cat` is not one of `redis-server`"));
    }

    #[test]
    fn what_dragonfly_does_not_have_is_named() {
        let program =
            Program { path: "dragonfly".into(), flavour: Flavour::Dragonfly, version: "1.40.1".into() };
        let here = Path::new("/t");
        let place = Place { port: 1, bus: 2, data: here, socket: here, users: here };
        let refused = |setup: Setup| match program.args(&setup, &place) {
            Ok(args) => args.join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            refused(Setup::standalone().durable()),
            "not applicable to Dragonfly 1.40.1: standalone, `appendfsync always` (it has no append-only file)"
        );
        assert!(refused(Setup::standalone().cluster()).contains("control plane"));
        assert!(refused(Setup::standalone().option("hz", "100")).contains("no such option"));
        let args = refused(Setup::standalone().user("node", "secret", &["+get"]));
        assert!(args.contains("--requirepass=") && !args.contains("secret"), "{args}");
        let args = refused(Setup::standalone().unix_socket().password("p").option("maxmemory", "512mb"));
        for flag in [
            "--port=1",
            "--proactor_threads=2",
            "--lock_on_hashtags=true",
            "--unixsocket=/t",
            "--requirepass=p",
        ] {
            assert!(args.contains(flag), "{args}");
        }
    }
}
