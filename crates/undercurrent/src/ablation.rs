//! Single steps of the protocol, each of which can be switched off in tests.
//!
//! Without the feature `ablation` nothing can: [`skips`] is `false` for the compiler.

/// A step of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// A load that a verified read shares began after the read.
    AskAfterBegin,
    /// A value is kept only if no name moved since its load began.
    CommitPredicate,
    /// That is asked of the whole closure, not of the own key alone.
    CommitClosure,
    /// The closure holds the closures of all inputs.
    ClosureTransitive,
    /// A restamp is as of the position before its checks.
    RestampAtH,
    /// The cutoff is for values none of whose own names moved.
    CutoffOwnUnmoved,
    /// The cutoff reads its inputs no older than itself.
    CutoffInputsFresh,
    /// A change that is found is announced.
    AnnounceChange,
    /// No value is made from two versions of one key.
    NoMixture,
    /// A load reads each input once.
    ReadOnce,
    /// What is not there is invalidated like a value.
    NegativeAlike,
    /// What nobody vouches for is not kept as valid.
    DoubtCounts,
    /// What nobody vouches for is asked for at every read.
    DoubtAsked,
    /// A hit looks at the floors of its whole closure.
    HitClosure,
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 14] = [
        Self::AskAfterBegin,
        Self::CommitPredicate,
        Self::CommitClosure,
        Self::ClosureTransitive,
        Self::RestampAtH,
        Self::CutoffOwnUnmoved,
        Self::CutoffInputsFresh,
        Self::AnnounceChange,
        Self::NoMixture,
        Self::ReadOnce,
        Self::NegativeAlike,
        Self::DoubtCounts,
        Self::DoubtAsked,
        Self::HitClosure,
    ];
}

#[cfg(feature = "ablation")]
mod switches {
    use super::Step;
    use std::cell::Cell;

    thread_local! {
        /// Of a thread, since each test runs its engine on its own.
        static OFF: Cell<u64> = const { Cell::new(0) };
    }

    /// Switches a step off for this thread, and all others on.
    pub fn switch_off(step: Option<Step>) {
        OFF.with(|off| off.set(step.map_or(0, |step| 1 << step as u8)));
    }

    pub(crate) fn skips(step: Step) -> bool {
        OFF.with(|off| off.get() & (1 << step as u8) != 0)
    }
}

#[cfg(feature = "ablation")]
pub(crate) use switches::skips;
#[cfg(feature = "ablation")]
pub use switches::switch_off;

/// Says whether a step is switched off.
#[cfg(not(feature = "ablation"))]
pub(crate) const fn skips(_step: Step) -> bool {
    false
}
