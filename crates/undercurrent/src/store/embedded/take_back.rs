//! Taking back what has its place and found no room on the disk.

use std::sync::atomic::Ordering;

use undercurrent_types::Position;

use super::ids::IdKey;
use super::queue::{Appended, Item};
use super::shared::{Order, Shared};

impl Shared {
    /// Forgets the events and rows of items that nobody has seen, and of all that came behind them.
    ///
    /// Their positions stay taken and their names in force: what made those stale has happened.
    pub(super) fn take_back(&self, order: &mut Order, items: &[Item]) {
        let events = || items.iter().flat_map(|item| &item.events);
        events().for_each(|event| event.stream.take_back(event.record.cursor.seq));
        order.ids.take_back(events().map(|event| self.id_of(event)));
        items.iter().for_each(|item| self.tables.take_back(&item.rows));
        // A reservation may have been among them.
        order.asked = Position(self.reserved.load(Ordering::Acquire));
    }

    fn id_of(&self, event: &Appended) -> IdKey {
        let record = &event.record;
        self.id_hasher.hash(event.stream.name.as_str(), record.source_text(), record.id_text())
    }
}
