//! What `serve` is told: flags, then the environment, then one TOML file.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use undercurrent::cache::{CacheOptions, Doubt};
use undercurrent::event_stream::QuotaOptions;
use undercurrent::rules::RuleSet;
use undercurrent::store::dragonfly::{SharedStoreOptions, StoreUrl, StoreUrlError};
use undercurrent_server::Listen;

use crate::args::Serve;
use crate::failure::Failure;

/// What a configuration file may say; an unknown word is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The directories to watch, relative to the file.
    #[serde(default)]
    roots: Vec<PathBuf>,
    listen: Option<String>,
    data: Option<PathBuf>,
    namespace: Option<String>,
    /// Commands whose output can be read, each `[[command]]`.
    #[serde(default, rename = "command")]
    commands: Vec<undercurrent::loaders::Command>,
    /// Which hosts `http:` keys may name.
    #[serde(default)]
    http: undercurrent::loaders::HttpOptions,
    /// What a `fresh` read does with what nobody vouches for: `load` or `refuse`.
    #[serde(default)]
    doubt: Doubt,
    /// What keeps events and context, as the flag of that name, or with how it is reached.
    store: Option<StoreFile>,
    /// What the files of this machine are called on a shared store.
    workspace: Option<String>,
    /// A file with rules to add to the shipped ones, relative to this one.
    rules: Option<PathBuf>,
    /// How much each producer may publish.
    #[serde(default)]
    quota: QuotaOptions,
    /// Values that are never stored.
    #[serde(default)]
    secrets: Vec<String>,
    /// Whether the forms of common keys are never stored either; they are not, unless this is `false`.
    secret_patterns: Option<bool>,
}

/// For how long a plain key stands that nothing takes away.
const PLAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// What a configuration file says of a store.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum StoreFile {
    Choice(String),
    Shared(SharedFile),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SharedFile {
    url: String,
    /// What all keys begin with.
    prefix: Option<String>,
    /// The certificates of the authorities that are believed, in PEM, relative to the file.
    ca: Option<PathBuf>,
    /// The certificate that is shown to the server, and its key.
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    /// Whether programs that know only GET see values, for some seconds each.
    #[serde(default)]
    plain_keys: bool,
}

/// What keeps events and context.
#[derive(Clone, Debug, PartialEq, Eq)]
enum StoreChoice {
    /// A log in the data directory; needs no server.
    Embedded,
    /// A server that other nodes use too.
    Shared(StoreUrl),
}

impl std::str::FromStr for StoreChoice {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        if text == "embedded" { Ok(Self::Embedded) } else { text.parse().map(Self::Shared) }
    }
}

/// Returns how a shared store is reached, where one is chosen.
fn shared(serve: &Serve, file: Option<StoreFile>) -> Result<Option<SharedStoreOptions>, Failure> {
    let choice = |text: &str| {
        text.parse()
            .map_err(|error| Failure::usage(format!("`store` is neither `embedded` nor an address: {error}")))
    };
    let (mut chosen, rest) = match file {
        None => (StoreChoice::Embedded, None),
        Some(StoreFile::Choice(text)) => (choice(&text)?, None),
        Some(StoreFile::Shared(shared)) => (choice(&shared.url)?, Some(shared)),
    };
    if let Some(flag) = &serve.store {
        chosen = choice(flag)?;
    }
    let StoreChoice::Shared(url) = chosen else { return Ok(None) };
    let mut options = SharedStoreOptions::new(url);
    if let Some(SharedFile { prefix, ca, cert, key, plain_keys, .. }) = rest {
        options.plain_keys = plain_keys.then_some(PLAIN);
        options.prefix = prefix.unwrap_or(options.prefix);
        options.ca = ca;
        options.identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(Failure::usage("`store`: `cert` and `key` are named together or not at all")),
        };
    }
    Ok(Some(options))
}

/// Returns what the daemon is made from.
pub(crate) fn read(serve: &Serve, namespace: Option<&str>) -> Result<undercurrent_server::Config, Failure> {
    let file = serve.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
    let listen = match (serve.listen, &file.listen) {
        (Some(listen), _) => listen,
        (None, Some(text)) => text.parse().map_err(|error| Failure::usage(format!("{error}")))?,
        (None, None) => Listen::default(),
    };
    let shared = shared(serve, file.store)?;
    let mut engine = undercurrent::Config {
        shared,
        workspace: serve.workspace.clone().or(file.workspace),
        data: serve.data.clone().or(file.data),
        roots: if serve.roots.is_empty() { file.roots } else { serve.roots.clone() },
        commands: file.commands,
        http: file.http,
        secrets: file.secrets,
        secret_patterns: file.secret_patterns.unwrap_or(true),
        quota: file.quota,
        cache: CacheOptions { doubt: file.doubt, ..CacheOptions::default() },
        ..undercurrent::Config::default()
    };
    if let Some(path) = &file.rules {
        engine.rules = read_rules(path)?;
    }
    if let Some(namespace) = namespace.map(str::to_owned).or(file.namespace) {
        engine.namespace = namespace;
    }
    Ok(undercurrent_server::Config { engine, listen, ..undercurrent_server::Config::default() })
}

fn read_file(path: &Path) -> Result<File, Failure> {
    let refuse = |error: &dyn std::fmt::Display| Failure::usage(format!("`{}`: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refuse(&error))?;
    let mut file: File = toml::from_str(&text).map_err(|error| refuse(&without_values(&text, &error)))?;
    let beside = path.parent().unwrap_or(Path::new(""));
    file.commands.iter_mut().for_each(|command| command.dir = beside.join(&command.dir));
    if let Some(StoreFile::Shared(SharedFile { ca, cert, key, .. })) = &mut file.store {
        ca.iter_mut().chain(cert).chain(key).for_each(|one| *one = beside.join(&one));
    }
    file.roots
        .iter_mut()
        .chain(&mut file.data)
        .chain(&mut file.rules)
        .for_each(|one| *one = beside.join(&one));
    Ok(file)
}

/// Writes what is wrong with a file and where, without what stands there: that may be a password.
fn without_values(text: &str, error: &toml::de::Error) -> String {
    let before = &text[..error.span().map_or(0, |span| span.start)];
    let (line, column) =
        (1 + before.matches('\n').count(), 1 + before.chars().rev().take_while(|c| *c != '\n').count());
    let told = error.message();
    // `invalid type: string "…", expected a sequence`
    let told = match (told.find('"'), told.rfind("\", expected")) {
        (Some(from), Some(to)) if from < to => format!("{}…{}", &told[..=from], &told[to..]),
        _ => told.to_owned(),
    };
    format!("line {line}, column {column}: {told}")
}

/// Reads rules and puts them behind the shipped ones; what is wrong is named with its line.
pub(crate) fn read_rules(path: &Path) -> Result<RuleSet, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("`{}`: {error}", path.display())))?;
    let name = path.display().to_string();
    RuleSet::from_toml(&text, &name).map_err(|error| Failure::usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;

    fn settings(dir: &Path, toml: &str, flags: &[&str]) -> Result<undercurrent_server::Config, Failure> {
        let path = dir.join("undercurrent.toml");
        std::fs::write(&path, toml).unwrap();
        let words = ["undercurrent", "serve", "--config", path.to_str().unwrap()];
        let args = Args::parse_from(words.iter().chain(flags));
        let Command::Serve(serve) = &args.command else { panic!("it was `serve`") };
        read(serve, args.global.namespace.as_deref())
    }

    #[test]
    fn flags_go_before_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let toml = "roots = ['a', '/b']\nlisten = 'localhost:0'\ndata = 'd'\nnamespace = 'n'";
        let given = settings(dir.path(), toml, &[]).unwrap();
        assert_eq!(given.engine.roots, [dir.path().join("a"), PathBuf::from("/b")]);
        assert_eq!(given.engine.data, Some(dir.path().join("d")));
        assert_eq!(given.engine.namespace, "n");
        assert_eq!(given.listen, "127.0.0.1:0".parse().unwrap());
        let flags = ["/c", "--listen", "[::1]:0", "--data", "/e", "--namespace", "m"];
        let given = settings(dir.path(), toml, &flags).unwrap();
        assert_eq!(given.engine.roots, [PathBuf::from("/c")]);
        assert_eq!(given.engine.data, Some(PathBuf::from("/e")));
        assert_eq!(given.engine.namespace, "m");
        assert_eq!(given.listen, "[::1]:0".parse().unwrap());
    }

    #[test]
    fn commands_hosts_and_rules_come_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let rules = "[[rule]]\nname = 'mine'\ntypes = ['observation.mine']\nstale = ['tag:mine']";
        std::fs::write(dir.path().join("rules.toml"), rules).unwrap();
        let toml = "rules = 'rules.toml'\n[[command]]\nname = 'list'\nrun = ['ls']\ndir = 'a'\n\
                    [http]\nallow = [{ host = 'docs.example' }]";
        let given = settings(dir.path(), toml, &[]).unwrap().engine;
        assert_eq!(given.commands[0].dir, dir.path().join("a"));
        assert_eq!(given.http.allow[0].host, "docs.example");
        assert!(given.rules.rules().iter().any(|rule| rule.name() == "mine"));
        std::fs::write(dir.path().join("rules.toml"), "[[rule]]\nname = 'mine'\nnonsense = 1").unwrap();
        let Err(error) = settings(dir.path(), toml, &[]) else { panic!("the rules were taken") };
        assert!(format!("{error:?}").contains("rules.toml:"), "{error:?}");
    }

    #[test]
    fn a_store_comes_from_the_file_with_its_certificates_and_the_flag_changes_its_address() {
        let dir = tempfile::tempdir().unwrap();
        let toml = "workspace = 'w'\n[store]\nurl = 'rediss://:p@a:1'\nprefix = 'x'\nca = 'ca.pem'\n\
                    cert = 'c.pem'\nkey = 'c.key'\nplain_keys = true";
        let given = settings(dir.path(), toml, &[]).unwrap().engine;
        let shared = given.shared.unwrap();
        assert_eq!((shared.url.to_string(), &*shared.prefix), ("rediss://a:1".to_owned(), "x"));
        assert_eq!(shared.ca, Some(dir.path().join("ca.pem")));
        assert_eq!(shared.identity, Some((dir.path().join("c.pem"), dir.path().join("c.key"))));
        assert_eq!((shared.plain_keys, given.workspace.as_deref()), (Some(PLAIN), Some("w")));
        let given = settings(dir.path(), toml, &["--store", "rediss://b:2"]).unwrap().engine;
        assert_eq!(given.shared.unwrap().url.to_string(), "rediss://b:2");
        assert!(settings(dir.path(), toml, &["--store", "embedded"]).unwrap().engine.shared.is_none());
        for wrong in
            ["[store]\nurl = 'redis://a'\ncert = 'c'", "[store]\nurl = 'http://a'", "[store]\nca = 'c'"]
        {
            assert!(settings(dir.path(), wrong, &[]).is_err(), "`{wrong}` was accepted");
        }
    }

    #[test]
    fn quotas_come_from_the_file_and_there_are_none_unless_it_names_some() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!settings(dir.path(), "", &[]).unwrap().engine.quota.is_limited());
        let toml = "[quota]\nevents = 100\nbytes = '1MiB'\nburst = '5s'";
        let quota = settings(dir.path(), toml, &[]).unwrap().engine.quota;
        let numbers = [quota.events, quota.bytes].map(|limit| limit.unwrap().get());
        assert_eq!((numbers, quota.burst.as_secs()), ([100, 1 << 20], 5));
        let bytes = settings(dir.path(), "[quota]\nbytes = 'none'", &[]).unwrap().engine.quota.bytes;
        assert_eq!(bytes, None);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_said_without_a_password_that_stands_there() {
        let dir = tempfile::tempdir().unwrap();
        for toml in [
            "secrets = 'hunter2'",
            "secrets = ['hunter2', 'hunter2]",
            "roots = []\nstore = { url = 'redis://:hunter2@a', prefxi = 'x' }",
            "[store]\nurl = 'redis://:hunter2@a",
            "[store]\nurl = ['redis://:hunter2@a']",
            "store = 'redis://:hunter2@a:x'",
            "store = 'hunter2'",
            "hunter2 = 1",
        ] {
            let Err(error) = settings(dir.path(), toml, &[]) else { panic!("`{toml}` was accepted") };
            let (said, is_name) = (format!("{error:?}"), toml.starts_with("hunter2"));
            assert!(is_name || !said.contains("hunter2"), "`{toml}`: {said}");
        }
        let Err(error) = settings(dir.path(), "roots = []\nsecrets = 'é' x", &[]) else {
            panic!("it was accepted")
        };
        assert!(format!("{error:?}").contains("line 2, column 15"), "{error:?}");
    }

    #[test]
    fn a_file_that_is_not_understood_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for toml in [
            "[quota]\nevents = 0",
            "[quota]\nbytes = '0'",
            "[quota]\nburst = 1",
            "root = ['a']",
            "roots = 'a'",
            "listen = '0.0.0.0:1'",
            "[",
        ] {
            assert!(settings(dir.path(), toml, &[]).is_err(), "`{toml}` was accepted");
        }
    }
}
