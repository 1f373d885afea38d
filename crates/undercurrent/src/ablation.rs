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
    /// A value whose time is over is not shared with a read that came after its load began.
    LateAsked,
    /// A hit looks at the floors of its whole closure.
    HitClosure,
    /// The floors are raised before `applied` is published.
    FloorsFirst,
    /// A read shares a barrier only if that is sent after the read began. Of stores that take a round trip.
    BarrierAfterRead,
    /// A read joins a load only if that began at or after the read's barrier.
    JoinInOrder,
    /// A restamp writes the closure anew.
    RestampClosure,
    /// A value lasts no longer than what it was made from.
    DeadlineInherited,
    /// A name that is no longer remembered counts as moved at `low`.
    AbsentIsLow,
    /// Forgetting a name raises `low`.
    LowRaised,
    /// A hit raises `as_of` to the `applied` that it read before the floors.
    RaiseToFirst,
    /// A commit is as of the `applied` that was read before `last`.
    CommitAppliedFirst,
    /// Of two loads that disagree and whose order is unknown neither stays.
    UnknownOrder,
    /// An invalidation keeps the mark of doubt.
    DoubtKept,
    /// A projection waits until what moved its key is visible.
    ProjectionWaits,
    /// An expected seq is compared with the last one of the stream.
    ExpectedCompared,
    /// An id that has been published is not published again.
    IdsKnown,
    /// That holds over a restart.
    IdsRestored,
    /// A repeat is acknowledged no sooner than the event itself.
    RepeatWaits,
    /// A page has only what is visible.
    VisibleOnly,
    /// An event of the live ring is taken only if it is the next one.
    LiveInOrder,
    /// An event of the live ring that the log gave already is passed over.
    LiveOnce,
    /// A request to a shared server proves, by a write and by what the server is behind it, where it ran.
    WriteProof,
    /// A script is of one incarnation.
    IncarnationCompared,
    /// `last` says of which incarnation it is, so that its eviction alone is noticed.
    LastRepeatsIncarnation,
    /// Putting in doubt what nobody vouched for in time takes a position.
    LapseTakesPosition,
    /// A claim of a server that may have lost positions makes a new incarnation.
    ClaimBeginsAnew,
    /// A position that is known has to stand with its nonce.
    NoncesCompared,
    /// The id of an event is written behind the event.
    IdBehindEvent,
    /// What a node publishes raises floors and does not move `applied`.
    AppliedInOrder,
    /// A connection that was lost is claimed again.
    ConnectionClaimed,
    /// A publish holds only under the rules that its names were found by.
    RulesHeld,
    /// What a barrier found is taken in only where nothing else was since it was sent.
    LateAnswerDropped,
}

impl Step {
    /// All steps of every store.
    pub const ALL: [Self; 34] = [
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
        Self::LateAsked,
        Self::HitClosure,
        Self::FloorsFirst,
        Self::BarrierAfterRead,
        Self::JoinInOrder,
        Self::RestampClosure,
        Self::DeadlineInherited,
        Self::AbsentIsLow,
        Self::LowRaised,
        Self::RaiseToFirst,
        Self::CommitAppliedFirst,
        Self::UnknownOrder,
        Self::DoubtKept,
        Self::ProjectionWaits,
        Self::ExpectedCompared,
        Self::IdsKnown,
        Self::IdsRestored,
        Self::RepeatWaits,
        Self::VisibleOnly,
        Self::LiveInOrder,
        Self::LiveOnce,
    ];

    /// Those of a store that several nodes share.
    pub const SHARED: [Self; 11] = [
        Self::WriteProof,
        Self::IncarnationCompared,
        Self::LastRepeatsIncarnation,
        Self::LapseTakesPosition,
        Self::ClaimBeginsAnew,
        Self::NoncesCompared,
        Self::IdBehindEvent,
        Self::AppliedInOrder,
        Self::ConnectionClaimed,
        Self::RulesHeld,
        Self::LateAnswerDropped,
    ];
}

/// A place between two steps where another thread could be at work: a test on one thread works there itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// No lock is held: anything may happen.
    Open,
    /// The order is held: others can only read what is in memory.
    Ordered,
}

#[cfg(feature = "ablation")]
mod switches {
    use super::{Gap, Step};
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    type Hook = Box<dyn FnMut(Gap)>;

    thread_local! {
        /// Of a thread, since each test runs its engine on its own.
        static OFF: Cell<u64> = const { Cell::new(0) };
        static NOW: Cell<Option<Duration>> = const { Cell::new(None) };
        /// Empty while it runs, so that what it does has no gaps.
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Switches a step off for this thread, and all others on.
    pub fn switch_off(step: Option<Step>) {
        OFF.with(|off| off.set(step.map_or(0, |step| 1 << step as u8)));
    }

    /// Says whether a step is switched off on this thread.
    pub fn skips(step: Step) -> bool {
        OFF.with(|off| off.get() & (1 << step as u8) != 0)
    }

    /// Sets what this thread does in every gap, and returns what it did until now.
    pub fn set_hook(hook: Option<Hook>) -> Option<Hook> {
        HOOK.with(|cell| cell.replace(hook))
    }

    /// Sets the time of this thread; `None` gives it the machine's.
    pub fn set_time(now: Option<Duration>) {
        NOW.with(|cell| cell.set(now));
    }

    pub(crate) fn gap(gap: Gap) {
        if let Some(mut hook) = set_hook(None) {
            hook(gap);
            set_hook(Some(hook));
        }
    }

    pub(crate) fn time() -> Option<Duration> {
        NOW.with(Cell::get)
    }
}

#[cfg(feature = "ablation")]
pub(crate) use switches::{gap, time};
#[cfg(feature = "ablation")]
pub use switches::{set_hook, set_time, skips, switch_off};

/// Says whether a step is switched off.
#[cfg(not(feature = "ablation"))]
pub(crate) const fn skips(_step: Step) -> bool {
    false
}

/// Lets a test work in a gap.
#[cfg(not(feature = "ablation"))]
pub(crate) const fn gap(_gap: Gap) {}

/// Returns the time that a test has set.
#[cfg(not(feature = "ablation"))]
pub(crate) const fn time() -> Option<std::time::Duration> {
    None
}
