//! What must not be stored: secrets by their value and by their form.
//!
//! Owns what is known of secrets. Promises that what it finds in a text it finds in the same text that arrives in chunks,
//! however that is cut, and that what was taken out is marked and counted. Never keeps or tells what it found.

mod chunks;
mod patterns;

use std::borrow::Cow;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use bytes::Bytes;
use serde_json::value::RawValue;
use undercurrent_types::{Data, Event};

use crate::store::in_json;

pub use chunks::Chunks;

/// Removes secrets from the data of events before a byte is stored, and from what commands write, and refuses events that
/// carry one in an attribute.
///
/// It knows the values that it was given and, unless told otherwise, the [forms of common keys](patterns). How often
/// something was taken out of an event is said by its attribute `redacted`. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    values: Option<Arc<Values>>,
    with_patterns: bool,
}

/// An attribute that carries a secret. It does not say the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretAttribute {
    /// Which one.
    pub attribute: String,
}

/// What stands where a configured secret was.
const REDACTED: &str = "[redacted]";
/// The attribute that says how many secrets were taken out.
const COUNT: &str = "redacted";

/// The configured secrets, each as text and as it looks inside a JSON string.
#[derive(Debug)]
struct Values {
    forms: Vec<String>,
    find: AhoCorasick,
    longest: usize,
}

impl Redactor {
    /// Makes one that knows these secrets; those shorter than four bytes are passed over, since they occur by chance.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| secret.len() >= 4);
        let forms: Vec<_> = secrets.flat_map(|text| [in_json(&text), text]).collect();
        let Some(longest) = forms.iter().map(String::len).max() else { return Self::default() };
        let find = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&forms);
        let find = find.expect("a configuration has fewer secrets than 2³¹");
        Self { values: Some(Arc::new(Values { forms, find, longest })), with_patterns: false }
    }

    /// Has it know the forms of common keys too.
    pub fn with_patterns(self) -> Self {
        Self { with_patterns: true, ..self }
    }

    /// Takes the secrets out of a text that arrives in chunks.
    pub fn chunks(&self) -> Chunks {
        Chunks::new(self.values.clone(), self.with_patterns)
    }

    /// Returns a text, or bytes that are none, without the secrets, and how many there were: first the configured values,
    /// then the forms of keys in what is left.
    pub fn take_out<'a>(&self, text: &'a [u8]) -> (Cow<'a, [u8]>, u64) {
        let (text, values) =
            self.values.as_ref().map_or((Cow::Borrowed(text), 0), |known| known.take_out(text));
        if !self.with_patterns {
            return (text, values);
        }
        match patterns::take_out(&text) {
            (Cow::Owned(without), keys) => (Cow::Owned(without), values + keys),
            (Cow::Borrowed(_), _) => (text, values),
        }
    }

    /// Takes the secrets out of a text for people.
    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.take_out(text.as_bytes()).0).into_owned()
    }

    /// Takes the secrets out of an event's data.
    ///
    /// # Errors
    ///
    /// Fails when an attribute carries one: attributes are never changed.
    pub fn redact(&self, mut event: Event) -> Result<Event, SecretAttribute> {
        if self.values.is_none() && !self.with_patterns {
            return Ok(event);
        }
        self.check_attributes(&event)?;
        let redacted = match &event.data {
            Some(Data::Json(json)) => self.json(json),
            Some(Data::Binary(bytes)) => self.bytes(bytes),
            None => None,
        };
        if let Some((data, count)) = redacted {
            event.data = Some(data);
            let number = RawValue::from_string(count.to_string()).expect("a number is JSON");
            event.extensions.insert(COUNT.to_owned(), number);
        }
        Ok(event)
    }

    fn json(&self, json: &RawValue) -> Option<(Data, u64)> {
        let (Cow::Owned(text), count) = self.take_out(json.get().as_bytes()) else { return None };
        let json = String::from_utf8(text).ok().and_then(|text| RawValue::from_string(text).ok());
        // A secret that is a number or a word of JSON leaves no JSON behind: then nothing of the data stays.
        Some((Data::Json(json.unwrap_or_else(nothing)), count))
    }

    fn bytes(&self, bytes: &Bytes) -> Option<(Data, u64)> {
        let (Cow::Owned(bytes), count) = self.take_out(bytes) else { return None };
        Some((Data::Binary(bytes.into()), count))
    }

    fn check_attributes(&self, event: &Event) -> Result<(), SecretAttribute> {
        let named = [
            ("id", Some(event.id.as_str())),
            ("source", Some(event.source.as_str())),
            ("type", Some(event.ty.as_str())),
            ("subject", event.subject.as_deref()),
            ("time", event.time.as_deref()),
            ("datacontenttype", event.datacontenttype.as_deref()),
            ("dataschema", event.dataschema.as_deref()),
        ];
        let named = named.into_iter().filter_map(|(name, text)| Some((name, text?)));
        let has_one = |text: &str| {
            self.values.as_ref().is_some_and(|values| values.find.is_match(text))
                || self.with_patterns && patterns::is_in(text.as_bytes())
        };
        let extensions = event.extensions.iter().map(|(name, value)| (name.as_str(), value.get()));
        match named.chain(extensions).find(|(_, text)| has_one(text)) {
            Some((name, _)) => Err(SecretAttribute { attribute: name.to_owned() }),
            None => Ok(()),
        }
    }
}

impl Values {
    fn take_out<'a>(&self, text: &'a [u8]) -> (Cow<'a, [u8]>, u64) {
        let (mut out, mut count) = (Vec::new(), 0);
        self.find.replace_all_with_bytes(text, &mut out, |_, _, out| {
            count += 1;
            out.extend_from_slice(REDACTED.as_bytes());
            true
        });
        if count == 0 { (Cow::Borrowed(text), 0) } else { (Cow::Owned(out), count) }
    }

    /// Says where in a text the first secret may begin that is not there in full yet.
    fn unfinished(&self, text: &[u8]) -> usize {
        let first = (text.len() + 1).saturating_sub(self.longest);
        let begins = |rest: &[u8]| {
            self.forms.iter().any(|form| form.len() > rest.len() && form.as_bytes().starts_with(rest))
        };
        (first..text.len()).find(|at| begins(&text[*at..])).unwrap_or(text.len())
    }
}

fn nothing() -> Box<RawValue> {
    RawValue::from_string(format!("\"{REDACTED}\"")).expect("a quoted word is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use undercurrent_types::{EventSource, EventType};

    fn event(data: &str) -> Event {
        let ty: EventType = "message".parse().unwrap();
        let source: EventSource = "user/1".parse().unwrap();
        Event::new(ty, source).with_data(Data::from_json(data.as_bytes()).unwrap())
    }

    #[test]
    fn a_configured_secret_leaves_the_data_and_is_refused_in_attributes() {
        let redactor = Redactor::new(["s3cr\"et".to_owned(), "1234567".to_owned(), "abc".to_owned()]);
        let check = |given: &str, expected: &str| {
            let redacted = redactor.redact(event(given)).unwrap();
            assert_eq!(redacted.data.unwrap().as_json().unwrap().get(), expected);
        };
        check(r#"{"a":"x s3cr\"et y"}"#, r#"{"a":"x [redacted] y"}"#);
        check(r#"{"a":1234567}"#, r#""[redacted]""#);
        check(r#"{"a":"abc"}"#, r#"{"a":"abc"}"#);
        assert!(redactor.redact(event("1").with_subject("x s3cr\"et")).is_err());
        assert!(redactor.redact(event("1").with_id("1234567")).is_err());
    }

    #[test]
    fn no_attribute_may_carry_a_secret() {
        let redactor = Redactor::new(["hunter2hunter2".to_owned()]).with_patterns();
        let key = format!("AK{}{}", "IA", "ABCDEFGH23456789");
        for secret in ["hunter2hunter2", &key] {
            let mut typed = event("1").with_subject(secret);
            typed.subject = None;
            typed.datacontenttype = Some(format!("text/plain; x={secret}"));
            let mut sourced = event("1");
            sourced.source = format!("user/{secret}").parse().unwrap();
            let events = [
                ("id", event("1").with_id(secret)),
                ("subject", event("1").with_subject(secret)),
                ("datacontenttype", typed),
                ("note", event("1").with_extension("note", secret).unwrap()),
                ("source", sourced),
            ];
            for (attribute, event) in events {
                let refused = redactor.redact(event).unwrap_err();
                assert_eq!(refused.attribute, attribute);
            }
        }
    }

    #[test]
    fn the_forms_of_common_keys_leave_the_data_and_are_counted() {
        let redactor = Redactor::new(["hunter2hunter2".to_owned()]).with_patterns();
        let key = format!("AK{}{}", "IA", "ABCDEFGH23456789");
        let data = serde_json::json!({ "out": format!("export KEY={key}\nhunter2hunter2 {key}") });
        let redacted = redactor.redact(event(&data.to_string())).unwrap();
        assert_eq!(redacted.extension("redacted").unwrap(), "3");
        let expected = r#"{"out":"export KEY=[redacted:aws]\n[redacted] [redacted:aws]"}"#;
        assert_eq!(redacted.data.unwrap().as_json().unwrap().get(), expected);
        let clean = redactor.redact(event(r#"{"a":"b"}"#)).unwrap();
        assert!(clean.extension("redacted").is_none());
    }

    #[test]
    fn bytes_that_are_no_text_are_looked_at_too() {
        let redactor = Redactor::new(["hunter2hunter2".to_owned()]).with_patterns();
        let key = format!("AK{}{}", "IA", "ABCDEFGH23456789");
        let given = [b"\xff ", key.as_bytes(), b"\n\xfe hunter2hunter2"].concat();
        let redacted = redactor.redact(event("1").with_data(Data::Binary(given.into()))).unwrap();
        let Some(Data::Binary(bytes)) = redacted.data else { panic!("bytes stay bytes") };
        assert_eq!(bytes, &b"\xff [redacted:aws]\n\xfe [redacted]"[..]);
    }

    #[test]
    fn of_two_secrets_that_begin_alike_the_longer_is_taken_out() {
        let redactor = Redactor::new(["pass".to_owned(), "password-1".to_owned()]);
        let (text, count) = redactor.take_out(b"password-1 pass passwor");
        assert_eq!((&*text, count), (&b"[redacted] [redacted] [redacted]wor"[..], 3));
    }
}
