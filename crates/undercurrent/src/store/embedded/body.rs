//! What a caller sent, and its hash: by it a repeated id with another body is told.
//!
//! The hash is fast and not made against forgery: who finds two bodies with one hash deceives nobody but their own source.

use twox_hash::XxHash3_128;

/// Returns the hash of an event as it was sent, without its closing brace.
pub(super) fn hash(json_open: &[u8]) -> [u8; 16] {
    XxHash3_128::oneshot(json_open).to_le_bytes()
}

/// Returns the event as it was sent, without its closing brace, of one that has its place.
pub(super) fn sent(json: &[u8]) -> &[u8] {
    memchr::memmem::rfind(json, br#","sequence":""#).map_or(json, |at| &json[..at])
}

#[cfg(test)]
mod tests {
    use undercurrent_types::{Cursor, Epoch, Incarnation, Position, Seq, Token, close_committed};

    use super::*;

    #[test]
    fn what_was_sent_is_found_in_what_was_committed() {
        for open in [
            r#"{"id":"1""#,
            r#"{"data":{"a":1,"sequence":"x","position":"y"}"#,
            r#"{"data":",\"sequence\":\"""#,
        ] {
            let mut json = open.as_bytes().to_vec();
            let cursor = Cursor { epoch: Epoch(1), seq: Seq(2) };
            close_committed(&mut json, cursor, Token { inc: Incarnation(3), position: Position(4) });
            assert_eq!(sent(&json), open.as_bytes());
        }
    }

    #[test]
    fn the_hash_of_what_is_stored_stays_what_it_was() {
        let expected = [145, 143, 186, 138, 29, 38, 148, 109, 80, 59, 109, 9, 163, 153, 19, 91];
        assert_eq!(hash(br#"{"specversion":"1.0","id":"1""#), expected);
    }
}
