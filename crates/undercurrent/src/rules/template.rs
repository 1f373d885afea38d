//! From an event to a name.

use std::borrow::Cow;

use undercurrent_types::{Event, Key, Name};

/// The attributes of an event that are no extensions, or say nothing about what it is about.
const NOT_EXTENSIONS: [&str; 10] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "data",
    "datacontenttype",
    "dataschema",
    "sequence",
    "position",
];

/// A name with variables: `{subject}`, `dir:{parent}`, `tag:repo:{repo}`.
///
/// Variables are `{subject}` (a subject that is a key), `{path}` (the path of a `file`, `dir` or `git` subject),
/// `{parent}` (the directory above it), `{x}` (the extension attribute `x`) and `{parent of x}`. A value that is an
/// absolute path is brought into the form that keys have, so that one path has one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Subject,
    Path,
    Parent,
    Extension(String),
    ParentOf(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// Fails with the reason when a brace is not closed, a variable is none, or what it gives could never be a key, a
    /// tag or a scope.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = split(text)?;
        match parts.as_slice() {
            [Part::Subject] => {}
            [Part::Text(name)] => {
                name.parse::<Name>().map_err(|e| e.to_string())?;
            }
            [Part::Text(beginning), ..] if begins_a_name(beginning) => {}
            _ => {
                return Err(format!(
                    "`{text}` gives no name: expected `{{subject}}`, or a text that begins with a kind of key, \
                     `tag:` or `scope:`"
                ));
            }
        }
        if text.starts_with("unwatched:") {
            return Err(format!(
                "`{text}`: what is not watched is in doubt as it is, and no event changes that"
            ));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Returns the template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the name that the template gives for an event, whose subject has been read as a key.
    ///
    /// `None` when the event does not have a variable, or what comes out is no name: nothing can depend on that.
    pub(super) fn fill(&self, event: &Event, subject: Option<&Key>) -> Option<Name> {
        if self.parts == [Part::Subject] {
            return subject.map(Name::from);
        }
        let mut name = String::with_capacity(self.text.len() + 64);
        for part in &self.parts {
            name.push_str(&part.value(event, subject)?);
        }
        name.parse().ok()
    }
}

impl Part {
    fn value<'a>(&'a self, event: &'a Event, subject: Option<&'a Key>) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text.into()),
            Self::Subject => subject.map(|key| key.as_str().into()),
            Self::Path => path_of(subject?).map(Cow::Borrowed),
            Self::Parent => parent(path_of(subject?)?).map(Cow::Borrowed),
            Self::Extension(name) => extension(event, name),
            Self::ParentOf(name) => parent(&extension(event, name)?).map(|path| path.to_owned().into()),
        }
    }
}

/// Returns the path of a key as text, in its canonical form.
fn path_of(key: &Key) -> Option<&str> {
    match key.kind() {
        "file" | "dir" => Some(key.rest()),
        "git" => key.rest().split_once('#').map(|(root, _)| root),
        _ => None,
    }
}

/// Returns the directory above an absolute path; the root has none.
fn parent(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 if path == "/" => None,
        0 => Some("/"),
        at => Some(&path[..at]),
    }
}

/// Returns an extension attribute that is not empty; an absolute path in its canonical form.
fn extension<'a>(event: &'a Event, name: &str) -> Option<Cow<'a, str>> {
    let value = event.extension(name).filter(|value| !value.is_empty())?;
    let Some(path) = value.strip_prefix('/') else { return Some(value) };
    // Two slashes in front are one to the file system, and the name of a workspace to a key.
    let key = Key::parse(&format!("dir:/{}", path.trim_start_matches('/'))).ok()?;
    Some(key.rest().to_owned().into())
}

/// Splits a template at its braces.
fn split(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (variable, after) =
            after.split_once('}').ok_or_else(|| format!("`{text}` has a `{{` without its `}}`"))?;
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        parts.push(read_variable(variable).ok_or_else(|| {
            format!(
                "`{{{variable}}}` is no variable: expected `{{subject}}`, `{{path}}`, `{{parent}}`, the name of an \
                 extension attribute, or `{{parent of <name>}}`"
            )
        })?);
        rest = after;
    }
    if rest.contains('}') {
        return Err(format!("`{text}` has a `}}` without its `{{`"));
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

fn read_variable(variable: &str) -> Option<Part> {
    match variable {
        "subject" => Some(Part::Subject),
        "path" => Some(Part::Path),
        "parent" => Some(Part::Parent),
        _ => match variable.strip_prefix("parent of ") {
            Some(name) => is_extension(name).then(|| Part::ParentOf(name.to_owned())),
            None => is_extension(variable).then(|| Part::Extension(variable.to_owned())),
        },
    }
}

/// Says whether a text can be the name of an extension attribute.
fn is_extension(name: &str) -> bool {
    let is_name = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'));
    is_name && (1..=20).contains(&name.len()) && !NOT_EXTENSIONS.contains(&name)
}

/// Says whether a text begins with a word and a colon, as every name does.
fn begins_a_name(text: &str) -> bool {
    let word = text.split_once(':').map_or("", |(word, _)| word);
    !word.is_empty() && word.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}
