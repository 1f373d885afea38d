//! Tries every interleaving of the atomics behind a hit in memory: `as_of`, floors, `applied`.
//!
//! The engine's own files are compiled a second time, with the model checker's atomics in place of the machine's, and
//! a handful of floors.

#![cfg(test)]
#![expect(unreachable_pub, dead_code, unexpected_cfgs, reason = "the files belong to another crate")]

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};

    pub(crate) const SLOTS: usize = 2;

    /// Nobody waits here.
    #[derive(Debug, Default)]
    pub(crate) struct Bell(());

    impl Bell {
        pub(crate) fn notify_waiters(&self) {}
    }
}

#[path = "../../undercurrent/src/ablation.rs"]
mod ablation;

#[path = "../../undercurrent/src/store/horizon.rs"]
mod horizon;

mod store {
    pub(crate) use super::horizon::{Horizon, Slot};
}

#[path = "../../undercurrent/src/cache/as_of.rs"]
mod as_of;

use std::sync::Arc;

use as_of::{AsOf, Verdict};
use horizon::{Horizon, Slot};
use undercurrent_types::{Incarnation, Name, Position};

/// What a store does at a position.
fn apply(horizon: &Horizon, name: &Name, position: Position) {
    horizon.raise([name], position);
    horizon.advance(position);
}

fn horizon() -> Horizon {
    Horizon::starting_at(Incarnation(1), Position(1))
}

/// Two names whose floors are not the same.
fn names() -> (Name, Name) {
    let name = |i: u32| Name::tag(&i.to_string()).expect("it is a tag");
    let first = name(0);
    let other = (1..).map(name).find(|other| Slot::of(other) != Slot::of(&first)).expect("hashes differ");
    (first, other)
}

/// What a read may be told, if an invalidation at this position returned before it began.
fn is_right(verdict: Verdict, invalidated: u64) -> bool {
    match verdict {
        Verdict::Current | Verdict::Unmoved => invalidated == 0,
        Verdict::Floor(_) | Verdict::Ahead => true,
    }
}

#[test]
fn no_hit_after_an_invalidation_that_returned() {
    // Three preemptions at most: the counterexamples of the broken orders need one or two, and trying all takes minutes.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (name, other) = names();
        let shared = Arc::new((horizon(), AsOf::new(Position(1)), loom::sync::atomic::AtomicU64::new(0)));
        let writer = {
            let shared = shared.clone();
            let name = name.clone();
            loom::thread::spawn(move || {
                let (horizon, _, returned) = &*shared;
                apply(horizon, &other, Position(2));
                apply(horizon, &name, Position(3));
                returned.store(3, sync::Ordering::Release);
            })
        };
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                let slots = [Slot::of(&name)];
                loom::thread::spawn(move || {
                    let (horizon, as_of, returned) = &*shared;
                    let invalidated = returned.load(sync::Ordering::Acquire);
                    let barrier = horizon.applied();
                    let verdict = as_of.judge(horizon, &slots, barrier);
                    assert!(is_right(verdict, invalidated), "{verdict:?} after {invalidated}");
                })
            })
            .collect();
        writer.join().expect("it does not panic");
        readers.into_iter().for_each(|reader| reader.join().expect("it does not panic"));
        let (horizon, as_of, _) = &*shared;
        assert!(as_of.get() < Position(3), "no read raised it over its own invalidation");
        assert!(is_right(as_of.judge(horizon, &[Slot::of(&name)], Position(3)), 3));
    });
}
