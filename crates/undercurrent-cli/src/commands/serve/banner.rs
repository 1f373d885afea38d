//! What `serve` says at its start.

use std::path::Path;
use std::time::Duration;

use undercurrent::EventStream;
use undercurrent_types::{path_text, wire};

use crate::daemons::Daemon;
use crate::output;

/// How often the walk of the roots is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Prints where the daemon answers, what it watches and what to try.
///
/// That nobody reads it is no reason for a daemon to end.
pub(super) fn print(daemon: &Daemon, stream: &EventStream, json: bool) {
    let sources = stream.sources();
    let place = stream.place();
    let say = |text: &str| drop(output::line(text));
    if json {
        drop(output::json(&serde_json::json!({
            "url": daemon.url, "instance": daemon.instance, "namespace": daemon.namespace, "data": place,
            "roots": daemon.roots.iter().map(|root| path_text(root)).collect::<Vec<_>>(),
        })));
        return;
    }
    say(&format!("undercurrent {} answers at {}", env!("CARGO_PKG_VERSION"), daemon.url));
    for source in &sources {
        say(&format!("watching {}", source.target));
    }
    say(&format!("data in {place}"));
    if !daemon.url.ends_with(":7433") {
        say(&format!("elsewhere than below these directories: export UNDERCURRENT_URL={}", daemon.url));
    }
    say("try in another terminal:");
    for example in examples(daemon, &sources) {
        say(&format!("  {example}"));
    }
}

/// Prints how many directories are watched, when the first walk has ended.
pub(super) async fn print_walks(stream: &EventStream, json: bool) {
    for source in walked(stream).await {
        if !json {
            drop(output::line(&walk(&source)));
        }
    }
}

/// Waits until no source is at its first walk any more.
async fn walked(stream: &EventStream) -> Vec<wire::SourceStatus> {
    loop {
        let sources = stream.sources();
        if sources.iter().all(|source| source.health != "starting") {
            return sources;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn walk(source: &wire::SourceStatus) -> String {
    let directories = source.directories.unwrap_or_default();
    let reason =
        source.reason.as_ref().map(|reason| format!(", {}: {reason}", source.health)).unwrap_or_default();
    format!("watched: {}, {directories} directories{reason}", source.target)
}

fn examples(daemon: &Daemon, sources: &[wire::SourceStatus]) -> [String; 2] {
    let (Some(root), Some(source)) = (daemon.roots.first(), sources.first()) else {
        return [
            "undercurrent publish notes --type message --data '\"hello\"'".to_owned(),
            "undercurrent tail notes".to_owned(),
        ];
    };
    [format!("undercurrent get {}", quoted(&some_key(root))), format!("undercurrent tail {}", source.name)]
}

/// Returns the key of a file to look at, or of the directory itself where it has none.
fn some_key(root: &Path) -> String {
    const LIKELY: [&str; 5] = ["README.md", "README", "Cargo.toml", "package.json", "pyproject.toml"];
    let likely = LIKELY.iter().map(|name| root.join(name)).find(|path| path.is_file());
    match likely {
        Some(file) => format!("file:{}", path_text(&file)),
        None => format!("dir:{}", path_text(root)),
    }
}

/// Writes a word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&b));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_apart() {
        let cases = [
            ("file:/a/b.rs", "file:/a/b.rs"),
            ("file:/a b", "'file:/a b'"),
            ("it's", r"'it'\''s'"),
            ("a#b", "'a#b'"),
        ];
        for (word, expected) in cases {
            assert_eq!(quoted(word), expected);
        }
    }
}
