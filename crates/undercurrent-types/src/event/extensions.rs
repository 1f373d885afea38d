//! The extension attributes: those that Undercurrent knows, and all others.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Event, EventError, limits};

impl Event {
    /// Returns an extension attribute as text: a string decoded, a boolean or an integer as it is written.
    pub fn extension(&self, name: &str) -> Option<Cow<'_, str>> {
        text_of(self.extensions.get(name)?)
    }

    /// Sets an extension attribute to a string, a boolean or an integer; `None` takes it away.
    ///
    /// # Errors
    ///
    /// Fails when the name is not 1 to 20 of `a–z 0–9`, belongs to an attribute of CloudEvents or of the commit, or
    /// the value is of another type, out of the range of 32 bits, or longer than 4096 bytes.
    pub fn with_extension(mut self, name: &str, value: impl Serialize) -> Result<Self, EventError> {
        limits::check_extension_name(name)?;
        let json = to_raw_value(&value)
            .map_err(|e| EventError::Unserializable { attribute: name.to_owned(), reason: e.to_string() })?;
        if json.get() == "null" {
            self.extensions.remove(name);
            return Ok(self);
        }
        limits::check_extension_value(name, &json)?;
        limits::check_extension_length(name, &json)?;
        self.extensions.insert(name.to_owned(), json);
        Ok(self)
    }

    /// Returns the id of the event that caused this one.
    pub fn causationid(&self) -> Option<Cow<'_, str>> {
        self.extension("causationid")
    }

    /// Sets the id of the event that caused this one.
    #[must_use]
    pub fn with_causationid(self, id: &str) -> Self {
        self.with_text("causationid", id)
    }

    /// Returns the run that the event belongs to.
    pub fn correlationid(&self) -> Option<Cow<'_, str>> {
        self.extension("correlationid")
    }

    /// Sets the run that the event belongs to.
    #[must_use]
    pub fn with_correlationid(self, id: &str) -> Self {
        self.with_text("correlationid", id)
    }

    /// Returns the agent that acted.
    pub fn agentid(&self) -> Option<Cow<'_, str>> {
        self.extension("agentid")
    }

    /// Sets the agent that acted.
    #[must_use]
    pub fn with_agentid(self, id: &str) -> Self {
        self.with_text("agentid", id)
    }

    /// Returns the agent under which the agent acted.
    pub fn parentagentid(&self) -> Option<Cow<'_, str>> {
        self.extension("parentagentid")
    }

    /// Sets the agent under which the agent acted.
    #[must_use]
    pub fn with_parentagentid(self, id: &str) -> Self {
        self.with_text("parentagentid", id)
    }

    /// Returns the tool call for which the agent acted.
    pub fn toolcallid(&self) -> Option<Cow<'_, str>> {
        self.extension("toolcallid")
    }

    /// Sets the tool call for which the agent acted.
    #[must_use]
    pub fn with_toolcallid(self, id: &str) -> Self {
        self.with_text("toolcallid", id)
    }

    /// Returns the W3C trace context.
    pub fn traceparent(&self) -> Option<Cow<'_, str>> {
        self.extension("traceparent")
    }

    /// Sets the W3C trace context.
    #[must_use]
    pub fn with_traceparent(self, context: &str) -> Self {
        self.with_text("traceparent", context)
    }

    /// Returns the version at the source: a content hash, git oid, resourceVersion, ETag or queue offset.
    pub fn srcversion(&self) -> Option<Cow<'_, str>> {
        self.extension("srcversion")
    }

    /// Sets the version at the source.
    #[must_use]
    pub fn with_srcversion(self, version: &str) -> Self {
        self.with_text("srcversion", version)
    }

    /// Sets a known extension attribute to a text that [`Event::validate`] checks later.
    fn with_text(mut self, name: &str, text: &str) -> Self {
        let json = to_raw_value(text).expect("a string has a JSON form");
        self.extensions.insert(name.to_owned(), json);
        self
    }
}

/// Returns the text of a string, or the JSON of another scalar; `None` for a string that is no Unicode.
fn text_of(json: &RawValue) -> Option<Cow<'_, str>> {
    let raw = json.get();
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(raw).ok().map(Cow::Owned),
        None => Some(Cow::Borrowed(raw)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventSource, EventType};

    fn event() -> Event {
        Event::new(EventType::try_from("message").unwrap(), EventSource::try_from("agent/7").unwrap())
    }

    #[test]
    fn a_known_attribute_is_read_as_it_was_set() {
        let text = "a \"quoted\" ä";
        let event = event()
            .with_causationid(text)
            .with_correlationid("run")
            .with_agentid("agent")
            .with_parentagentid("parent")
            .with_toolcallid("call")
            .with_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .with_srcversion("v1");
        assert_eq!(event.causationid().unwrap(), text);
        assert_eq!(event.correlationid().unwrap(), "run");
        assert_eq!(event.agentid().unwrap(), "agent");
        assert_eq!(event.parentagentid().unwrap(), "parent");
        assert_eq!(event.toolcallid().unwrap(), "call");
        assert!(event.traceparent().unwrap().starts_with("00-0af7"));
        assert_eq!(event.srcversion().unwrap(), "v1");
        assert_eq!(event.extensions.len(), 7);
        assert_eq!(event.validate(), Ok(()));
    }

    #[test]
    fn an_extension_of_any_type_reads_as_text() {
        let event = event().with_extension("a", 7).unwrap().with_extension("b", true).unwrap();
        assert_eq!(event.extension("a").unwrap(), "7");
        assert_eq!(event.extension("b").unwrap(), "true");
        assert_eq!(event.extension("c"), None);
    }

    #[test]
    fn none_takes_an_extension_away() {
        let event = event().with_extension("a", "x").unwrap().with_extension("a", None::<&str>).unwrap();
        assert!(event.extensions.is_empty());
    }

    #[test]
    fn a_setter_refuses_what_is_no_extension() {
        type Refused = fn(&EventError) -> bool;
        let cases: [(&str, serde_json::Value, Refused); 8] = [
            ("id", "x".into(), |e| matches!(e, EventError::NotAnExtension { .. })),
            ("data", "x".into(), |e| matches!(e, EventError::NotAnExtension { .. })),
            ("sequence", "x".into(), |e| matches!(e, EventError::AssignedAtCommit { attribute: "sequence" })),
            ("Upper", "x".into(), |e| matches!(e, EventError::ExtensionName { .. })),
            ("a", serde_json::json!({}), |e| matches!(e, EventError::ExtensionValue { .. })),
            ("a", 2_147_483_648_i64.into(), |e| matches!(e, EventError::ExtensionValue { .. })),
            ("a", "\u{7}".into(), |e| matches!(e, EventError::Characters { .. })),
            ("a", "x".repeat(4097).into(), |e| matches!(e, EventError::TooLong { actual: 4097, .. })),
        ];
        for (name, value, expected) in cases {
            let error = event().with_extension(name, &value).unwrap_err();
            assert!(expected(&error), "`{name}` gave `{error}`");
        }
    }
}
