//! The payload of a control record: what became of streams, beside their events.
//!
//! ```text
//! u32 changes · u32 zero
//! each change  u8 kind · u8 durability · u16 length of the name · u32 zero
//!              kind 1, a stream as it is: u64 epoch · u64 epoch it was made in · u64 oldest seq · u64 last seq
//!                                         u64 each, all ones for no limit: age in milliseconds, bytes, count · name
//!              kind 2, deleted:           u64 epoch of the streams that are made from now on · name
//!              kind 3, the log begins:    u64 offset of its first segment · u64 epoch of the streams that are made
//!                                         from now on · u64 epoch since the last unclean start · u64 end of the
//!                                         positions reserved
//!              kind 4, a state:           u64 position · u64 epoch · u64 length of the stream · u64 length of the value,
//!                                         all ones for a deletion · key as name · stream · value
//!              kind 5, a row:             u64 position · u64 length of the id · u64 length of the value · table as
//!                                         name · id · value
//! ```
//!
//! Zeros fill the payload to a multiple of 8.

use std::time::Duration;

use bytes::Bytes;
use undercurrent_types::{Durability, Epoch, Position, Seq};

use super::codec::{Fields, Malformed};
use super::commit::{durability_code, durability_of};
use crate::store::Retention;

const STREAM: u8 = 1;
const DELETED: u8 = 2;
const BASE: u8 = 3;
const FACT: u8 = 4;
const ROW: u8 = 5;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// A stream as it is. Of one that the log before the record knows too, its tail is in the log already.
    Stream {
        name: &'a str,
        durability: Durability,
        epoch: Epoch,
        /// The epoch in which it was made; what has an earlier one belongs to a stream that was deleted.
        born: Epoch,
        oldest: Seq,
        tail: Seq,
        retention: Retention,
    },
    /// A stream was deleted. What is made from now on has this epoch.
    Deleted { name: &'a str, epoch: Epoch },
    /// What stood before an offset is needed no more.
    Base { from: u64, epoch: Epoch, unclean: Epoch, reserved: Position },
    /// The last state of a key, from a commit that is gone.
    Fact { key: &'a str, stream: &'a str, epoch: Epoch, at: Position, value: Option<&'a [u8]> },
    /// A row, from a commit that is gone.
    Row { table: &'a str, id: &'a str, at: Position, value: &'a [u8] },
}

/// Writes the payload of a control record.
pub(super) fn encode(changes: &[Change<'_>]) -> Bytes {
    let mut out = Vec::new();
    out.extend_from_slice(&(changes.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    changes.iter().for_each(|change| change.encode(&mut out));
    out.resize(out.len().next_multiple_of(8), 0);
    out.into()
}

/// Reads the payload of a control record.
pub(super) fn decode(payload: &[u8]) -> Result<Vec<Change<'_>>, Malformed> {
    let mut fields = Fields::of(payload);
    let count = fields.u32()?;
    fields.u32()?;
    (0..count).map(|_| Change::decode(&mut fields)).collect()
}

impl<'a> Change<'a> {
    /// Returns about how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        64 + match self {
            Self::Stream { name, .. } | Self::Deleted { name, .. } => name.len(),
            Self::Base { .. } => 0,
            Self::Fact { key, stream, value, .. } => key.len() + stream.len() + value.map_or(0, <[u8]>::len),
            Self::Row { table, id, value, .. } => table.len() + id.len() + value.len(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, durability, name) = match self {
            Self::Stream { durability, name, .. } => (STREAM, durability_code(*durability), *name),
            Self::Deleted { name, .. } => (DELETED, 0, *name),
            Self::Base { .. } => (BASE, 0, ""),
            Self::Fact { key, .. } => (FACT, 0, *key),
            Self::Row { table, .. } => (ROW, 0, *table),
        };
        out.extend_from_slice(&[kind, durability]);
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let mut put = |fields: &[u64]| {
            fields.iter().for_each(|field| out.extend_from_slice(&field.to_le_bytes()));
        };
        match self {
            Self::Stream { epoch, born, oldest, tail, retention, .. } => {
                put(&[epoch.0, born.0, oldest.0, tail.0]);
                put(&limits(retention));
            }
            Self::Deleted { epoch, .. } => put(&[epoch.0]),
            Self::Base { from, epoch, unclean, reserved } => put(&[*from, epoch.0, unclean.0, reserved.0]),
            Self::Fact { stream, epoch, at, value, .. } => {
                let len = value.map_or(u64::MAX, |value| value.len() as u64);
                put(&[at.0, epoch.0, stream.len() as u64, len]);
            }
            Self::Row { id, at, value, .. } => put(&[at.0, id.len() as u64, value.len() as u64]),
        }
        out.extend_from_slice(name.as_bytes());
        match self {
            Self::Fact { stream, value, .. } => {
                out.extend_from_slice(stream.as_bytes());
                out.extend_from_slice(value.unwrap_or_default());
            }
            Self::Row { id, value, .. } => {
                out.extend_from_slice(id.as_bytes());
                out.extend_from_slice(value);
            }
            _ => {}
        }
    }

    fn decode(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
        let (kind, durability, len) = (fields.u8()?, fields.u8()?, fields.u16()?);
        fields.u32()?;
        match kind {
            STREAM => {
                let [epoch, born] = [Epoch(fields.u64()?), Epoch(fields.u64()?)];
                let [oldest, tail] = [fields.seq()?, fields.seq()?];
                let retention = retention(fields)?;
                let (durability, name) = (durability_of(durability)?, fields.text(len.into())?);
                Ok(Self::Stream { name, durability, epoch, born, oldest, tail, retention })
            }
            DELETED => {
                let epoch = Epoch(fields.u64()?);
                Ok(Self::Deleted { epoch, name: fields.text(len.into())? })
            }
            BASE => {
                let (from, epoch) = (fields.u64()?, Epoch(fields.u64()?));
                let (unclean, reserved) = (Epoch(fields.u64()?), Position(fields.u64()?));
                Ok(Self::Base { from, epoch, unclean, reserved })
            }
            FACT => {
                let (at, epoch) = (Position(fields.u64()?), Epoch(fields.u64()?));
                let (stream, value) = (length(fields)?, fields.u64()?);
                let (key, stream) = (fields.text(len.into())?, fields.text(stream)?);
                let value = match value {
                    u64::MAX => None,
                    len => Some(fields.take(usize::try_from(len).map_err(|_| Malformed)?)?),
                };
                Ok(Self::Fact { key, stream, epoch, at, value })
            }
            ROW => {
                let (at, id, value) = (Position(fields.u64()?), length(fields)?, length(fields)?);
                let (table, id) = (fields.text(len.into())?, fields.text(id)?);
                Ok(Self::Row { table, id, at, value: fields.take(value)? })
            }
            _ => Err(Malformed),
        }
    }
}

fn length(fields: &mut Fields<'_>) -> Result<usize, Malformed> {
    usize::try_from(fields.u64()?).map_err(|_| Malformed)
}

/// Returns how much a stream keeps as it is written: age in milliseconds, bytes, count; all ones for no limit.
pub(super) fn limits(retention: &Retention) -> [u64; 3] {
    let age = retention.age.map(|age| age.as_millis() as u64);
    [age, retention.bytes, retention.count].map(|limit| limit.unwrap_or(u64::MAX))
}

pub(super) fn retention(fields: &mut Fields<'_>) -> Result<Retention, Malformed> {
    let limit = |value: u64| (value != u64::MAX).then_some(value);
    let [age, bytes, count] = [limit(fields.u64()?), limit(fields.u64()?), limit(fields.u64()?)];
    Ok(Retention { age: age.map(Duration::from_millis), bytes, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn streams()(
            name in ".{0,20}", epoch: u64, born: u64,
            oldest in 0..10_000_000_000_000_000u64, tail in 0..10_000_000_000_000_000u64,
            age in prop::option::of(0..u64::MAX), bytes in prop::option::of(0..u64::MAX), count in prop::option::of(0..u64::MAX),
            deleted: bool,
        ) -> (String, Epoch, Epoch, Seq, Seq, Retention, bool) {
            let retention = Retention { age: age.map(Duration::from_millis), bytes, count };
            (name, Epoch(epoch), Epoch(born), Seq(oldest), Seq(tail), retention, deleted)
        }
    }

    proptest! {
        #[test]
        fn changes_survive_their_bytes(streams in prop::collection::vec(streams(), 0..5)) {
            let change = |(name, epoch, born, oldest, tail, retention, deleted): &'static (String, _, _, _, _, _, bool)| {
                if *deleted {
                    Change::Deleted { name, epoch: *epoch }
                } else {
                    Change::Stream { name, durability: Durability::Page, epoch: *epoch, born: *born,
                        oldest: *oldest, tail: *tail, retention: *retention }
                }
            };
            let streams: &'static [_] = streams.leak();
            let changes: Vec<_> = streams.iter().map(change).collect();
            let payload = encode(&changes);
            prop_assert!(payload.len().is_multiple_of(8));
            prop_assert_eq!(decode(&payload).unwrap(), changes);
        }

        #[test]
        fn states_survive_their_bytes(
            texts in prop::array::uniform4(".{0,20}"), value in prop::option::of(prop::collection::vec(any::<u8>(), 0..30)),
            from: u64, at: u64, epoch: u64,
        ) {
            let [key, stream, table, id] = &texts;
            let (at, epoch) = (Position(at), Epoch(epoch));
            let changes = [
                Change::Fact { key, stream, epoch, at, value: value.as_deref() },
                Change::Base { from, epoch, unclean: Epoch(7), reserved: at },
                Change::Row { table, id, at, value: value.as_deref().unwrap_or_default() },
            ];
            let payload = encode(&changes);
            prop_assert_eq!(decode(&payload).unwrap(), changes);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
