//! Durations as configuration writes them.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// Reads `<n>ms`, `<n>s`, `<n>m` or `<n>h`.
fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let seconds = match &text[digits..] {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "`{text}` is not a duration: expected such as `500ms`, `30s`, `5m` or `1h`"
        ))
    })
}

/// The same where it may be left out.
pub(super) mod maybe {
    use super::{Deserializer, Duration};

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        let cases = [
            ("250ms", Some(Duration::from_millis(250))),
            ("2s", Some(Duration::from_secs(2))),
            ("3m", Some(Duration::from_secs(180))),
            ("1h", Some(Duration::from_secs(3600))),
            ("", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1d", None),
            ("18446744073709551615h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "`{text}`");
        }
    }
}
