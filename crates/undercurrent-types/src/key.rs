//! The name of a piece of context.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::cursor::clip;
use crate::name::RESERVED;

/// The name of a piece of context in its one canonical form: `<kind>:<rest>`, at most 4096 bytes.
///
/// A leading `context:` is accepted and dropped. The paths of `file`, `dir` and `git` keys are absolute and are
/// normalised by their text alone: `.` and doubled or trailing slashes vanish, `..` takes its parent away. Bytes of a
/// path that are not UTF-8, control characters and the backslash are written `\xHH`. `//<workspace>` before the path names the machine that it is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

/// A text that is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is not a key: {reason}")]
pub struct KeyError {
    key: String,
    reason: &'static str,
}

const TOO_LONG: &str = "it is longer than 4096 bytes";

impl Key {
    /// The longest key, in bytes.
    pub const LONGEST: usize = 4096;

    /// Reads a key and brings it into its canonical form.
    ///
    /// # Errors
    ///
    /// Fails when the text has no kind, the kind is reserved, a path is not absolute, a `git` key has no part after
    /// `#`, or a limit is passed.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let refuse = |reason| KeyError { key: clip(text), reason };
        let bare = text.strip_prefix("context:").unwrap_or(text);
        if bare.len() > Self::LONGEST {
            return Err(refuse(TOO_LONG));
        }
        if bare.chars().any(char::is_control) {
            return Err(refuse("it has control characters; in a path they are written `\\xHH`"));
        }
        let Some((kind, rest)) = bare.split_once(':') else {
            return Err(refuse("expected `<kind>:<rest>`, such as `file:/src/main.rs` or `state:task-7`"));
        };
        if kind.is_empty() || !kind.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')) {
            return Err(refuse("a kind has only `a–z 0–9 _ -`"));
        }
        if RESERVED.contains(&kind) {
            return Err(refuse("`tag`, `scope` and `unwatched` are no kinds of keys"));
        }
        // Its text would be read as the key behind it.
        if kind == "context" {
            return Err(refuse("`context` stands before a key once, and is no kind of keys"));
        }
        if rest.is_empty() {
            return Err(refuse("there is nothing after the kind"));
        }
        if !OF_WORKSPACES.contains(&kind) {
            return Ok(Self(bare.into()));
        }
        let (workspace, rest) = match rest.strip_prefix("//") {
            None => (String::new(), rest),
            Some(named) => match named.split_once('/') {
                Some((workspace, _)) if is_workspace(workspace) => {
                    (format!("//{workspace}"), &named[workspace.len()..])
                }
                _ => {
                    return Err(refuse(
                        "`//` begins the name of a workspace, `a–z A–Z 0–9 . _ -`, and a path follows it: \
                         `file://builder-1/src/main.rs`; a path of one's own begins with one `/`",
                    ));
                }
            },
        };
        let canonical = match kind {
            "file" | "dir" => normalise(rest),
            "git" => match rest.split_once('#') {
                Some((root, part)) if is_git_part(part) => {
                    normalise(root).map(|root| format!("{root}#{part}"))
                }
                _ => {
                    return Err(refuse("expected `git:/root#status`, `#head`, `#diff`, `#log` or `#branch`"));
                }
            },
            _ if workspace.is_empty() => return Ok(Self(bare.into())),
            _ => Some(rest.to_owned()),
        };
        let canonical = canonical.ok_or_else(|| refuse("the path is not absolute"))?;
        let text = format!("{kind}:{workspace}{canonical}");
        // The canonical form may be the longer one: it writes bytes that are no text as four.
        if text.len() > Self::LONGEST {
            return Err(refuse(TOO_LONG));
        }
        Ok(Self(text.into()))
    }

    /// Returns the key of the file at an absolute path.
    ///
    /// # Errors
    ///
    /// Fails when the path is relative or its text is longer than a key may be.
    pub fn file(path: &Path) -> Result<Self, KeyError> {
        Self::parse(&format!("file:{}", path_text(path)))
    }

    /// Returns the key of the listing of the directory at an absolute path.
    ///
    /// # Errors
    ///
    /// Fails as [`Key::file`] does.
    pub fn dir(path: &Path) -> Result<Self, KeyError> {
        Self::parse(&format!("dir:{}", path_text(path)))
    }

    /// Returns the first word.
    pub fn kind(&self) -> &str {
        self.split().0
    }

    /// Returns what follows the kind.
    pub fn rest(&self) -> &str {
        self.split().1
    }

    /// Returns the whole key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the workspace that the key names, where it names one: `file://builder-1/src` names `builder-1`. On a
    /// shared store a key without one is of the machine that it is asked on.
    pub fn workspace(&self) -> Option<&str> {
        let (kind, rest) = self.split();
        let named = rest.strip_prefix("//").filter(|_| OF_WORKSPACES.contains(&kind))?;
        named.split_once('/').map(|(workspace, _)| workspace)
    }

    /// Returns the path of a `file`, `dir` or `git` key of this machine: for `git` the root of the repository. None of
    /// another workspace, whose paths mean nothing here.
    pub fn path(&self) -> Option<PathBuf> {
        if self.workspace().is_some() {
            return None;
        }
        let text = match self.split() {
            ("file" | "dir", path) => path,
            ("git", rest) => rest.split_once('#')?.0,
            _ => return None,
        };
        Some(text_path(text))
    }

    /// Returns the part of a `git` key after `#`.
    pub fn git_part(&self) -> Option<&str> {
        match self.split() {
            ("git", rest) => Some(rest.split_once('#')?.1),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> &Arc<str> {
        &self.0
    }

    fn split(&self) -> (&str, &str) {
        self.0.split_once(':').expect("a key has a kind")
    }
}

/// The kinds whose keys belong to a workspace: one machine's tree.
pub const OF_WORKSPACES: [&str; 4] = ["file", "dir", "git", "command"];

/// Says whether a text can be the name of a workspace: 1 to 64 of `a–z A–Z 0–9 . _ -`.
pub fn is_workspace(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// Says whether the text after `#` names something a repository can be asked.
fn is_git_part(part: &str) -> bool {
    matches!(part, "status" | "head" | "diff" | "log" | "branch")
}

/// Writes a path as keys carry it.
pub fn path_text(path: &Path) -> String {
    let mut text = String::with_capacity(path.as_os_str().len());
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || c.is_control() {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer).bytes().for_each(|b| push_escaped(&mut text, b));
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|&b| push_escaped(&mut text, b));
    }
    text
}

fn push_escaped(text: &mut String, byte: u8) {
    use std::fmt::Write;
    write!(text, "\\x{byte:02x}").expect("writing to a string does not fail");
}

/// Reads a path as keys carry it; a backslash that begins no escape stands for itself.
pub fn text_path(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'\\')
            .then(|| tail.strip_prefix(b"x"))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// Normalises an absolute path by its text; `None` when it is not absolute.
///
/// `..` is taken from the text, as a URL takes it: a symbolic link before it is not followed.
fn normalise(path: &str) -> Option<String> {
    if !path.starts_with('/') {
        return None;
    }
    // Escapes have one spelling too: what was written escaped without need is unescaped, and the reverse.
    let path = path_text(Path::new(OsStr::from_bytes(text_path(path).as_os_str().as_bytes())));
    let mut words: Vec<&str> = Vec::new();
    for word in path.split('/') {
        match word {
            "" | "." => {}
            ".." => {
                words.pop();
            }
            _ => words.push(word),
        }
    }
    Some(format!("/{}", words.join("/")))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for Key {
    type Error = KeyError;

    fn try_from(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Key {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::parse(&text)
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Self {
        key.clone()
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_have_one_canonical_form() {
        let cases = [
            ("file:/src/main.rs", "file:/src/main.rs"),
            ("context:file:/src/main.rs", "file:/src/main.rs"),
            ("file:/src/./a//b/", "file:/src/a/b"),
            ("file:/a/../../etc/passwd", "file:/etc/passwd"),
            ("dir:/", "dir:/"),
            ("git:/repo/#status", "git:/repo#status"),
            ("state:task-7", "state:task-7"),
            ("http:https://a.example/x?y#z", "http:https://a.example/x?y#z"),
            (r"file:/a\xffb", r"file:/a\xffb"),
            (r"file:/\x61", "file:/a"),
            (r"file:/a\b", r"file:/a\x5cb"),
            ("file://builder-1/src/./a//b/../c", "file://builder-1/src/a/c"),
            ("git://w/repo/#status", "git://w/repo#status"),
            ("command://w/build", "command://w/build"),
        ];
        for (given, expected) in cases {
            assert_eq!(Key::parse(given).unwrap().as_str(), expected, "from `{given}`");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        let long = format!("x:{}", "a".repeat(Key::LONGEST));
        let backslashes = format!("file:/{}", "\\".repeat(Key::LONGEST / 2));
        let cases = [
            ("", "expected `<kind>:<rest>`"),
            ("main.rs", "expected `<kind>:<rest>`"),
            (":x", "a kind has only"),
            ("File:/x", "a kind has only"),
            ("file:", "nothing after"),
            ("file:src/main.rs", "not absolute"),
            ("file:///main.rs", "workspace"),
            ("file://elsewhere", "workspace"),
            ("dir://no way/main.rs", "workspace"),
            ("git:/repo", "#status"),
            ("git:/repo#nonsense", "#status"),
            ("tag:x", "no kinds of keys"),
            ("context:context:dir:/a", "no kind of keys"),
            ("state:a\nb", "control characters"),
            (&long, "4096"),
            // Each of these is written as four bytes.
            (&backslashes, "4096"),
        ];
        for (given, reason) in cases {
            let error = Key::parse(given).unwrap_err().to_string();
            assert!(error.contains(reason), "`{given}` gave `{error}`");
        }
    }

    proptest! {
        #[test]
        fn every_path_survives_its_key(words in prop::collection::vec(prop::collection::vec(1..=255u8, 1..12), 0..6)) {
            let mut path = PathBuf::from("/");
            for word in words.iter().filter(|w| !w.contains(&b'/') && *w != b"." && *w != b"..") {
                path.push(OsStr::from_bytes(word));
            }
            let key = Key::file(&path).unwrap();
            prop_assert_eq!(key.path().unwrap(), path);
            prop_assert_eq!(Key::parse(key.as_str()).unwrap(), key);
        }

        #[test]
        fn a_canonical_key_parses_to_itself(text in "(file|dir|git|state):.{0,40}") {
            if let Ok(key) = Key::parse(&text) {
                prop_assert_eq!(Key::parse(key.as_str()).unwrap(), key);
            }
        }
    }
}
