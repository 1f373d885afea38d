//! What became of an event.

use undercurrent_types::{Cursor, Seq, StreamName};

use super::connection::{Answer, Call, Link};
use super::publish::{durability, epoch, id_hash};
use super::scripts::OUTCOME;
use crate::store::{Outcome, StoreError};

impl Link {
    /// Looks an id up. A step shows all that it writes at once, so nothing of this store is ever under way here.
    pub(super) async fn outcome(
        &self,
        stream: &StreamName,
        source: &str,
        id: &str,
    ) -> Result<Outcome, StoreError> {
        let [a, b] = self.keys.ids(stream);
        let mut call = Call::of(&OUTCOME).key(self.keys.meta(stream)).key(a).key(b);
        let id = id_hash(source, id);
        call.push_bytes(&id[..]);
        let Answer { at, mut rest, .. } = self.ask(&call).await?;
        let mut read = || Ok((rest.text()?, epoch(at.at.inc, rest.parse()?), durability(rest.parse()?)));
        let (seq, epoch, durability) = read().map_err(|e| self.malformed(&e))?;
        let Ok(seq) = seq.parse().map(Seq) else { return Ok(Outcome::NotKnown) };
        let cursor = Cursor { epoch, seq };
        let before = Cursor { epoch, seq: Seq(seq.0.saturating_sub(1)) };
        let page = self.read_stream(stream, Some(before), 1).await.ok();
        let record = page.and_then(|page| page.records.into_iter().next());
        let token = record.map_or(at.at, |record| record.token);
        Ok(Outcome::Published { cursor, token, durability })
    }
}
