//! Finding every damaged place of a log, where reading it in order stops at the first.

use std::io;
use std::sync::Arc;

use super::super::frame::{FRAME, Found, Frame, Kind};
use super::super::segment::{HEADER, Segment};
use super::super::window::Window;

/// How much of the log is read at once.
const CHUNK: usize = 1 << 20;

/// A part of a segment that has no whole record, by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) from: u64,
    /// The next whole record, or the end of the segment.
    pub(super) to: u64,
    pub(super) reason: &'static str,
    /// Whether a whole record of the segment follows.
    pub(super) goes_on: bool,
}

/// Goes through the whole records of a segment, those behind damage too, and returns what lies between them.
///
/// A record names its own place and begins its checksum with the segment's salt, so nothing inside an event passes for
/// one.
pub(super) fn whole_records(
    segment: &Arc<Segment>,
    mut each: impl FnMut(&Frame, &[u8]) -> io::Result<()>,
) -> io::Result<Vec<Broken>> {
    let mut window = Window::over(segment.clone(), CHUNK);
    let mut broken = Vec::new();
    let mut at = segment.header.base + HEADER;
    while at + FRAME as u64 <= segment.end() {
        let reason = match window.find(at)? {
            Found::Record(frame, payload) => {
                each(&frame, payload)?;
                if frame.kind == Kind::Seal {
                    return Ok(broken);
                }
                at = frame.next(payload);
                continue;
            }
            Found::Unknown(_) => "the record is of a kind that a newer version wrote",
            Found::Nothing => "there are only zeros",
            Found::Bad(reason) => reason,
            Found::Short(_) => "the record is cut",
        };
        let next = next_whole(&mut window, at)?;
        let to = next.unwrap_or(segment.end());
        broken.push(Broken { from: at, to, reason, goes_on: next.is_some() });
        at = to;
    }
    Ok(broken)
}

/// Returns where the next whole record begins.
fn next_whole(window: &mut Window, behind: u64) -> io::Result<Option<u64>> {
    let end = window.segment().end();
    let mut at = behind + 8;
    while at + FRAME as u64 <= end {
        match window.find(at)? {
            Found::Record(..) => return Ok(Some(at)),
            _ => at += 8,
        }
    }
    Ok(None)
}
