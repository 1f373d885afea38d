//! The source's lease: who vouches that changes are announced, and until when.

use crate::order::Name;

use super::server::{Control, Data, Incarnation};
use super::{Action, Shared, State};

/// The scope of the source.
pub(super) const SCOPE: Name = Name(1);

/// The node that runs the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// Sees all changes.
    Watches,
    /// Has said that it sees nothing.
    Blind,
    /// Is gone, and has said nothing.
    Dead,
}

/// A RENEW on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Renewal {
    incarnation: Incarnation,
    /// How often the owner had put the scope in doubt.
    word: u8,
    /// The time when it was sent.
    asked: u8,
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
        if state.owner == Owner::Watches && !renewed {
            actions.push(Action::OwnerRenews);
        }
        if state.owner == Owner::Watches && state.left.delays > 0 && state.delayed.is_none() {
            actions.push(Action::RenewalIsDelayed);
        }
        if state.delayed.is_some() {
            actions.push(Action::RenewalArrives);
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

    /// Puts the scope in doubt by the word of its owner, which leaves it without a row. In the code:
    /// `store::dragonfly::lease::published`.
    pub(super) fn go_blind(&self, state: &mut State) {
        self.claim_without_knowledge(state);
        self.take(state, state.named, |order, steps| order.put_in_doubt(SCOPE, steps));
        state.owner = Owner::Blind;
        state.word += 1;
        let data = &mut state.servers[state.named].data;
        (data.deadline, data.word) = (None, state.word);
    }

    /// RENEW: moves the deadline. After a lapse, or by an owner that was away, it also takes the scope out of doubt
    /// at a new position. In the code: `store::dragonfly::lease::renew`.
    pub(super) fn renew(&self, state: &mut State, returns: bool) {
        self.claim_without_knowledge(state);
        self.meet_deadline(state, state.named);
        state.owner = Owner::Watches;
        state.vouched_until = state.clock + 1;
        if self.believe(state, state.vouched_until, returns) {
            state.servers[state.named].data.announced = state.source;
            state.returned = state.source;
        }
    }

    pub(super) fn delay_renewal(&self, state: &mut State) {
        self.claim_without_knowledge(state);
        let control = state.servers[state.named].data.control;
        state.delayed = control.map(|Control { incarnation, .. }| Renewal {
            incarnation,
            word: state.word,
            asked: state.clock,
        });
    }

    /// A RENEW that was long on the way: its owner may have put the scope in doubt since, or be gone.
    pub(super) fn renewal_arrives(&self, state: &mut State) {
        let Some(Renewal { incarnation, word, asked }) = state.delayed.take() else { return };
        let control = state.servers[state.named].data.control;
        if control.is_none_or(|control| control.incarnation != incarnation) {
            return;
        }
        self.meet_deadline(state, state.named);
        let until = if self.steps.leases_last_from_asking { asked + 1 } else { state.clock + 1 };
        let is_late = word < state.servers[state.named].data.word && self.steps.late_words_are_known;
        if is_late || until <= state.clock {
            return;
        }
        state.vouched_until = state.vouched_until.max(asked + 1);
        self.believe(state, until, false);
    }

    /// Writes the row of the scope, and takes it out of doubt if there was none that lasts; says whether it did.
    fn believe(&self, state: &mut State, until: u8, anew: bool) -> bool {
        let data = &mut state.servers[state.named].data;
        let begins = anew || data.deadline.is_none_or(|deadline| deadline <= state.clock);
        data.deadline = Some(until);
        if begins {
            self.take(state, state.named, |order, steps| order.vouch(SCOPE, steps));
        }
        begins
    }
}
