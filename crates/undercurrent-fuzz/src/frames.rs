//! Server-sent events: it does not matter in which pieces they come.

use undercurrent_client::{Frame, Parser};

pub(crate) fn check(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let whole = parse([bytes].into_iter());
    let pieces = parse(bytes.chunks(1 + usize::from(piece)));
    assert_eq!(whole, pieces);
    let data: usize = whole.iter().map(|frame| frame.data.len()).sum();
    assert!(data <= bytes.len(), "more data than bytes");
}

fn parse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Frame> {
    let mut parser = Parser::default();
    let mut frames = Vec::new();
    for piece in pieces {
        parser.push(piece).expect("an input is smaller than the largest frame");
        frames.extend(std::iter::from_fn(|| parser.next_frame()));
    }
    frames
}
