//! A secret that was found too late.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memmem::Finder;

/// The shortest secret that is looked for: shorter ones occur by chance.
const SHORTEST: usize = 8;
/// The longest.
const LONGEST: usize = 16 << 10;

/// What is to be found wherever it lies: as it is, inside JSON, and in Base64.
///
/// What stands in its place has the same length, so that every place and length around it stays true.
#[derive(Clone)]
pub struct Secret(Vec<Form>);

#[derive(Clone)]
struct Form {
    finder: Finder<'static>,
    /// What each of its bytes becomes.
    mark: u8,
}

/// Why a text can not be taken out of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It would be found by chance.
    #[error("the secret has {0} bytes, and one with fewer than {SHORTEST} would be found by chance")]
    Short(usize),
    /// It is too long.
    #[error("the secret has {0} bytes, and at most {LONGEST} are looked for: give its beginning")]
    Long(usize),
    /// It is not text.
    #[error("the secret is not UTF-8 text")]
    NotText,
}

impl Secret {
    /// Makes one of a text, without the line end behind it.
    ///
    /// # Errors
    ///
    /// Fails when it is too short or too long, or no text. The error does not say it.
    pub fn new(text: &[u8]) -> Result<Self, SecretError> {
        let text = std::str::from_utf8(text).map_err(|_| SecretError::NotText)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        match text.len() {
            short if short < SHORTEST => return Err(SecretError::Short(short)),
            long if long > LONGEST => return Err(SecretError::Long(long)),
            _ => {}
        }
        // Digits may be a number of JSON, which has to stay one.
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let mark = if is_number { b'1' } else { b'*' };
        let form = |bytes: &[u8], mark| Form { finder: Finder::new(bytes).into_owned(), mark };
        let mut forms = vec![form(text.as_bytes(), mark)];
        let in_json = in_json(text);
        if in_json != text {
            forms.push(form(in_json.as_bytes(), b'*'));
        }
        forms.extend((0..3).map(|shift| form(in_base64(text.as_bytes(), shift).as_bytes(), b'A')));
        Ok(Self(forms))
    }

    /// Says whether the secret is in these bytes.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|form| form.finder.find(bytes).is_some())
    }

    /// Returns the bytes with each byte of the secret marked, and how often it was there.
    pub(crate) fn take_out<'a>(&self, bytes: &'a [u8]) -> (Cow<'a, [u8]>, u64) {
        let (mut out, mut count) = (Cow::Borrowed(bytes), 0);
        for Form { finder, mark } in &self.0 {
            let places: Vec<_> = finder.find_iter(&out).collect();
            count += places.len() as u64;
            for at in places {
                out.to_mut()[at..at + finder.needle().len()].fill(*mark);
            }
        }
        (out, count)
    }
}

/// Returns a text as it looks inside a JSON string.
pub(crate) fn in_json(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("a string is JSON");
    quoted[1..quoted.len() - 1].to_owned()
}

/// Returns the characters of Base64 that a text alone decides, where it begins so many bytes behind a group of three.
fn in_base64(text: &[u8], shift: usize) -> String {
    let encoded = STANDARD_NO_PAD.encode([&[0; 3][..shift], text].concat());
    // Each character stands for six bits: those that begin and end within the text.
    encoded[(8 * shift).div_ceil(6)..8 * (shift + text.len()) / 6].to_owned()
}

/// How often a secret was taken out, and of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// How often it was in the log.
    pub times: u64,
    /// How many commits had it.
    pub commits: u64,
    /// How many files of the log were written anew.
    pub segments: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_is_found_as_it_is_and_in_json() {
        let secret = Secret::new(b"top\"secret\n").unwrap();
        let (out, count) = secret.take_out(br#"{"a":"top\"secret","b":"x"} top"secret"#);
        assert_eq!((&*out, count), (&br#"{"a":"***********","b":"x"} **********"#[..], 2));
        let (out, count) = secret.take_out(b"nothing");
        assert!(matches!(out, Cow::Borrowed(_)) && count == 0);
    }

    #[test]
    fn a_number_stays_a_number() {
        let secret = Secret::new(b"9876543210").unwrap();
        assert_eq!(&*secret.take_out(br#"{"n":9876543210}"#).0, br#"{"n":1111111111}"#);
    }

    #[test]
    fn what_can_not_be_looked_for_is_refused_without_being_said() {
        assert_eq!(Secret::new(b"1234567\r\n").err(), Some(SecretError::Short(7)));
        assert_eq!(Secret::new(&[b'x'; LONGEST + 1]).err(), Some(SecretError::Long(LONGEST + 1)));
        assert_eq!(Secret::new(&[0xff; 9]).err(), Some(SecretError::NotText));
    }

    proptest! {
        #[test]
        fn nothing_of_a_secret_stays_in_base64(before in prop::collection::vec(any::<u8>(), 0..7), after in prop::collection::vec(any::<u8>(), 0..7)) {
            let engine = base64::engine::general_purpose::STANDARD;
            let text = b"correct-horse";
            let encoded = engine.encode([&before[..], text, &after].concat());
            let (out, count) = Secret::new(text).unwrap().take_out(encoded.as_bytes());
            prop_assert_eq!(count, 1);
            let decoded = engine.decode(&out).unwrap();
            // At each end at most six bits of a byte are shared with what is beside it.
            prop_assert!(!decoded.windows(4).any(|part| text.windows(4).any(|known| known == part)));
            prop_assert_eq!(decoded.len(), before.len() + text.len() + after.len());
        }
    }
}
