//! Where in what passes a pause begins: a pure decision.

/// The longest pattern.
pub(super) const LONGEST: usize = 256;

/// A place in the bytes of one direction of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Point {
    /// Before the first byte of a pattern. What may be the beginning of it waits for more.
    Before(Vec<u8>),
    /// After the last byte of a pattern.
    After(Vec<u8>),
    /// After so many bytes more.
    AfterBytes(u64),
}

/// What may pass of some bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pass {
    /// So many from the front.
    pub(super) bytes: usize,
    /// The point is reached behind them.
    pub(super) reached: bool,
}

impl Point {
    /// Decides what may pass of the bytes that wait, after the last ones that have passed.
    pub(super) fn decide(&self, passed: &[u8], waiting: &[u8]) -> Pass {
        match self {
            Self::AfterBytes(left) => match usize::try_from(*left) {
                Ok(left) if left <= waiting.len() => Pass { bytes: left, reached: true },
                _ => Pass { bytes: waiting.len(), reached: false },
            },
            Self::Before(pattern) => match find(waiting, pattern) {
                Some(bytes) => Pass { bytes, reached: true },
                None => Pass { bytes: waiting.len() - beginning(waiting, pattern), reached: false },
            },
            Self::After(pattern) => {
                // As much of what has passed as can belong to a pattern that ends in what waits.
                let before = &passed[passed.len().saturating_sub(pattern.len().saturating_sub(1))..];
                let both = [before, waiting].concat();
                match find(&both, pattern) {
                    Some(at) => Pass { bytes: at + pattern.len() - before.len(), reached: true },
                    None => Pass { bytes: waiting.len(), reached: false },
                }
            }
        }
    }

    /// Takes note of bytes that have passed without reaching it.
    pub(super) fn passed(&mut self, bytes: usize) {
        if let Self::AfterBytes(left) = self {
            *left = left.saturating_sub(bytes as u64);
        }
    }

    pub(super) fn check(&self) {
        if let Self::Before(pattern) | Self::After(pattern) = self {
            let fits = (1..=LONGEST).contains(&pattern.len());
            assert!(fits, "a pattern has 1 to {LONGEST} bytes, not {}", pattern.len());
        }
    }
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

/// Returns how many bytes at the end may be the beginning of the pattern.
fn beginning(text: &[u8], pattern: &[u8]) -> usize {
    let longest = text.len().min(pattern.len() - 1);
    (1..=longest).rev().find(|&len| text.ends_with(&pattern[..len])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_found_also_where_it_comes_in_pieces() {
        let before = || Point::Before(b"abc".to_vec());
        let after = || Point::After(b"abc".to_vec());
        let cases = [
            (before(), "", "xabcx", 1, true),
            (before(), "", "xab", 1, false),
            (before(), "", "xaab", 2, false),
            (before(), "", "xabx", 4, false),
            // What has passed can not be held back any more.
            (before(), "ab", "cx", 2, false),
            (after(), "", "xabcx", 4, true),
            (after(), "", "xab", 3, false),
            (after(), "xab", "cx", 1, true),
            (after(), "abc", "x", 1, false),
            (Point::AfterBytes(2), "abc", "abc", 2, true),
            (Point::AfterBytes(0), "abc", "abc", 0, true),
            (Point::AfterBytes(4), "abc", "abc", 3, false),
        ];
        for (point, passed, waiting, bytes, reached) in cases {
            let pass = point.decide(passed.as_bytes(), waiting.as_bytes());
            assert_eq!(pass, Pass { bytes, reached }, "{point:?} {passed} {waiting}");
        }
    }
}
