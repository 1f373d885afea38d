//! The frame of a record: the unit of the checksum.
//!
//! ```text
//!  0  magic u32 · crc32c u32 of the segment's salt and of everything from 8 to the end of the payload
//!  8  payload length u32, a multiple of 8 · kind u8 · three zeros
//! 16  start u64: how often the log had been opened, never falls along the log
//! 24  synced u64: everything before this offset of the log was known to be on disk
//! 32  position u64: the last position taken at or before the record
//! 40  wall time u64, milliseconds since 1970, for people and for the idempotence window
//! 48  offset u64: the place of the record in the log
//! 56  payload
//! ```
//!
//! All integers are little-endian. The salt is random and never leaves the segment's header, and the offset has to be
//! the record's own, so bytes that a user sends can not be taken for a record.

use super::codec::{Fields, Malformed};

/// The length of a frame without its payload.
pub(super) const FRAME: usize = 56;
/// The most that the payload of a record may have.
pub(super) const LARGEST_PAYLOAD: usize = 16 << 20;

const MAGIC: u32 = u32::from_le_bytes(*b"UCr\x01");

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The log was opened. The payload is the end of the positions reserved.
    Start,
    /// Events, invalidations, or both.
    Commit,
    /// The log goes on in the next segment.
    Seal,
    /// The log was closed; the frame's position is the last one ever given.
    Clean,
    /// More positions are reserved. The payload is their end.
    Reserve,
    /// Streams were set up, let go or deleted; or states that lay in a part of the log that is gone.
    Control,
    /// Records stood here that were dropped. The payload is the offset of the next one; the position is the last dropped.
    Dropped,
    /// A commit that writes rows, possibly beside events and invalidations. A kind of its own, so that a version that
    /// knows no rows refuses the log.
    CommitRows,
}

impl Kind {
    const ALL: [(Self, u8); 8] = [
        (Self::Start, 1),
        (Self::Commit, 2),
        (Self::Seal, 3),
        (Self::Clean, 4),
        (Self::Reserve, 5),
        (Self::CommitRows, 6),
        (Self::Control, 7),
        (Self::Dropped, 8),
    ];

    /// Says whether the payload is a commit.
    pub(super) fn is_commit(self) -> bool {
        matches!(self, Self::Commit | Self::CommitRows)
    }

    fn code(self) -> u8 {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or(0, |(_, code)| *code)
    }

    pub(super) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, c)| *c == code).map(|(kind, _)| *kind)
    }
}

/// What a frame says about its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) start: u64,
    pub(super) synced: u64,
    pub(super) position: u64,
    pub(super) time_ms: u64,
    pub(super) offset: u64,
}

/// What stands at a place of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A record whose checksum holds.
    Record(Frame, &'a [u8]),
    /// A record whose checksum holds, of a kind that this version does not know.
    Unknown(u8),
    /// Zeros: nothing was ever written here.
    Nothing,
    /// Not decided before there are this many bytes.
    Short(usize),
    /// Anything else.
    Bad(&'static str),
}

impl Frame {
    /// Returns where the next record of the segment is.
    pub(super) fn next(&self, payload: &[u8]) -> u64 {
        let behind = self.offset + (FRAME + payload.len()) as u64;
        match self.kind {
            // Never back, whatever it says.
            Kind::Dropped => Fields::of(payload).u64().map_or(behind, |next| next.max(behind)),
            _ => behind,
        }
    }

    /// Appends the record.
    ///
    /// The payload's length has to be a multiple of 8.
    pub(super) fn write(&self, payload: &[u8], salt: u64, out: &mut Vec<u8>) {
        debug_assert!(payload.len().is_multiple_of(8) && payload.len() <= LARGEST_PAYLOAD);
        let begin = out.len();
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        out.extend_from_slice(&[self.kind.code(), 0, 0, 0]);
        for field in [self.start, self.synced, self.position, self.time_ms, self.offset] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(payload);
        let crc = checksum(salt, &out[begin + 8..]);
        out[begin + 4..begin + 8].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Returns the length that a record claims to have, if one begins here.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let mut fields = Fields::of(bytes);
    if fields.u32().ok()? != MAGIC {
        return None;
    }
    fields.u32().ok()?;
    let len = fields.u32().ok()? as usize;
    (len <= LARGEST_PAYLOAD).then_some(FRAME + len)
}

/// Says what stands at an offset of the log, given the bytes from there on.
pub(super) fn find(bytes: &[u8], offset: u64, salt: u64) -> Found<'_> {
    let Some(head) = bytes.get(..FRAME) else {
        return Found::Short(FRAME);
    };
    if head.iter().all(|&b| b == 0) {
        return Found::Nothing;
    }
    read(bytes, offset, salt).unwrap_or(Found::Bad("the frame is cut"))
}

fn read(bytes: &[u8], offset: u64, salt: u64) -> Result<Found<'_>, Malformed> {
    let mut fields = Fields::of(bytes);
    if fields.u32()? != MAGIC {
        return Ok(Found::Bad("no record begins here"));
    }
    let crc = fields.u32()?;
    let len = fields.u32()? as usize;
    let [kind, ..] = fields.array::<4>()?;
    let [start, synced, position, time_ms, own] =
        [fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?];
    if own != offset {
        return Ok(Found::Bad("the record belongs to another place"));
    }
    if !len.is_multiple_of(8) || len > LARGEST_PAYLOAD {
        return Ok(Found::Bad("the length can not be"));
    }
    let Some(record) = bytes.get(..FRAME + len) else {
        return Ok(Found::Short(FRAME + len));
    };
    if checksum(salt, &record[8..]) != crc {
        return Ok(Found::Bad("the checksum does not hold"));
    }
    let Some(kind) = Kind::of_code(kind) else {
        return Ok(Found::Unknown(kind));
    };
    Ok(Found::Record(Frame { kind, start, synced, position, time_ms, offset }, &record[FRAME..]))
}

/// Makes bytes the record of a place: one as long as its length says, or as the bytes are.
#[cfg(feature = "fuzzing")]
pub(super) fn mend(bytes: &mut [u8], offset: u64, salt: u64) {
    let most = (bytes.len() - FRAME) & !7;
    let said = length(bytes).map_or(most, |said| (said - FRAME) & !7).min(most);
    bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
    bytes[8..12].copy_from_slice(&(said as u32).to_le_bytes());
    bytes[48..56].copy_from_slice(&offset.to_le_bytes());
    let crc = checksum(salt, &bytes[8..FRAME + said]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(salt: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Kind; 8] = [
        Kind::Start,
        Kind::Commit,
        Kind::Seal,
        Kind::Clean,
        Kind::Reserve,
        Kind::CommitRows,
        Kind::Control,
        Kind::Dropped,
    ];

    prop_compose! {
        fn records()(
            kind in prop::sample::select(&KINDS[..]), start: u64, synced: u64, position: u64, time_ms: u64, offset: u64,
            words in prop::collection::vec(any::<[u8; 8]>(), 0..40),
        ) -> (Frame, Vec<u8>) {
            (Frame { kind, start, synced, position, time_ms, offset }, words.concat())
        }
    }

    proptest! {
        #[test]
        fn a_record_survives_its_bytes((frame, payload) in records(), salt: u64, after in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut bytes = Vec::new();
            frame.write(&payload, salt, &mut bytes);
            let len = bytes.len();
            bytes.extend_from_slice(&after);
            prop_assert_eq!(find(&bytes, frame.offset, salt), Found::Record(frame, &payload));
            prop_assert!(matches!(find(&bytes[..len - 1], frame.offset, salt), Found::Short(_)));
        }

        #[test]
        fn no_flipped_bit_is_missed((frame, payload) in records(), salt: u64, at: prop::sample::Index, bit in 0..8u8) {
            let mut bytes = Vec::new();
            frame.write(&payload, salt, &mut bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(!matches!(find(&bytes, frame.offset, salt), Found::Record(..) | Found::Unknown(_)));
        }

        #[test]
        fn a_record_is_believed_only_in_its_place_and_segment((frame, payload) in records(), salt: u64, other: u64) {
            prop_assume!(salt != other && frame.offset != other);
            let mut bytes = Vec::new();
            frame.write(&payload, salt, &mut bytes);
            prop_assert!(matches!(find(&bytes, other, salt), Found::Bad(_)));
            // Two salts may have one crc32c; that no one can choose them is what counts.
            if crc32c::crc32c(&salt.to_le_bytes()) != crc32c::crc32c(&other.to_le_bytes()) {
                prop_assert!(matches!(find(&bytes, frame.offset, other), Found::Bad(_)));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), offset: u64, salt: u64) {
            let _ = find(&bytes, offset, salt);
            let _ = find(&[&MAGIC.to_le_bytes(), &bytes[..]].concat(), offset, salt);
        }
    }

    #[test]
    fn zeros_are_nothing() {
        assert_eq!(find(&[0; 200], 64, 7), Found::Nothing);
        assert_eq!(find(&[0; 55], 64, 7), Found::Short(FRAME));
    }

    #[test]
    fn a_kind_of_a_newer_version_is_told_apart_from_damage() {
        let frame = Frame { kind: Kind::Commit, start: 1, synced: 0, position: 1, time_ms: 0, offset: 64 };
        let mut bytes = Vec::new();
        frame.write(&[], 7, &mut bytes);
        bytes[12] = 200;
        let crc = checksum(7, &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(find(&bytes, 64, 7), Found::Unknown(200));
    }
}
