//! Another node, which loads and commits without asking what stands.

use crate::order::Position;

use super::{Memory, State};

/// The fill of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Remote {
    left: u8,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    Begun { h: Position },
    Loaded { h: Position, value: u8 },
}

impl Remote {
    pub(super) fn idle(fills: u8) -> Self {
        Self { left: fills, phase: Phase::Idle }
    }

    pub(super) fn step(self) -> Option<&'static str> {
        match self.phase {
            Phase::Idle if self.left == 0 => None,
            Phase::Idle => Some("begins"),
            Phase::Begun { .. } => Some("loads"),
            Phase::Loaded { .. } => Some("commits"),
        }
    }
}

impl Memory {
    /// Takes the fill one step on, as a reload does: what is valid is loaded all the same.
    pub(super) fn remote(&self, state: &mut State) {
        let phase = match state.remote.phase {
            Phase::Idle => {
                state.remote.left -= 1;
                Phase::Begun { h: state.store.order.position() }
            }
            Phase::Begun { h } => Phase::Loaded { h, value: state.source },
            Phase::Loaded { h, value } => {
                self.commit_at_store(state, h, value);
                Phase::Idle
            }
        };
        state.remote.phase = phase;
    }
}
