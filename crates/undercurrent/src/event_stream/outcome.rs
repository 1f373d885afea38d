//! Asking what became of an event.

use undercurrent_types::wire::{self, Ack, OutcomeState};
use undercurrent_types::{EventSource, StreamName};

use super::EventStream;
use crate::store::{ID_WINDOW, Outcome, REMEMBERED_IDS, StoreError};

impl EventStream {
    /// Says what became of an event, by its stream, source and id: after a publish whose answer was lost.
    ///
    /// `not_known` is final only once no publish of the event is under way. Publishing it again is always safe, and its
    /// answer is final: the same id is published once.
    ///
    /// # Errors
    ///
    /// Fails when the log failed while the event was being written, so that a restart has to tell.
    pub async fn outcome(
        &self,
        stream: &StreamName,
        source: &EventSource,
        id: &str,
    ) -> Result<wire::Outcome, StoreError> {
        let window = wire::IdWindow { ids: REMEMBERED_IDS as u64, seconds: ID_WINDOW.as_secs() };
        let (state, ack) = match self.0.store.outcome(stream, source.as_str(), id).await? {
            Outcome::UnderWay => (OutcomeState::UnderWay, None),
            Outcome::NotKnown => (OutcomeState::NotKnown, None),
            Outcome::Published { cursor, token, durability } => {
                let (stream, id) = (stream.clone(), id.to_owned());
                let (seq, cursor) = (cursor.seq.0, cursor.to_string());
                let ack = Ack { stream, id, seq, cursor, token, durability, duplicate: false };
                (OutcomeState::Published, Some(ack))
            }
        };
        Ok(wire::Outcome { state, ack, window })
    }
}
