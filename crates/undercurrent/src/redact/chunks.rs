//! Secrets in a text that arrives in chunks.
//!
//! What is let out is only what no later chunk can change: behind a line end for the forms of keys, since none but a
//! private key crosses one, and before anything that may be the beginning of a configured value. A private key is followed
//! from its first line to its last.

use std::sync::Arc;

use memchr::{memchr2, memrchr2};

use super::patterns::{self, Found};
use super::{REDACTED, Values};

/// How much of one line is held back; see [`Chunks`].
const LONGEST_LINE: usize = 64 << 10;
/// How many bytes before a place decide whether a word begins there.
const CONTEXT: usize = 4;

/// Takes secrets out of a text that arrives in chunks, as the [`Redactor`](super::Redactor) that made it does of a whole.
///
/// The chunks that come out together are the text without its secrets, the same for every way of cutting it. It holds
/// back the last line until that ends, and at most 64 KiB and one configured value. Of a line longer than that, a secret
/// of more than 32 KiB is taken out to the end of its word.
#[derive(Debug)]
pub struct Chunks {
    values: Option<ByValue>,
    forms: Option<ByForm>,
    count: u64,
}

impl Chunks {
    pub(super) fn new(values: Option<Arc<Values>>, with_patterns: bool) -> Self {
        let values = values.map(|values| ByValue { values, held: Vec::new() });
        let forms = with_patterns.then(|| ByForm::of_lines_up_to(LONGEST_LINE));
        Self { values, forms, count: 0 }
    }

    /// Takes the next chunk, and returns what can be let out now.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.advance(chunk, false)
    }

    /// Ends the text, and returns what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        self.advance(&[], true)
    }

    /// Returns how many secrets were taken out so far.
    pub fn removed(&self) -> u64 {
        self.count
    }

    /// Returns how many bytes are held back.
    pub fn held(&self) -> usize {
        self.values.as_ref().map_or(0, |values| values.held.len())
            + self.forms.as_ref().map_or(0, |forms| forms.held.len() - forms.from)
    }

    fn advance(&mut self, chunk: &[u8], is_last: bool) -> Vec<u8> {
        let chunk = match &mut self.values {
            Some(values) => values.advance(chunk, is_last, &mut self.count),
            None => chunk.to_vec(),
        };
        match &mut self.forms {
            Some(forms) => forms.advance(&chunk, is_last, &mut self.count),
            None => chunk,
        }
    }
}

/// The first step: configured values.
#[derive(Debug)]
struct ByValue {
    values: Arc<Values>,
    /// What may be the beginning of one.
    held: Vec<u8>,
}

impl ByValue {
    fn advance(&mut self, chunk: &[u8], is_last: bool, count: &mut u64) -> Vec<u8> {
        self.held.extend_from_slice(chunk);
        // What begins before that is decided, however the text goes on.
        let decided = if is_last { self.held.len() } else { self.values.unfinished(&self.held) };
        let mut out = Vec::with_capacity(decided);
        let mut at = 0;
        for found in self.values.find.find_iter(&self.held).take_while(|found| found.start() < decided) {
            out.extend_from_slice(&self.held[at..found.start()]);
            out.extend_from_slice(REDACTED.as_bytes());
            *count += 1;
            at = found.end();
        }
        out.extend_from_slice(&self.held[at..decided.max(at)]);
        self.held.drain(..decided.max(at));
        out
    }
}

/// The second step: forms of keys, in what the first lets out.
#[derive(Debug)]
struct ByForm {
    /// Some bytes that have been let out, and what is not decided.
    held: Vec<u8>,
    /// Where in it begins what is not decided.
    from: usize,
    inside: Inside,
    longest_line: usize,
}

/// What the text is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    /// A private key, which goes on over lines.
    Key,
    /// A secret larger than half of what is held of a line.
    Word,
}

impl ByForm {
    fn of_lines_up_to(longest_line: usize) -> Self {
        Self { held: Vec::new(), from: 0, inside: Inside::Nothing, longest_line }
    }

    fn advance(&mut self, chunk: &[u8], is_last: bool, count: &mut u64) -> Vec<u8> {
        self.held.extend_from_slice(chunk);
        let mut out = Vec::new();
        while self.step(is_last, &mut out, count) {}
        self.held.drain(..self.from.saturating_sub(CONTEXT));
        self.from = self.from.min(CONTEXT);
        out
    }

    /// Decides about what comes next, and says whether there may be more to decide.
    fn step(&mut self, is_last: bool, out: &mut Vec<u8>, count: &mut u64) -> bool {
        let rest = &self.held[self.from..];
        if rest.is_empty() {
            return false;
        }
        match self.inside {
            Inside::Key => {
                let Some((taken, is_over)) = patterns::rest_of_key(rest, is_last) else { return false };
                self.from += taken;
                if is_over {
                    self.inside = Inside::Nothing;
                }
                taken > 0 || is_over
            }
            Inside::Word => {
                let end = rest.iter().position(|byte| byte.is_ascii_whitespace() || b"\"',".contains(byte));
                self.from += end.unwrap_or(rest.len());
                if end.is_some() {
                    self.inside = Inside::Nothing;
                }
                true
            }
            Inside::Nothing => self.scan(is_last, out, count),
        }
    }

    /// Looks at the lines that are complete, or at a part of one that is too long.
    fn scan(&mut self, is_last: bool, out: &mut Vec<u8>, count: &mut u64) -> bool {
        let rest = &self.held[self.from..];
        let first_line = memchr2(b'\n', b'\r', &rest[..rest.len().min(self.longest_line)]);
        let (seen, decided) = if first_line.is_some() {
            // All complete lines at once, as far as none is too long.
            let lines = self.complete_lines(rest);
            (lines, lines)
        } else if rest.len() >= self.longest_line {
            (self.longest_line, self.longest_line / 2)
        } else if is_last {
            (rest.len(), rest.len())
        } else {
            return false;
        };
        let (seen, decided) = (self.from + seen, self.from + decided);
        let is_end = is_last && seen == self.held.len();
        let mut inside = Inside::Nothing;
        while let Some(Found { start, end, mark, is_key }) = patterns::find_at(&self.held[..seen], self.from)
        {
            if start >= decided {
                break;
            }
            out.extend_from_slice(&self.held[self.from..start]);
            out.extend_from_slice(mark.as_bytes());
            *count += 1;
            self.from = end;
            if end == seen && !is_end {
                inside = if is_key { Inside::Key } else { Inside::Word };
            }
        }
        if self.from < decided {
            out.extend_from_slice(&self.held[self.from..decided]);
            self.from = decided;
        }
        self.inside = inside;
        true
    }

    /// Returns the end of the last complete line before one that is too long.
    fn complete_lines(&self, rest: &[u8]) -> usize {
        let mut end = 0;
        while let Some(line) = memrchr2(b'\n', b'\r', &rest[end..rest.len().min(end + self.longest_line)]) {
            end += line + 1;
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::super::patterns::LONGEST_END;
    use super::super::patterns::tests::examples;
    use super::*;
    use crate::redact::Redactor;
    use proptest::prelude::*;

    fn redactor() -> Redactor {
        Redactor::new(["hunter2-hunter2", "hunt", "two\nlines of\nit", "\"quoted\""].map(str::to_owned))
            .with_patterns()
    }

    /// Cuts a text at these places.
    fn pieces<'a>(text: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut at = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            pieces.push(&text[at..cut]);
            at = cut;
        }
        pieces
    }

    fn in_pieces(mut chunks: Chunks, pieces: &[&[u8]]) -> (Vec<u8>, u64) {
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| chunks.push(piece)).collect();
        out.extend(chunks.finish());
        assert_eq!(chunks.held(), 0);
        (out, chunks.removed())
    }

    /// Texts with secrets, halves of secrets and what stands around them.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let mut words: Vec<Vec<u8>> = examples().into_iter().map(|(_, secret)| secret.into_bytes()).collect();
        let halves: Vec<_> = words.iter().map(|word| word[..word.len() / 2].to_vec()).collect();
        words.extend(halves);
        let others: [&[u8]; 22] = [
            b"hunter2-hunter2",
            b"hunter2-hunt",
            b"two\nlines of\nit",
            b"two\nlines of\n",
            b"\"quoted\"",
            b"\\\"quoted\\\"",
            b"\n",
            b"\r\n",
            b" ",
            b"-",
            b"--",
            b"\"",
            b"\\n",
            b"Bearer ",
            b"https://user:",
            b"@host",
            b"plain words",
            b"-----BEGIN RSA ",
            b"-----END EC ",
            b"PRIVATE KEY-----",
            b"Proc-Type: 4,ENCRYPTED\n",
            b"\xff\xc3\xa4",
        ];
        words.extend(others.map(<[u8]>::to_vec));
        prop::collection::vec(prop::sample::select(words), 0..24).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn however_a_text_is_cut_the_same_is_taken_out_as_of_the_whole(
            text in texts(), cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            let redactor = redactor();
            let (whole, count) = redactor.take_out(&text);
            let (out, removed) = in_pieces(redactor.chunks(), &pieces(&text, &cuts));
            prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&whole));
            prop_assert_eq!(removed, count);
        }

        #[test]
        fn a_line_that_is_too_long_is_cut_the_same_way_whatever_the_chunks(
            text in texts(), cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            let short = || Chunks { values: None, forms: Some(ByForm::of_lines_up_to(64)), count: 0 };
            let whole = in_pieces(short(), &[&text]);
            prop_assert_eq!(in_pieces(short(), &pieces(&text, &cuts)), whole);
        }
    }

    #[test]
    fn every_key_is_found_byte_by_byte_and_at_every_cut() {
        for (kind, secret) in examples() {
            let text = format!("before {secret} behind\n{secret}\n");
            let expected = format!("before [redacted:{kind}] behind\n[redacted:{kind}]\n");
            let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
            assert_eq!(in_pieces(redactor().chunks(), &bytes), (expected.clone().into_bytes(), 2));
            for cut in 0..text.len() {
                let (out, count) = in_pieces(redactor().chunks(), &pieces(text.as_bytes(), &[cut]));
                assert_eq!((String::from_utf8(out).unwrap(), count), (expected.clone(), 2));
            }
        }
    }

    #[test]
    fn a_complete_line_is_let_out_at_once_and_of_a_text_without_lines_no_more_than_stated_is_held() {
        let mut chunks = redactor().chunks();
        assert_eq!(chunks.push(b"compiling\nlinking"), b"compiling\n");
        assert_eq!(chunks.push(b" it\r"), b"linking it\r");
        let mut let_out = 0;
        for _ in 0..1000 {
            let_out += chunks.push(&[b'x'; 1000]).len();
            assert!(chunks.held() <= LONGEST_LINE + 100, "{} bytes are held", chunks.held());
        }
        assert_eq!(let_out + chunks.finish().len(), 1_000_000);
    }

    #[test]
    fn of_a_private_key_without_an_end_nothing_is_held_or_let_out() {
        let mut chunks = redactor().chunks();
        assert_eq!(
            chunks.push(format!("a\n-----BEGIN {} KEY-----\n", "PRIVATE").as_bytes()),
            b"a\n[redacted:private_key]"
        );
        for _ in 0..1000 {
            assert_eq!(
                chunks.push(b"aB3dE6gH9jaB3dE6gH9jaB3dE6gH9jaB3dE6gH9jaB3dE6gH9jaB3dE6gH9j1234\n"),
                b""
            );
            assert!(chunks.held() <= LONGEST_END);
        }
        assert_eq!((chunks.finish(), chunks.removed()), (Vec::new(), 1));
    }
}
