//! One connection of a proxy, and snares for it or for any.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::state::{Connection, Mode, Shared, State, Trigger};
use super::{Direction, Point};
use crate::error::ServerError;

/// One connection through a proxy. After its end all that is done to it does nothing.
#[derive(Clone, Debug)]
pub struct Link {
    pub(super) number: u64,
    pub(super) shared: Arc<Shared>,
}

impl Link {
    /// Returns its number in the order in which the connections of the proxy came, from 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the address of its client; nothing after its end.
    pub fn client(&self) -> Option<SocketAddr> {
        self.shared.state.lock().connections.get(&self.number).map(|it| it.client)
    }

    /// Holds what goes in a direction.
    pub fn hold(&self, direction: Direction) {
        self.set(|it| it.gate(direction).mode = Mode::Held);
    }

    /// Loses what goes in a direction.
    pub fn swallow(&self, direction: Direction) {
        self.set(|it| it.gate(direction).mode = Mode::Swallowed);
    }

    /// Lets pass what goes in a direction, first of all what was held.
    pub fn release(&self, direction: Direction) {
        self.set(|it| it.gate(direction).mode = Mode::Open);
    }

    /// Lets everything in a direction take so much longer from now on.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.set(|it| it.gate(direction).delay = delay);
    }

    /// Resets it; what was under way is lost.
    pub fn cut(&self) {
        self.set(|it| it.cut = true);
    }

    fn set(&self, set: impl FnOnce(&mut Connection)) {
        self.shared.change(|state| state.connections.get_mut(&self.number).map(set));
    }

    /// Sets a snare for it alone.
    ///
    /// # Panics
    ///
    /// Panics if the pattern is empty or has more than 256 bytes.
    pub fn snare(&self, direction: Direction, point: Point) -> Snare {
        Snare::set(&self.shared, direction, Some(self.number), point)
    }

    /// Returns how many bytes its receiver was given in a direction; nothing after its end.
    pub fn passed(&self, direction: Direction) -> Option<u64> {
        let mut state = self.shared.state.lock();
        state.connections.get_mut(&self.number).map(|it| it.gate(direction).passed)
    }

    /// Waits until bytes wait behind a hold of a direction.
    ///
    /// # Errors
    ///
    /// Fails where nothing arrives in time.
    pub async fn waits(&self, direction: Direction) -> Result<(), ServerError> {
        let look = |state: &mut State| {
            state.connections.get_mut(&self.number)?.gate(direction).waits().then_some(())
        };
        self.shared.until("bytes wait in a proxy", look).await
    }

    /// Waits until the sender of a direction has closed or reset it, whatever the receiver learns of that.
    ///
    /// # Errors
    ///
    /// Fails where it does not in time.
    pub async fn closed(&self, direction: Direction) -> Result<(), ServerError> {
        let look = |state: &mut State| match state.connections.get_mut(&self.number) {
            Some(connection) => connection.gate(direction).closed.then_some(()),
            None => Some(()),
        };
        self.shared.until("one side closes a connection", look).await
    }

    /// Waits until it is closed on both sides.
    ///
    /// # Errors
    ///
    /// Fails where it is not in time.
    pub async fn ended(&self) -> Result<(), ServerError> {
        let look = |state: &mut State| (!state.connections.contains_key(&self.number)).then_some(());
        self.shared.until("a connection ends", look).await
    }
}

/// A snare that is set. It is taken away when this is dropped; what it holds by then stays held.
#[derive(Debug)]
pub struct Snare {
    number: u64,
    shared: Arc<Shared>,
}

impl Snare {
    pub(super) fn set(shared: &Arc<Shared>, direction: Direction, only: Option<u64>, point: Point) -> Self {
        point.check();
        let number = shared.change(|state| {
            let number = state.next_trigger;
            state.next_trigger += 1;
            let trigger = Trigger { direction, only, point, points: BTreeMap::new(), caught: None };
            state.triggers.insert(number, trigger);
            number
        });
        Self { number, shared: Arc::clone(shared) }
    }

    /// Waits until a connection has reached the point, and returns it. It is held in that direction.
    ///
    /// # Errors
    ///
    /// Fails where none gets there in time.
    pub async fn caught(&self) -> Result<Link, ServerError> {
        let look = |state: &mut State| state.triggers.get(&self.number)?.caught;
        let number = self.shared.until("a snare catches a connection", look).await?;
        Ok(Link { number, shared: Arc::clone(&self.shared) })
    }
}

impl Drop for Snare {
    fn drop(&mut self) {
        self.shared.change(|state| state.triggers.remove(&self.number));
    }
}
