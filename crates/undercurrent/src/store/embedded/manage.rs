//! Setting streams up and deleting them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::oneshot;
use undercurrent_types::{Durability, Epoch, Name, Seq, StreamName};

use super::control::{Change, encode};
use super::frame::Kind;
use super::log::now_ms;
use super::publish::{Draft, given};
use super::queue::{Item, Needs, Refused, Write};
use super::shared::{Order, Shared};
use super::streams::{Known, Stream};
use crate::store::{Batch, CreateStreamError, Invalidation, PublishError, StreamSettings};

/// What ends the waiting for the disk.
pub(super) type Done = oneshot::Receiver<Result<(), Refused>>;

/// Waits for the disk, on a thread that may.
pub(super) fn wait(done_rx: Done) -> io::Result<()> {
    match done_rx.blocking_recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(refused)) => Err(io::Error::other(refused.refusal().to_string())),
        Err(_) => Err(io::Error::other("the log was closed")),
    }
}

impl Shared {
    /// Makes a stream, or sets how much one keeps that is there.
    pub(super) fn create(
        &self,
        name: &StreamName,
        settings: StreamSettings,
    ) -> Result<(Arc<Stream>, Done), CreateStreamError> {
        let order = self.order.lock();
        self.check_writable(&order)?;
        let stream = match self.streams.get(name) {
            Some(stream) if stream.durability != given(settings.durability) => {
                let has = stream.durability;
                return Err(CreateStreamError::OtherDurability { stream: name.clone(), has });
            }
            Some(stream) => stream,
            None => {
                self.streams.check_room(name, 1, self.most_streams)?;
                self.streams.add(Known::new(name.clone(), given(settings.durability), self.epoch()))
            }
        };
        stream.keep(settings.retention);
        let payload = encode(&[stream.change()]);
        let done_rx = self.push_control(&order, payload, true);
        Ok((stream, done_rx))
    }

    /// Deletes a stream with all that its events said; `None` if there is none. The states that they carried about
    /// keys go with them, so those keys are moved in the same step.
    pub(super) fn delete(&self, name: &StreamName) -> Result<Option<Done>, PublishError> {
        let mut order = self.order.lock();
        self.check_writable(&order)?;
        if self.streams.get(name).is_none() {
            return Ok(None);
        }
        let epoch = Epoch(self.epoch().0 + 1);
        self.epoch.store(epoch.0, Ordering::Release);
        self.streams.remove(name);
        let keys = self.latest.forget_stream(name, epoch);
        if !keys.is_empty() {
            let names: Vec<_> = keys.iter().map(|key| Invalidation::of(Name::from(key))).collect();
            let draft = Draft::new(self, Batch::moving(names, format!("stream `{name}` was deleted")))?;
            self.place_next(&mut order, &draft, self.room_now(&draft))?;
        }
        let payload = encode(&[Change::Deleted { name: name.as_str(), epoch }]);
        Ok(Some(self.push_control(&order, payload, true)))
    }

    fn check_writable(&self, order: &Order) -> Result<(), PublishError> {
        if order.closed {
            return Err(PublishError::Closed);
        }
        self.refusal().map_or(Ok(()), |refused| Err(refused.refusal()))
    }

    /// Hands a control record to the flusher; if it `holds`, memory has it already, and a full disk only delays it.
    pub(super) fn push_control(&self, order: &Order, payload: Bytes, holds: bool) -> Done {
        let (waiter, done_rx) = oneshot::channel();
        let (kind, position) = (Kind::Control, order.position);
        let write = Some(Write { kind, position, time_ms: now_ms(), payload, has_names: false });
        self.queue.push(Item { write, needs: Needs::Sync, waiter: Some(waiter), holds, ..Item::default() });
        done_rx
    }
}

impl Known {
    /// Returns a stream that is made now.
    pub(super) fn new(name: StreamName, durability: Durability, epoch: Epoch) -> Self {
        Self::first_known(name, durability, epoch, Seq(1))
    }
}
