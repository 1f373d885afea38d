//! The streams: listing them, setting them up, deleting them.

use undercurrent_types::wire::StreamStatus;
use undercurrent_types::{ErrorBody, ErrorCode, StreamName};

use super::EventStream;
use super::error::PublishError;
use crate::store::{
    CreateStreamError, PublishError as PublishReason, Retention, StoreError, StreamSettings, StreamState,
};

impl EventStream {
    /// Returns every stream with its tail and what it keeps, by name.
    ///
    /// # Errors
    ///
    /// Fails when the store can not be asked.
    pub async fn streams(&self) -> Result<Vec<StreamStatus>, StoreError> {
        Ok(self.0.store.streams().await?.into_iter().map(status).collect())
    }

    /// Returns how a stream is set up, or would be if its first event made it.
    ///
    /// # Errors
    ///
    /// Fails when the store can not be asked.
    pub async fn stream_settings(&self, stream: &StreamName) -> Result<StreamSettings, StoreError> {
        let known = self.0.store.streams().await?.into_iter().find(|state| state.stream == *stream);
        let settings = known.map(|state| (state.durability, state.retention));
        let (durability, retention) = settings.unwrap_or((self.0.store.strongest(), Retention::of(stream)));
        Ok(StreamSettings { durability, retention })
    }

    /// Makes a stream, or sets how much one keeps that is there; it holds over restarts.
    ///
    /// What goes beyond a limit is let go within a minute or so, oldest first, and the room it took is given back.
    ///
    /// # Errors
    ///
    /// Fails when the stream is there with another durability, which can not be changed, or the store accepts nothing.
    pub async fn create_stream(
        &self,
        stream: &StreamName,
        settings: StreamSettings,
    ) -> Result<StreamStatus, CreateStreamError> {
        self.0.store.create_stream(stream, settings).await.map(status)
    }

    /// Deletes a stream with its events, its ids and the states that they carried; says whether there was one.
    ///
    /// A later stream of that name is another one: old cursors are gone.
    ///
    /// # Errors
    ///
    /// Fails when the store accepts nothing.
    pub async fn delete_stream(&self, stream: &StreamName) -> Result<bool, PublishError> {
        Ok(self.0.store.delete_stream(stream).await?)
    }
}

impl CreateStreamError {
    /// Returns the body of the answer on the wire.
    pub fn body(&self) -> ErrorBody {
        let code = match self {
            Self::OtherDurability { .. } => ErrorCode::Conflict,
            Self::Refused(PublishReason::TooManyStreams { .. }) => ErrorCode::TooLarge,
            Self::Refused(PublishReason::Unavailable { .. }) => ErrorCode::Unavailable,
            Self::Refused(PublishReason::TooDurable { .. }) => ErrorCode::InvalidRequest,
            Self::Refused(_) => ErrorCode::StoreFailed,
        };
        ErrorBody::new(code, self.to_string())
    }
}

fn status(state: StreamState) -> StreamStatus {
    let Retention { age, bytes, count } = state.retention;
    StreamStatus {
        stream: state.stream,
        cursor: state.tail.to_string(),
        durability: state.durability,
        oldest: state.oldest,
        max_age_s: age.map(|age| age.as_secs()),
        max_bytes: bytes,
        max_count: count,
    }
}
