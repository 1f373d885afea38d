//! Keys as people write them: relative paths are taken from the current directory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use undercurrent_types::{ErrorCode, Key, Name, Version, path_text};

use crate::failure::Failure;

/// Reads a key.
pub(crate) fn key(given: &OsStr) -> Result<Key, Failure> {
    let text = absolute(given)?;
    Key::parse(&text).map_err(|error| {
        let failure = Failure::new(ErrorCode::InvalidKey, error.to_string());
        if text.contains(':') { failure } else { failure.hint(format!("a file is named `file:{text}`")) }
    })
}

/// Reads a key and the version of it that was read. A version has no `=`, and a key may have some.
pub(crate) fn input(given: &OsStr) -> Result<(Key, Version), Failure> {
    let bytes = given.as_bytes();
    let parts = bytes.iter().rposition(|byte| *byte == b'=').and_then(|at| {
        let version = std::str::from_utf8(&bytes[at + 1..]).ok()?;
        Some((OsStr::from_bytes(&bytes[..at]), version.parse().ok()?))
    });
    let Some((text, version)) = parts else {
        return Err(Failure::usage(format!("`{}` is not KEY=VERSION", given.display())));
    };
    Ok((key(text)?, version))
}

/// Reads the subject of an event: a key, where it is one, or any text.
pub(crate) fn subject(given: &OsStr) -> Result<String, Failure> {
    let text = absolute(given)?;
    Ok(Key::parse(&text).map_or(text, |key| key.to_string()))
}

/// Reads a tag; the path of `repo:` and `tree:` may be relative.
pub(crate) fn tag(given: &str) -> Result<Name, Failure> {
    let bare = given.strip_prefix("tag:").unwrap_or(given);
    let invalid = |error: &dyn std::fmt::Display| Failure::new(ErrorCode::InvalidKey, error.to_string());
    let text = match bare.split_once(':') {
        Some((word @ ("repo" | "tree"), path)) if !path.starts_with('/') => {
            // A path is normalised as that of a directory is.
            let dir = absolute(OsStr::new(&format!("dir:{path}")))?;
            let dir = Key::parse(&dir).map_err(|error| invalid(&error))?;
            format!("{word}:{}", dir.rest())
        }
        _ => bare.to_owned(),
    };
    Name::tag(&text).map_err(|error| invalid(&error))
}

fn absolute(given: &OsStr) -> Result<String, Failure> {
    let text = text_of(given);
    if relative_path(&text).is_none() {
        return Ok(text);
    }
    let here = std::env::current_dir().map_err(|error| {
        Failure::usage(format!(
            "`{text}` has a relative path, and the current directory can not be told: {error}"
        ))
    })?;
    Ok(resolve(&text, &here))
}

/// Returns what was typed as the text of a key: bytes of a path that are not UTF-8 are written `\xHH`.
fn text_of(given: &OsStr) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(given.len());
    for chunk in given.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("writing to a string does not fail");
        }
    }
    text
}

/// Makes the path of a `file`, `dir` or `git` key absolute; everything else stays as it is.
fn resolve(text: &str, here: &Path) -> String {
    match relative_path(text) {
        Some((kind, path)) => format!("{kind}:{}/{path}", path_text(here)),
        None => text.to_owned(),
    }
}

/// Returns kind and path of a key with a relative path.
fn relative_path(text: &str) -> Option<(&str, &str)> {
    let (kind, path) = text.strip_prefix("context:").unwrap_or(text).split_once(':')?;
    (matches!(kind, "file" | "dir" | "git") && !path.is_empty() && !path.starts_with('/'))
        .then_some((kind, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_taken_from_the_current_directory() {
        let cases = [
            ("file:src/lib.rs", "file:/home/a b/src/lib.rs"),
            ("file:./src/../lib.rs", "file:/home/a b/lib.rs"),
            ("file:../x", "file:/home/x"),
            ("context:file:x", "file:/home/a b/x"),
            ("dir:.", "dir:/home/a b"),
            ("git:.#status", "git:/home/a b#status"),
            ("git:#head", "git:/home/a b#head"),
            ("git:sub#diff", "git:/home/a b/sub#diff"),
            ("file:/abs/x", "file:/abs/x"),
            ("state:src/lib.rs", "state:src/lib.rs"),
            ("http:https://a.example/x", "http:https://a.example/x"),
        ];
        for (given, expected) in cases {
            let resolved = resolve(given, Path::new("/home/a b"));
            assert_eq!(Key::parse(&resolved).unwrap().as_str(), expected, "from `{given}`");
        }
    }

    #[test]
    fn what_has_no_path_is_left_for_the_key_to_refuse() {
        for text in ["file:", "src/lib.rs", "", "file://elsewhere/x"] {
            assert_eq!(resolve(text, Path::new("/home")), text);
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_escaped() {
        assert_eq!(text_of(OsStr::from_bytes(b"file:/a\xffb")), r"file:/a\xffb");
    }

    #[test]
    fn a_tag_of_a_path_is_made_absolute() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(tag("repo:.").unwrap().to_string(), format!("tag:repo:{}", path_text(&here)));
        assert_eq!(tag("tag:repo:/a").unwrap().to_string(), "tag:repo:/a");
        assert_eq!(tag("mine").unwrap().to_string(), "tag:mine");
        assert!(tag("").is_err());
    }
}
