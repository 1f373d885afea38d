//! What an event has to keep to: the rules of CloudEvents, and the limits on size.
//!
//! Rules are checked whenever an event is read or published. Limits are checked when it comes in, not when a
//! committed one is read again, so what was accepted once stays readable.

use serde_json::value::RawValue;

use crate::cursor::clip;

use super::{Event, EventError};

impl Event {
    /// The largest data, in bytes: of JSON as it is sent, of binary data before base64.
    pub const LARGEST_DATA: usize = 1 << 20;
    /// The longest id, in bytes.
    pub const LONGEST_ID: usize = 256;
    /// The longest value of any other attribute, in bytes; that of an extension as it is sent, without its quotes.
    pub const LONGEST_ATTRIBUTE: usize = 4096;
    /// The most that all attributes may have together, in bytes, names included.
    pub const LARGEST_ATTRIBUTES: usize = 64 << 10;
    /// The longest name of an extension attribute.
    pub const LONGEST_EXTENSION_NAME: usize = 20;

    /// Checks what [`Event::from_json`] checks, for an event built in Rust.
    ///
    /// `sequence` and `position` of an event that was read are no fault: only the commit writes them.
    ///
    /// # Errors
    ///
    /// Fails when an attribute breaks a rule of CloudEvents or the event passes a limit.
    pub fn validate(&self) -> Result<(), EventError> {
        self.check_rules()?;
        self.check_limits()
    }

    /// Checks the rules, whatever the size.
    pub(super) fn check_rules(&self) -> Result<(), EventError> {
        let texts = [
            ("id", Some(&self.id)),
            ("subject", self.subject.as_ref()),
            ("time", self.time.as_ref()),
            ("datacontenttype", self.datacontenttype.as_ref()),
            ("dataschema", self.dataschema.as_ref()),
        ];
        for (attribute, text) in texts {
            let Some(text) = text else { continue };
            if text.is_empty() {
                return Err(EventError::Empty { attribute });
            }
            check_characters(attribute, text)?;
        }
        if let Some(given) = self.time.as_deref().filter(|t| !is_timestamp(t)) {
            return Err(EventError::Time { given: clip(given) });
        }
        if let Some(given) = self.datacontenttype.as_deref().filter(|t| !is_media_type(t)) {
            return Err(EventError::ContentType { given: clip(given) });
        }
        if let Some(given) = self.dataschema.as_deref().filter(|t| t.contains(char::is_whitespace)) {
            return Err(EventError::Schema { given: clip(given) });
        }
        self.extensions.iter().try_for_each(|(name, json)| {
            check_extension_name(name)?;
            check_extension_value(name, json)
        })
    }

    /// Returns the size that quotas count, in bytes: the attributes with their names, and the data.
    pub fn size(&self) -> usize {
        self.size_of_attributes() + self.data.as_ref().map_or(0, super::Data::size)
    }

    fn size_of_attributes(&self) -> usize {
        let texts = self.texts().map(|(name, text)| name.len() + text.len());
        let extensions = self.extensions.iter().map(|(name, json)| name.len() + extension_length(json));
        let always = "specversion".len() + "1.0".len() + "id".len() + self.id.len();
        always + texts.chain(extensions).sum::<usize>()
    }

    /// Returns the attributes that are texts and there, but for the id.
    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let texts = [
            ("source", Some(self.source.as_str())),
            ("type", Some(self.ty.as_str())),
            ("subject", self.subject.as_deref()),
            ("time", self.time.as_deref()),
            ("datacontenttype", self.datacontenttype.as_deref()),
            ("dataschema", self.dataschema.as_deref()),
        ];
        texts.into_iter().filter_map(|(name, text)| Some((name, text?)))
    }

    /// Checks the limits on size.
    pub(super) fn check_limits(&self) -> Result<(), EventError> {
        check_length("id", self.id.len(), Self::LONGEST_ID)?;
        for (name, text) in self.texts() {
            check_length(name, text.len(), Self::LONGEST_ATTRIBUTE)?;
        }
        for (name, json) in &self.extensions {
            check_extension_length(name, json)?;
        }
        let together = self.size_of_attributes();
        if together > Self::LARGEST_ATTRIBUTES {
            return Err(EventError::AttributesTooLarge { actual: together, limit: Self::LARGEST_ATTRIBUTES });
        }
        match self.data.as_ref().map_or(0, super::Data::size) {
            actual if actual > Self::LARGEST_DATA => {
                Err(EventError::DataTooLarge { actual, limit: Self::LARGEST_DATA })
            }
            _ => Ok(()),
        }
    }
}

/// Refuses an attribute that is longer than its limit.
pub(super) fn check_length(attribute: &str, actual: usize, limit: usize) -> Result<(), EventError> {
    if actual > limit {
        return Err(EventError::TooLong { attribute: attribute.to_owned(), actual, limit });
    }
    Ok(())
}

/// Refuses what the type system of CloudEvents keeps out of strings: control characters and noncharacters.
pub(super) fn check_characters(attribute: &str, text: &str) -> Result<(), EventError> {
    // Nearly all of them are this, and need not be read character by character.
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Ok(());
    }
    let refused =
        |c: &char| c.is_control() || matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(*c) & 0xfffe == 0xfffe;
    match text.chars().find(refused) {
        Some(c) => Err(EventError::Characters {
            attribute: attribute.to_owned(),
            found: format!("the character U+{:04X}", u32::from(c)),
        }),
        None => Ok(()),
    }
}

/// Refuses a name that no extension attribute can have.
pub(super) fn check_extension_name(name: &str) -> Result<(), EventError> {
    match name {
        "sequence" => return Err(EventError::AssignedAtCommit { attribute: "sequence" }),
        "position" => return Err(EventError::AssignedAtCommit { attribute: "position" }),
        "specversion" | "id" | "source" | "type" | "subject" | "time" | "datacontenttype" | "dataschema"
        | "data" => {
            return Err(EventError::NotAnExtension { name: name.to_owned() });
        }
        _ => {}
    }
    let well_formed = (1..=Event::LONGEST_EXTENSION_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !well_formed {
        return Err(EventError::ExtensionName { name: clip(name) });
    }
    Ok(())
}

/// Refuses an extension attribute that is no string, boolean or integer of 32 bits.
pub(super) fn check_extension_value(name: &str, json: &RawValue) -> Result<(), EventError> {
    let raw = json.get();
    let found = match raw.as_bytes().first() {
        Some(b'"') => return check_characters(name, &decode(name, json)?),
        Some(b't' | b'f') => return Ok(()),
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "an array".to_owned(),
        Some(b'n') => "null".to_owned(),
        _ if raw.parse::<i32>().is_ok() => return Ok(()),
        _ => format!("the number `{}`", clip(raw)),
    };
    Err(EventError::ExtensionValue { attribute: name.to_owned(), found })
}

/// Decodes a JSON string that is known to be one: what fails are unpaired surrogates.
pub(super) fn decode(attribute: &str, json: &RawValue) -> Result<String, EventError> {
    serde_json::from_str(json.get()).map_err(|_| EventError::Characters {
        attribute: attribute.to_owned(),
        found: "an unpaired surrogate".to_owned(),
    })
}

/// Refuses an extension attribute that is too long.
pub(super) fn check_extension_length(name: &str, json: &RawValue) -> Result<(), EventError> {
    check_length(name, extension_length(json), Event::LONGEST_ATTRIBUTE)
}

fn extension_length(json: &RawValue) -> usize {
    let raw = json.get();
    if raw.starts_with('"') { raw.len() - 2 } else { raw.len() }
}

/// Says whether a text is a timestamp by RFC 3339, section 5.6, with a `T` between date and time.
///
/// The shape is checked here, since jiff reads far more than RFC 3339; jiff knows the days of the months.
fn is_timestamp(text: &str) -> bool {
    let Some((local, rest)) = text.split_at_checked("2026-10-05T14:30:00".len()) else { return false };
    let shape = local.bytes().zip(b"dddd-dd-ddtdd:dd:dd").all(|(b, form)| match form {
        b'd' => b.is_ascii_digit(),
        form => b.to_ascii_lowercase() == *form,
    });
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => match fraction.trim_start_matches(|c: char| c.is_ascii_digit()) {
            offset if offset.len() < fraction.len() => offset,
            _ => return false,
        },
        None => rest,
    };
    shape && is_offset(offset) && local.parse::<jiff::civil::DateTime>().is_ok()
}

fn is_offset(text: &str) -> bool {
    let two = |tens: u8, ones: u8, below: u8| {
        tens.is_ascii_digit() && ones.is_ascii_digit() && (tens - b'0') * 10 + (ones - b'0') < below
    };
    match text.as_bytes() {
        [b'Z' | b'z'] => true,
        &[b'+' | b'-', h, hh, b':', m, mm] => two(h, hh, 24) && two(m, mm, 60),
        _ => false,
    }
}

/// Says whether a text may be a media type: two tokens around a slash, then anything after a semicolon.
fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or(text).trim();
    let is_token = |t: &str| {
        !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_what_rfc_3339_says_and_no_more() {
        for good in [
            "2026-10-05T14:30:00Z",
            "2026-10-05t14:30:00z",
            "2026-10-05T14:30:00.5+02:00",
            "2026-10-05T14:30:00.123456789123-23:59",
            "2024-02-29T00:00:00-00:00",
            "2016-12-31T23:59:60Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert!(is_timestamp(good), "`{good}` was refused");
        }
        for bad in [
            "",
            "now",
            "2026-10-05",
            "2026-10-05 14:30:00Z",
            "2026-10-05T14:30:00",
            "2026-10-05T14:30Z",
            "2026-10-05T14:30:00.Z",
            "2026-10-05T14:30:00,5Z",
            "2026-10-05T14:30:00+0200",
            "2026-10-05T14:30:00+24:00",
            "2026-10-05T14:30:00+02:60",
            "2026-10-05T14:30:00+02:00:00",
            "2026-10-05T14:30:00Z[UTC]",
            "2026-10-05T24:00:00Z",
            "2026-13-05T14:30:00Z",
            "2025-02-29T14:30:00Z",
            "+002026-10-05T14:30:00Z",
            "20261005T143000Z",
            "2026-10-05T14:30:0ä",
            "2026-10-05T14:30:00 Z",
        ] {
            assert!(!is_timestamp(bad), "`{bad}` was accepted");
        }
    }

    #[test]
    fn a_media_type_has_two_tokens() {
        for good in ["application/json", "text/xml; charset=utf-8", "application/cloudevents+json", "image/*"]
        {
            assert!(is_media_type(good), "`{good}` was refused");
        }
        for bad in ["json", "/", "a/", "/b", "a/b/c", "a b/c", "a/b c", "; charset=utf-8", "ä/b"] {
            assert!(!is_media_type(bad), "`{bad}` was accepted");
        }
    }

    #[test]
    fn characters_that_cloudevents_excludes_are_found() {
        for bad in
            ["\0", "\u{1f}", "\u{7f}", "\u{9f}", "\u{fdd0}", "\u{fdef}", "\u{fffe}", "\u{ffff}", "\u{10ffff}"]
        {
            assert!(check_characters("x", bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["", " ", "~", "\u{a0}", "ä", "\u{fdcf}", "\u{fdf0}", "\u{fffd}", "😀"] {
            assert_eq!(check_characters("x", good), Ok(()), "{good:?} was refused");
        }
    }
}
