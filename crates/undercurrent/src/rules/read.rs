//! Rules from TOML.

use serde::Deserialize;
use toml::Spanned;
use undercurrent_types::PatternError;

use super::{Pattern, Rule, RuleError, Template};

/// A rules file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<RuleText>,
}

/// One `[[rule]]`, its texts with their places.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    name: Spanned<String>,
    types: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    sources: Vec<Spanned<String>>,
    #[serde(default)]
    subjects: Vec<Spanned<String>>,
    stale: Spanned<Vec<Spanned<String>>>,
}

/// Reads the rules of a file, whose names differ from each other and from those that stand before them.
pub(super) fn rules(text: &str, file_name: &str, before: &[Rule]) -> Result<Vec<Rule>, RuleError> {
    let refuse = |(at, reason): Refused| {
        let (line, column) = place(text, at);
        RuleError { file: file_name.to_owned(), line, column, reason }
    };
    let file: File = toml::from_str(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        refuse((at, e.message().to_owned()))
    })?;
    let mut rules: Vec<Rule> = Vec::with_capacity(file.rule.len());
    for rule in &file.rule {
        let name = rule.name.get_ref();
        if before.iter().chain(&rules).any(|other| other.name == *name) {
            let reason =
                format!("there is a rule `{name}` already: rules add to each other, so take another name");
            return Err(refuse((rule.name.span().start, reason)));
        }
        rules.push(read(rule).map_err(refuse)?);
    }
    Ok(rules)
}

/// Returns the line and the column of a byte of the text, both from 1; columns count characters.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (1 + before.matches('\n').count(), 1 + line.chars().count())
}

/// A place in the text and what is wrong there.
type Refused = (usize, String);

fn read(rule: &RuleText) -> Result<Rule, Refused> {
    let name = rule.name.get_ref();
    if name.is_empty() || !name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')) {
        return Err((
            rule.name.span().start,
            format!("`{name}` is no name of a rule: it has only `a–z 0–9 _ -`"),
        ));
    }
    for (list, field) in [(&rule.types, "types"), (&rule.stale, "stale")] {
        if list.get_ref().is_empty() {
            return Err((
                list.span().start,
                format!("`{field}` of rule `{name}` is empty, so it would never apply"),
            ));
        }
    }
    Ok(Rule {
        name: name.clone(),
        types: each(rule.types.get_ref(), type_pattern)?,
        sources: each(&rule.sources, pattern)?,
        subjects: each(&rule.subjects, pattern)?,
        stale: each(rule.stale.get_ref(), Template::parse)?,
    })
}

/// Reads every text of a list, and says of one that is refused where it stands.
fn each<T>(texts: &[Spanned<String>], read: fn(&str) -> Result<T, String>) -> Result<Vec<T>, Refused> {
    texts.iter().map(|text| read(text.get_ref()).map_err(|reason| (text.span().start, reason))).collect()
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).map_err(|error| match error {
        PatternError::Empty => "a pattern is empty".to_owned(),
        PatternError::Star => format!("`{text}` has a `*` that is not at its end"),
    })
}

fn type_pattern(text: &str) -> Result<Pattern, String> {
    let pattern = pattern(text)?;
    let first = text.split(['.', '*']).next().unwrap_or_default();
    if first == "action" {
        return Err(format!(
            "`{text}`: an action announces what may happen and makes nothing stale; name the observation of what did"
        ));
    }
    Ok(pattern)
}
