//! Letting go what need not be kept. One node does it for all, in small steps.

use std::sync::Arc;
use std::time::Duration;

use undercurrent_types::{Key, Name, StreamName};

use super::connection::{Call, Link};
use super::scripts::{FORGET, RETAIN, STREAMS, SURVEY, TURN};
use super::shared::Shared;
use super::streams::{RETENTION, retention_text};
use crate::store::StoreError;

/// How long a stream that nobody set up may be empty and unused before it goes itself.
const IDLE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many streams are looked at in one step.
const MANY: usize = 100;

/// Cleans whenever it is this node's turn, until the store ends.
pub(super) async fn clean(shared: Arc<Shared>) {
    let link = &shared.link;
    while !shared.is_closed() {
        tokio::select! {
            () = tokio::time::sleep(link.options.clean_every) => {}
            () = shared.closed() => return,
        }
        if let Err(error) = link.clean(&shared.vouched.generation).await {
            tracing::debug!(%error, "what need not be kept is let go later");
        }
    }
}

impl Link {
    /// Lets go what need not be kept, if it is this node's turn.
    pub(super) async fn clean(&self, node: &str) -> Result<(), StoreError> {
        let time = self.options.clean_every / 2;
        let call = Call::of(&TURN).key(self.keys.turn()).arg(node).number(time.as_millis() as u64);
        let mut answer = self.ask(&call).await?;
        if answer.rest.text().map_err(|e| self.malformed(&e))? != "y" {
            return Ok(());
        }
        let mut answer = self.ask(&Call::of(&STREAMS).key(self.keys.streams())).await?;
        let mut streams: Vec<StreamName> = Vec::new();
        while answer.rest.left() > 0 {
            streams.push(answer.rest.parse().map_err(|e| self.malformed(&e))?);
        }
        for some in streams.chunks(MANY) {
            let mut answer = self.ask(&self.survey(some)).await?;
            for stream in some {
                let has = answer.rest.text().map_err(|e| self.malformed(&e))? == "y";
                while has && self.retain(stream).await? {}
            }
        }
        while self.forget().await? {}
        Ok(())
    }

    /// Asks which streams have something to let go.
    fn survey(&self, streams: &[StreamName]) -> Call<'static> {
        let mut call = Call::of(&SURVEY).arg(retention_text(RETENTION)).number(IDLE.as_millis() as u64);
        for stream in streams {
            call.push_key(self.keys.stream(stream));
            call.push_key(self.keys.meta(stream));
        }
        call
    }

    /// Lets a stream go some of what it need not keep; says whether there is more.
    async fn retain(&self, stream: &StreamName) -> Result<bool, StoreError> {
        let [a, b] = self.keys.ids(stream);
        let call = Call::of(&RETAIN)
            .key(self.keys.streams())
            .key(self.keys.stream(stream))
            .key(self.keys.meta(stream))
            .key(a)
            .key(b)
            .arg(stream.as_str())
            .arg(retention_text(RETENTION))
            .number(IDLE.as_millis() as u64);
        let mut answer = self.ask(&call).await?;
        Ok(answer.rest.text().map_err(|e| self.malformed(&e))? == "more")
    }

    /// Forgets some last states where there are too many; says whether there may be more.
    async fn forget(&self) -> Result<bool, StoreError> {
        let ask = || Call::of(&FORGET).key(self.keys.facts()).number(self.options.facts);
        let mut answer = self.ask(&ask()).await?;
        let mut oldest: Vec<Key> = Vec::new();
        while answer.rest.left() > 0 {
            oldest.push(answer.rest.parse().map_err(|e| self.malformed(&e))?);
        }
        if oldest.is_empty() {
            return Ok(false);
        }
        let mut call = ask();
        for key in &oldest {
            call.push_key(self.keys.latest(key));
            call.push(key.as_str());
        }
        let mut answer = self.ask(&call).await?;
        let mut moved: Vec<Name> = Vec::new();
        while answer.rest.left() > 0 {
            moved.push(answer.rest.parse().map_err(|e| self.malformed(&e))?);
        }
        self.order.raise(&moved, answer.at.at);
        Ok(true)
    }
}
