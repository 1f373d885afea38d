//! What must not be stored.

mod patterns;

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;
use undercurrent_types::{Data, Event};

use super::error::PublishError;
use crate::store::in_json;

/// Removes secrets from the data of events before a byte is stored, and refuses events that carry one in an attribute.
///
/// It knows the values that it was given and, unless told otherwise, the [forms of common keys](patterns). How often
/// something was taken out is said by the attribute `redacted` of the event.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Each secret as text and as it looks inside a JSON string.
    secrets: Vec<(String, String)>,
    with_patterns: bool,
}

/// What stands where a secret was.
const REDACTED: &str = "[redacted]";
/// The attribute that says how many secrets were taken out.
const COUNT: &str = "redacted";

impl Redactor {
    /// Makes one that knows these secrets; those shorter than four bytes are passed over, since they occur by chance.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| secret.len() >= 4);
        let secrets = secrets.map(|text| {
            let json = in_json(&text);
            (text, json)
        });
        Self { secrets: secrets.collect(), with_patterns: false }
    }

    /// Has it know the forms of common keys too.
    pub fn with_patterns(self) -> Self {
        Self { with_patterns: true, ..self }
    }

    /// Takes the secrets out of an event's data.
    ///
    /// # Errors
    ///
    /// Fails when an attribute carries one.
    pub(super) fn redact(&self, mut event: Event) -> Result<Event, PublishError> {
        if self.secrets.is_empty() && !self.with_patterns {
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

    /// Takes the secrets out of a text.
    pub(super) fn text(&self, text: &str) -> String {
        self.take_out(text, |(text, _)| text).map_or_else(|| text.to_owned(), |(text, _)| text)
    }

    fn json(&self, json: &RawValue) -> Option<(Data, u64)> {
        let (text, count) = self.take_out(json.get(), |(_, in_json)| in_json)?;
        // A secret that is a number or a word of JSON leaves no JSON behind: then nothing of the data stays.
        let json = RawValue::from_string(text).unwrap_or_else(|_| nothing());
        Some((Data::Json(json), count))
    }

    /// Bytes that are no text are looked at for the configured values only.
    fn bytes(&self, bytes: &Bytes) -> Option<(Data, u64)> {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let (text, count) = self.take_out(text, |(text, _)| text)?;
                Some((Data::Binary(text.into()), count))
            }
            Err(_) => {
                let has_one = self.secrets.iter().any(|(secret, _)| holds(bytes, secret));
                has_one.then(|| (Data::Json(nothing()), 1))
            }
        }
    }

    /// Returns the text without its secrets and how many there were; nothing if there are none.
    fn take_out(&self, text: &str, form: fn(&(String, String)) -> &String) -> Option<(String, u64)> {
        let (mut text, mut count) = (Cow::Borrowed(text), 0);
        for secret in self.secrets.iter().map(form) {
            let times = text.matches(secret.as_str()).count() as u64;
            if times > 0 {
                text = Cow::Owned(text.replace(secret.as_str(), REDACTED));
                count += times;
            }
        }
        if self.with_patterns
            && let (Cow::Owned(without), times) = patterns::take_out(&text)
        {
            (text, count) = (Cow::Owned(without), count + times);
        }
        (count > 0).then(|| (text.into_owned(), count))
    }

    fn check_attributes(&self, event: &Event) -> Result<(), PublishError> {
        let named = [
            ("id", Some(event.id.as_str())),
            ("source", Some(event.source.as_str())),
            ("type", Some(event.ty.as_str())),
            ("subject", event.subject.as_deref()),
            ("time", event.time.as_deref()),
            ("dataschema", event.dataschema.as_deref()),
        ];
        let named = named.into_iter().filter_map(|(name, text)| Some((name, text?)));
        let has_one = |text: &str| {
            self.secrets.iter().any(|(plain, json)| text.contains(plain) || text.contains(json))
                || self.with_patterns && patterns::is_in(text)
        };
        let extensions = event.extensions.iter().map(|(name, value)| (name.as_str(), value.get()));
        match named.chain(extensions).find(|(_, text)| has_one(text)) {
            Some((name, _)) => Err(PublishError::Secret { attribute: name.to_owned() }),
            None => Ok(()),
        }
    }
}

fn nothing() -> Box<RawValue> {
    RawValue::from_string(format!("\"{REDACTED}\"")).expect("a quoted word is JSON")
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
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
    fn the_forms_of_common_keys_leave_the_data_and_are_counted() {
        let redactor = Redactor::new(["hunter2hunter2".to_owned()]).with_patterns();
        let key = format!("AK{}{}", "IA", "ABCDEFGH23456789");
        let data = serde_json::json!({ "out": format!("export KEY={key}\nhunter2hunter2 {key}") });
        let redacted = redactor.redact(event(&data.to_string())).unwrap();
        assert_eq!(redacted.extension("redacted").unwrap(), "3");
        let expected = r#"{"out":"export KEY=[redacted:aws]\n[redacted] [redacted:aws]"}"#;
        assert_eq!(redacted.data.unwrap().as_json().unwrap().get(), expected);

        let bytes = Data::Binary(format!("{key}\n").into_bytes().into());
        let redacted = redactor.redact(event("1").with_data(bytes)).unwrap();
        assert!(matches!(redacted.data, Some(Data::Binary(bytes)) if bytes == "[redacted:aws]\n"));

        let error = redactor.redact(event("1").with_subject(&key)).unwrap_err().to_string();
        assert!(error.contains("`subject`") && !error.contains(&key), "{error}");
        let clean = redactor.redact(event(r#"{"a":"b"}"#)).unwrap();
        assert!(clean.extension("redacted").is_none());
    }
}
