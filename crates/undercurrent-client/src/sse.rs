//! Server-sent events, out of bytes that arrive in any pieces.
//!
//! The format of the HTML standard, section "Server-sent events", without `retry`.

use std::collections::VecDeque;

use bytes::Bytes;

/// The largest frame, in bytes: several times what the largest event takes.
const LARGEST: usize = 16 << 20;

/// One frame with data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The name of the frame; empty where it has none.
    pub name: String,
    /// The lines of data, joined by line feeds.
    pub data: Bytes,
    /// The last id that the stream gave.
    pub id: String,
}

/// A frame has no end within 16 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame is larger than {LARGEST} bytes")]
pub struct FrameTooLarge;

/// Turns bytes into frames. Holds one frame in progress, and the frames of the bytes that were pushed last.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    id: Vec<u8>,
    /// Whether the last byte was a carriage return, so that a line feed belongs to it.
    after_return: bool,
    /// Whether a line has been read, so that no byte order mark can follow.
    begun: bool,
    frames: VecDeque<Frame>,
}

impl Parser {
    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    ///
    /// Fails when a frame is larger than 16 MiB.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), FrameTooLarge> {
        if bytes.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.after_return) && bytes.first() == Some(&b'\n') {
            bytes = &bytes[1..];
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            self.extend_line(&bytes[..end])?;
            let is_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            match bytes.first() {
                Some(b'\n') if is_return => bytes = &bytes[1..],
                None => self.after_return = is_return,
                _ => {}
            }
            self.end_line();
        }
        self.extend_line(bytes)
    }

    /// Takes the next frame out.
    pub fn next_frame(&mut self) -> Option<Frame> {
        self.frames.pop_front()
    }

    fn extend_line(&mut self, part: &[u8]) -> Result<(), FrameTooLarge> {
        if self.line.len() + self.data.len() + part.len() > LARGEST {
            return Err(FrameTooLarge);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self) {
        let whole = std::mem::take(&mut self.line);
        let mark =
            if std::mem::replace(&mut self.begun, true) { None } else { whole.strip_prefix(b"\xef\xbb\xbf") };
        let line = mark.unwrap_or(&whole);
        if line.is_empty() {
            return self.end_frame();
        }
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (field, rest) = line.split_at(colon);
        let value = rest.strip_prefix(b":").unwrap_or(rest);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"event" => self.name = value.to_vec(),
            b"id" if !value.contains(&0) => self.id = value.to_vec(),
            // A comment begins with the colon; other fields are passed over, as the standard says.
            _ => {}
        }
    }

    fn end_frame(&mut self) {
        let name = std::mem::take(&mut self.name);
        if std::mem::take(&mut self.has_data) {
            self.frames.push_back(Frame {
                name: String::from_utf8_lossy(&name).into_owned(),
                data: std::mem::take(&mut self.data).into(),
                id: String::from_utf8_lossy(&self.id).into_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, data: &'static str, id: &str) -> Frame {
        Frame { name: name.into(), data: Bytes::from_static(data.as_bytes()), id: id.into() }
    }

    fn parse(pieces: &[&[u8]]) -> Vec<Frame> {
        let mut parser = Parser::default();
        for piece in pieces {
            parser.push(piece).unwrap();
        }
        std::iter::from_fn(|| parser.next_frame()).collect()
    }

    #[test]
    fn frames_are_read_as_the_standard_says() {
        let cases: [(&str, Vec<Frame>); 10] = [
            ("data: a\n\n", vec![frame("", "a", "")]),
            ("id: 1\nevent: gap\ndata: {}\n\n", vec![frame("gap", "{}", "1")]),
            ("data: a\ndata: b\n\n", vec![frame("", "a\nb", "")]),
            ("data:a\n\ndata:  b\n\n", vec![frame("", "a", ""), frame("", " b", "")]),
            (":heartbeat\n\n:\n\ndata: a\n\n", vec![frame("", "a", "")]),
            ("id: 1\n\ndata: a\n\n", vec![frame("", "a", "1")]),
            ("id: 1\ndata: a\n\nid\ndata: b\n\n", vec![frame("", "a", "1"), frame("", "b", "")]),
            ("event: x\n\ndata\n\n", vec![frame("", "", "")]),
            ("retry: 1\nother: x\ndata: a\n\n", vec![frame("", "a", "")]),
            ("\u{feff}data: a\n\n\u{feff}data: b\n\ndata: c", vec![frame("", "a", "")]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(&[text.as_bytes()]), expected, "from {text:?}");
        }
    }

    #[test]
    fn it_does_not_matter_where_the_bytes_are_split() {
        let text = "\u{feff}id: 1\r\nevent: e\r\ndata: ä\r\ndata: b\r\n\r\n:c\rid: 2\rdata: c\r\rdata: d\n\n"
            .as_bytes();
        let expected = vec![frame("e", "ä\nb", "1"), frame("", "c", "2"), frame("", "d", "2")];
        for first in 0..text.len() {
            for second in first..text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(parse(&pieces), expected, "split at {first} and {second}");
            }
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(parse(&single), expected);
    }

    #[test]
    fn a_frame_without_end_is_refused() {
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; 1 << 20], b"\n"].concat();
        let refused = (0..20).find_map(|_| parser.push(&line).err());
        assert_eq!(refused, Some(FrameTooLarge));
    }
}
