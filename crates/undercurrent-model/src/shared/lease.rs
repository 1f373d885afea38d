//! The source's lease: who vouches that changes are announced, and until when.

use crate::order::Name;

use super::server::Data;
use super::{Action, Shared, State};

/// The scope of the source.
pub(super) const SCOPE: Name = Name(1);

/// The node that runs the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// Sees all changes.
    Watches,
    /// Goes on renewing its lease, and has said that it sees nothing.
    Blind,
    /// Is gone, and has said nothing.
    Dead,
}

impl Shared {
    pub(super) fn lease_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !self.bounds.lease {
            return;
        }
        if state.left.ticks > 0 {
            actions.push(Action::TimePasses);
        }
        if state.owner == Owner::Watches && state.left.outages > 0 {
            actions.extend([Action::OwnerGoesBlind, Action::OwnerDies]);
        }
        if state.owner != Owner::Watches {
            actions.push(Action::OwnerReturns);
        }
        let data = &state.servers[state.named].data;
        let renewed = data.deadline == Some(state.clock + 1);
        if state.owner != Owner::Dead && !renewed {
            actions.push(Action::OwnerRenews);
        }
    }

    /// Says whether all that changes now has to be seen although nobody announced it: the owner has said that it
    /// sees nothing, or its lease is over.
    pub(super) fn nobody_vouches(state: &State) -> bool {
        match state.owner {
            Owner::Watches => false,
            Owner::Blind => true,
            Owner::Dead => state.vouched_until <= state.clock,
        }
    }

    /// Says whether a script finds that the source has no row, and so nobody who vouches for it.
    pub(super) fn has_no_row(&self, data: &Data) -> bool {
        self.bounds.lease && data.deadline.is_none() && self.steps.no_row_is_doubt
    }

    /// Puts the scope in doubt if its lease is over. Every script begins so.
    pub(super) fn meet_deadline(&self, state: &mut State, server: usize) {
        let data = &mut state.servers[server].data;
        let passed = data.deadline.is_some_and(|deadline| deadline <= state.clock);
        if !passed || data.order.is_in_doubt(SCOPE) || !self.steps.lapse_is_doubt {
            return;
        }
        if self.steps.lapse_takes_a_position {
            self.take(state, server, |order, steps| order.put_in_doubt(SCOPE, steps));
        } else {
            data.order.mark(SCOPE);
        }
    }

    /// Puts the scope in doubt by the word of its owner. In the code: `store::dragonfly::lease::published`.
    pub(super) fn go_blind(&self, state: &mut State) {
        self.claim_without_knowledge(state);
        self.take(state, state.named, |order, steps| order.put_in_doubt(SCOPE, steps));
        state.owner = Owner::Blind;
    }

    /// RENEW: moves the deadline. After a lapse, or by an owner that was away, it also takes the scope out of doubt
    /// at a new position; by one that is blind, it says so in the same step. In the code:
    /// `store::dragonfly::lease::renew`, where one that is blind leaves the scope without a row.
    pub(super) fn renew(&self, state: &mut State, returns: bool) {
        self.claim_without_knowledge(state);
        let server = state.named;
        self.meet_deadline(state, server);
        if returns {
            state.owner = Owner::Watches;
        }
        let data = &mut state.servers[server].data;
        let lapsed = data.deadline.is_none_or(|deadline| deadline <= state.clock);
        data.deadline = Some(state.clock + 1);
        state.vouched_until = state.clock + 1;
        if state.owner == Owner::Blind {
            if lapsed && self.steps.renewal_names_what_is_in_doubt {
                self.take(state, server, |order, steps| order.put_in_doubt(SCOPE, steps));
            } else if lapsed {
                self.take(state, server, |order, steps| order.vouch(SCOPE, steps));
            }
        } else if lapsed || returns {
            self.take(state, server, |order, steps| order.vouch(SCOPE, steps));
            state.servers[server].data.announced = state.source;
            state.returned = state.source;
        }
    }
}
