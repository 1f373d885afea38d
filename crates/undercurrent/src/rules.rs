//! Which names an event makes stale: data, and the pure functions that read it.
//!
//! Owns the rules and their text form. Promises that the same event and the same rules give the same names on every
//! machine. Never does I/O, never looks at a clock, and never asks what is cached: an event says all that a rule
//! needs, such as the repository of the file that it is about.

mod latest;
mod read;
mod rule;
mod template;
#[cfg(test)]
mod tests;

use undercurrent_types::wire::{RuleMatch, RulesTested};
use undercurrent_types::{Event, Name, TypeKind, Version};

pub use latest::latest;
pub use rule::Rule;
pub use template::Template;
pub use undercurrent_types::Pattern;

/// The rules that every namespace has, in the form in which a user adds others.
const SHIPPED: &str = include_str!("rules/shipped.toml");

/// The rules of a namespace, in order: the shipped ones, then those that a user added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    rules: Vec<Rule>,
}

impl RuleSet {
    /// Returns the shipped rules alone.
    pub fn shipped() -> Self {
        let rules = read::rules(SHIPPED, "shipped.toml", &[]);
        Self { rules: rules.expect("the shipped rules are constant, and a test reads them") }
    }

    /// Reads rules in TOML and puts them behind the shipped ones.
    ///
    /// Each is a `[[rule]]` with `name`, `types` and `stale`, and where wanted `sources` and `subjects`; see [`Rule`].
    /// A rule can add to what is made stale and never take away from it, so no text breaks the promise of a read.
    ///
    /// # Errors
    ///
    /// Fails with the first thing that is wrong, its line and its column: the TOML itself, an unknown field, a name that is taken,
    /// a pattern or template that is none, or a rule about `action` events.
    pub fn from_toml(text: &str, file_name: &str) -> Result<Self, RuleError> {
        let mut set = Self::shipped();
        let added = read::rules(text, file_name, &set.rules)?;
        set.rules.extend(added);
        Ok(set)
    }

    /// Returns the rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns the hash of the rules' canonical text: equal for two sets exactly when their rules are equal, in order.
    pub fn version(&self) -> String {
        Version::of(Some(self.canonical().as_bytes())).to_string()
    }

    /// Returns the rules as a text with one line for each, from which [`RuleSet::from_canonical`] makes them again.
    pub fn canonical(&self) -> String {
        self.rules.iter().map(Rule::canonical).collect()
    }

    /// Reads what [`RuleSet::canonical`] wrote, the shipped rules of whoever wrote it included.
    ///
    /// # Errors
    ///
    /// Fails with the reason when a line is no rule, such as one with a variable that only a later version knows.
    pub fn from_canonical(text: &str) -> Result<Self, String> {
        let rules = text.lines().map(Rule::from_canonical).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// Returns a rule that this set does not have and the other one has. Where there is none, whatever the other makes
    /// stale this one does too, since a rule only adds.
    pub fn lacks<'a>(&self, other: &'a Self) -> Option<&'a Rule> {
        other.rules.iter().find(|rule| !self.rules.contains(rule))
    }

    /// Returns every name that the event makes stale with the rule that says so, in the order of the rules.
    ///
    /// Only what has happened makes stale: an event that announces an action gives nothing, whatever the rules say.
    pub fn matches(&self, event: &Event) -> Vec<(&str, Name)> {
        if event.ty.kind() == TypeKind::Action {
            return Vec::new();
        }
        let subject = event.subject_key();
        let matching = self.rules.iter().filter(|rule| rule.matches(event, subject.as_ref()));
        matching
            .flat_map(|rule| rule.names(event, subject.as_ref()).into_iter().map(|name| (rule.name(), name)))
            .collect()
    }

    /// Says which names an event would make stale, and by which rules.
    pub fn test(&self, event: &Event) -> RulesTested {
        let stale = self.matches(event).into_iter();
        let stale = stale.map(|(rule, name)| RuleMatch { name, rule: rule.to_owned() }).collect();
        RulesTested { rules: self.version(), stale }
    }

    /// Returns the names that the event makes stale, each once, in the order of the rules.
    pub fn names(&self, event: &Event) -> Vec<Name> {
        let mut names = Vec::new();
        for (_, name) in self.matches(event) {
            // A handful of names: looking through them is quicker than hashing them.
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// Why a text gives no rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {reason}")]
pub struct RuleError {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong there, and what would be right.
    pub reason: String,
}
