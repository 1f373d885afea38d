//! What must not be stored.

use serde_json::value::RawValue;
use undercurrent_types::{Data, Event};

use super::error::PublishError;

/// Removes configured secrets from the data of events before a byte is stored, and refuses events that carry one in an
/// attribute.
///
/// Patterns of well-known key formats are not looked for yet; only the values that it was given.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Each secret as text and as it looks inside a JSON string.
    secrets: Vec<(String, String)>,
}

/// What stands where a secret was.
const REDACTED: &str = "[redacted]";

impl Redactor {
    /// Makes one that knows these secrets; those shorter than four bytes are passed over, since they occur by chance.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| secret.len() >= 4);
        let in_json = |secret: &String| {
            let quoted = serde_json::to_string(secret).expect("a string is JSON");
            quoted[1..quoted.len() - 1].to_owned()
        };
        let secrets = secrets.map(|text| {
            let json = in_json(&text);
            (text, json)
        });
        Self { secrets: secrets.collect() }
    }

    /// Takes the secrets out of an event's data.
    ///
    /// # Errors
    ///
    /// Fails when an attribute carries one.
    pub(super) fn redact(&self, mut event: Event) -> Result<Event, PublishError> {
        if self.secrets.is_empty() {
            return Ok(event);
        }
        self.check_attributes(&event)?;
        match &event.data {
            Some(Data::Json(json)) if self.secrets.iter().any(|(_, secret)| json.get().contains(secret)) => {
                let mut text = json.get().to_owned();
                for (_, secret) in &self.secrets {
                    text = text.replace(secret, REDACTED);
                }
                // A secret that is a number or a word of JSON leaves no JSON behind: then nothing of the data stays.
                let json =
                    RawValue::from_string(text).or_else(|_| RawValue::from_string(format!("\"{REDACTED}\"")));
                event.data = json.ok().map(Data::Json);
            }
            Some(Data::Binary(bytes)) if self.secrets.iter().any(|(secret, _)| holds(bytes, secret)) => {
                event.data = RawValue::from_string(format!("\"{REDACTED}\"")).ok().map(Data::Json);
            }
            _ => {}
        }
        Ok(event)
    }

    fn check_attributes(&self, event: &Event) -> Result<(), PublishError> {
        let texts = [Some(event.id.as_str()), Some(event.source.as_str()), Some(event.ty.as_str())]
            .into_iter()
            .chain([event.subject.as_deref(), event.time.as_deref(), event.dataschema.as_deref()])
            .flatten();
        let extensions = event.extensions.values().map(|value| value.get());
        let found = self.secrets.iter().any(|(text, json)| {
            texts.clone().any(|one| one.contains(text)) || extensions.clone().any(|one| one.contains(json))
        });
        if found { Err(PublishError::Secret) } else { Ok(()) }
    }
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
}
