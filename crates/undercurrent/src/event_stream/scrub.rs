//! Taking out a secret that was found too late.

use serde_json::json;
use undercurrent_types::wire::ScrubReport;
use undercurrent_types::{ErrorBody, ErrorCode};

use super::EventStream;
use super::error::PublishError;
use super::publish::{Outgoing, by_system};
use crate::store::{Invalidation, Secret, SecretError, StoreError};

impl EventStream {
    /// Takes a secret out of the log, the last states, the tables and the memory of values, and says so in an event
    /// `system.scrub` of the stream `system`. Every event keeps its seq and its length; marks stand where the secret was.
    ///
    /// Who has read an event has it. What is published from now on is not looked at: configure the secret first, so that
    /// it is taken out before it is stored.
    ///
    /// # Errors
    ///
    /// Fails when the secret is too short or too long, part of the name of a stream, or the disk refuses. Some of it may
    /// be gone then; asking again goes on.
    pub async fn scrub(&self, secret: &[u8]) -> Result<ScrubReport, ScrubError> {
        let secret = Secret::new(secret)?;
        let (scrubbed, names) = self.0.store.scrub(&secret).await?;
        let entries = self.0.cache.scrub(&secret);
        self.0.groups.reread_all().await;
        let names: Vec<_> = names.into_iter().map(Invalidation::of).collect();
        let states = names.len() as u64;
        let data = json!({
            "times": scrubbed.times, "commits": scrubbed.commits, "segments": scrubbed.segments,
            "states": states, "entries": entries,
        });
        let audit = Outgoing {
            stream: "system".parse().expect("it is a name"),
            event: by_system("system.scrub").with_json(&data).expect("numbers are JSON"),
            durability: None,
            expected_seq: None,
        };
        let acks = self.publish_with(vec![audit], names, "a secret was taken out").await?;
        let token = acks.first().expect("one event has one acknowledgement").token;
        let (times, commits, segments) = (scrubbed.times, scrubbed.commits, scrubbed.segments);
        Ok(ScrubReport { times, commits, segments, states, entries, token })
    }
}

/// Why a secret was not taken out; some of it may be gone.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScrubError {
    /// It can not be looked for; nothing was changed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store could not be changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is gone, and the event that says so was refused.
    #[error("the secret was taken out, and the event that says so was refused: {0}")]
    Audit(#[from] PublishError),
}

impl ScrubError {
    /// Returns the body of the answer on the wire.
    pub fn body(&self) -> ErrorBody {
        let code = match self {
            Self::Secret(_) => ErrorCode::InvalidRequest,
            Self::Store(_) | Self::Audit(_) => ErrorCode::StoreFailed,
        };
        ErrorBody::new(code, self.to_string())
    }
}
