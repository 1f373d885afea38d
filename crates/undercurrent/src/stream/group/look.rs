//! Events of a group's stream, read one by one and in runs.

use std::collections::VecDeque;

use undercurrent_types::{Cursor, Epoch, Seq, StreamName};

use crate::store::{ReadStreamError, Record, Store, StoreError};

/// How many events are read at once.
pub(super) const PAGE: usize = 256;

/// A reader of the open events of a group. It holds one page.
pub(super) struct Look<'a> {
    store: &'a dyn Store,
    stream: &'a StreamName,
    epoch: Epoch,
    page: VecDeque<Record>,
}

/// What became of an event.
pub(super) enum Found {
    /// Here it is.
    Record(Record),
    /// The stream has let it go.
    Gone,
    /// The stream is another now, and begins there.
    Moved(Moved),
}

/// Where a stream can be read on that can not be read from where the reader stood, and why.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) oldest: Cursor,
    pub(super) reason: &'static str,
}

impl<'a> Look<'a> {
    pub(super) fn new(store: &'a dyn Store, stream: &'a StreamName, epoch: Epoch) -> Self {
        Self { store, stream, epoch, page: VecDeque::new() }
    }

    /// Reads the first of these events; those that follow it without a hole are read with it.
    pub(super) async fn first(&mut self, wanted: &[Seq]) -> Result<Found, StoreError> {
        let Some(seq) = wanted.first().copied() else { return Ok(Found::Gone) };
        self.page.retain(|record| record.cursor.seq >= seq);
        if self.page.front().is_none_or(|record| record.cursor.seq != seq) {
            let run = wanted.iter().zip(seq.0..).take_while(|(seq, at)| seq.0 == *at).count();
            let after = Cursor { epoch: self.epoch, seq: Seq(seq.0 - 1) };
            match after_cursor(self.store, self.stream, after, run.min(PAGE)).await? {
                Ok(page) => self.page = page.into(),
                Err(Moved { reason: "retention", .. }) => return Ok(Found::Gone),
                Err(moved) => return Ok(Found::Moved(moved)),
            }
        }
        let is_it = |record: &mut Record| record.cursor.seq == seq;
        Ok(self.page.pop_front_if(is_it).map_or(Found::Gone, Found::Record))
    }
}

/// Reads the events behind a cursor, or says why that can not be.
pub(super) async fn after_cursor(
    store: &dyn Store,
    stream: &StreamName,
    after: Cursor,
    limit: usize,
) -> Result<Result<Vec<Record>, Moved>, StoreError> {
    match store.read_stream(stream, Some(after), limit).await {
        Ok(page) => Ok(Ok(page.records)),
        Err(ReadStreamError::Gone { oldest, reason, .. }) => Ok(Err(Moved { oldest, reason })),
        Err(ReadStreamError::Store(error)) => Err(error),
    }
}
