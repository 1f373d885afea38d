//! How much a stream keeps, as people write it: `7d`, `64MiB`, `100000`, or `none` for no limit.

use std::time::Duration;

/// Why a text is no limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no {what}")]
pub struct LimitError {
    given: String,
    what: &'static str,
}

/// Reads an age: a whole number with `s`, `m`, `h` or `d` behind it, or `none`.
///
/// # Errors
///
/// Fails when it is anything else, or too large to count in milliseconds.
pub fn parse_age(text: &str) -> Result<Option<Duration>, LimitError> {
    let what = "age: a number with `s`, `m`, `h` or `d` behind it, such as `7d`, or `none`";
    let seconds = parse(text, what, &[("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)])?;
    let fits = |seconds: &u64| seconds.checked_mul(1000).is_some();
    match seconds {
        Some(seconds) if !fits(&seconds) => Err(LimitError { given: text.to_owned(), what }),
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

/// Reads a number of bytes: a whole number, with `KiB`, `MiB` or `GiB` behind it or nothing, or `none`.
///
/// # Errors
///
/// Fails when it is anything else, or too large.
pub fn parse_bytes(text: &str) -> Result<Option<u64>, LimitError> {
    let what = "number of bytes, such as `500000`, `64MiB` or `1GiB`, or `none`";
    parse(text, what, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)])
}

/// Reads a number of events, or `none`.
///
/// # Errors
///
/// Fails when it is anything else.
pub fn parse_count(text: &str) -> Result<Option<u64>, LimitError> {
    parse(text, "number of events, such as `100000`, or `none`", &[("", 1)])
}

fn parse(text: &str, what: &'static str, units: &[(&str, u64)]) -> Result<Option<u64>, LimitError> {
    if text == "none" {
        return Ok(None);
    }
    let refuse = || LimitError { given: text.to_owned(), what };
    let (digits, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .filter(|(digits, _)| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(refuse)?;
    let number: u64 = digits.parse().map_err(|_| refuse())?;
    number.checked_mul(*factor).map(Some).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_people_write_them() {
        assert_eq!(parse_age("7d"), Ok(Some(Duration::from_secs(604_800))));
        assert_eq!(parse_age("none"), Ok(None));
        assert_eq!(parse_bytes("64MiB"), Ok(Some(64 << 20)));
        assert_eq!(parse_bytes("12"), Ok(Some(12)));
        assert_eq!(parse_count("0"), Ok(Some(0)));
        for bad in ["", "7", "d", "-1s", "1.5h", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse_age(bad).is_err(), "`{bad}` was taken");
        }
        for bad in ["", "KiB", "1TB", "99999999999999999999"] {
            assert!(parse_bytes(bad).is_err(), "`{bad}` was taken");
        }
        assert!(parse_count("1k").unwrap_err().to_string().contains("`1k` is no number of events"));
    }
}
