//! One rule.

use undercurrent_types::{Event, Key, Name};

use super::{Pattern, Template};

/// Says of the events with certain types, sources and subjects which names they make stale.
///
/// An empty list of sources or subjects covers every event; a list of subjects covers only subjects that are keys, in
/// their canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub(super) name: String,
    pub(super) types: Vec<Pattern>,
    pub(super) sources: Vec<Pattern>,
    pub(super) subjects: Vec<Pattern>,
    pub(super) stale: Vec<Template>,
}

impl Rule {
    /// Returns the name, which no other rule of the set has.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says whether the rule is about the event, whose subject has been read as a key.
    pub(super) fn matches(&self, event: &Event, subject: Option<&Key>) -> bool {
        any(&self.types, event.ty.as_str())
            && (self.sources.is_empty() || any(&self.sources, event.source.as_str()))
            && (self.subjects.is_empty() || subject.is_some_and(|key| any(&self.subjects, key.as_str())))
    }

    /// Returns the names that the event makes stale, if the rule is about it.
    pub(super) fn names(&self, event: &Event, subject: Option<&Key>) -> Vec<Name> {
        self.stale.iter().filter_map(|template| template.fill(event, subject)).collect()
    }

    /// Writes the rule as one line of JSON: equal for two rules exactly when the rules are.
    pub(super) fn canonical(&self) -> String {
        let texts = |patterns: &[Pattern]| patterns.iter().map(|p| p.as_str().to_owned()).collect::<Vec<_>>();
        let stale: Vec<_> = self.stale.iter().map(Template::as_str).collect();
        let parts = (&self.name, texts(&self.types), texts(&self.sources), texts(&self.subjects), stale);
        serde_json::to_string(&parts).expect("lists of text have a JSON form") + "\n"
    }

    /// Reads what [`Rule::canonical`] wrote.
    pub(super) fn from_canonical(line: &str) -> Result<Self, String> {
        type Parts = (String, Vec<String>, Vec<String>, Vec<String>, Vec<String>);
        let (name, types, sources, subjects, stale): Parts =
            serde_json::from_str(line).map_err(|error| error.to_string())?;
        let patterns = |texts: Vec<String>| {
            let read = texts.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>();
            read.map_err(|error| format!("a pattern of rule `{name}` is none: {error}"))
        };
        Ok(Self {
            types: patterns(types)?,
            sources: patterns(sources)?,
            subjects: patterns(subjects)?,
            stale: stale.iter().map(|text| Template::parse(text)).collect::<Result<_, _>>()?,
            name,
        })
    }
}

fn any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.covers(text))
}
