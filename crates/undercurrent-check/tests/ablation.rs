//! The checker is tested: each step of the protocol is switched off, and the checker must notice.

use undercurrent::ablation::{Step, switch_off};
use undercurrent_check::judge::judge;
use undercurrent_check::plans::PLANS;
use undercurrent_check::workload::{Size, run};

/// How many seeds may be needed. Most steps are missed within ten; two take the first few hundred.
const SEEDS: u64 = 2000;

#[test]
fn with_every_step_in_place_no_promise_is_broken() {
    switch_off(None);
    for plan in &PLANS {
        // What waits for the disk or for other threads is slow.
        let seeds = if plan.events { 12 } else { 120 };
        for seed in 0..seeds {
            let violations = judge(&run(plan, seed, Size::default()));
            assert!(violations.is_empty(), "seed {seed} of `{}`: {:?}", plan.name, violations[0]);
        }
    }
}

fn is_missed(step: Step) {
    switch_off(Some(step));
    let needs_events = step == Step::ProjectionWaits;
    let plans = || PLANS.iter().filter(|plan| !plan.threads && plan.events == needs_events);
    let broken = |seed, plan: &_| !judge(&run(plan, seed, Size::default())).is_empty();
    let found = (0..SEEDS).find(|seed| plans().any(|plan| broken(*seed, plan)));
    switch_off(None);
    assert!(found.is_some(), "nothing was noticed in {SEEDS} seeds without {step:?}");
}

macro_rules! missed {
    ($($name:ident $step:ident;)*) => {
        $(#[test] fn $name() { is_missed(Step::$step); })*

        #[test]
        fn every_step_has_its_test() {
            assert_eq!([$(Step::$step),*].len(), Step::ALL.len());
            for step in Step::ALL {
                assert!([$(Step::$step),*].contains(&step), "{step:?}");
            }
        }
    };
}

missed! {
    sharing_a_question_from_before_the_read_is_noticed AskAfterBegin;
    committing_without_the_predicate_is_noticed CommitPredicate;
    committing_with_the_own_key_only_is_noticed CommitClosure;
    a_closure_of_direct_inputs_only_is_noticed ClosureTransitive;
    restamping_with_the_position_after_the_checks_is_noticed RestampAtH;
    a_cutoff_although_an_own_name_moved_is_noticed CutoffOwnUnmoved;
    a_cutoff_on_old_inputs_is_noticed CutoffInputsFresh;
    a_change_found_and_not_announced_is_noticed AnnounceChange;
    a_mixture_is_noticed NoMixture;
    reading_an_input_twice_is_noticed ReadOnce;
    exempting_what_is_not_there_is_noticed NegativeAlike;
    ignoring_doubt_is_noticed DoubtCounts;
    joining_a_load_of_what_is_in_doubt_is_noticed DoubtAsked;
    joining_a_load_that_took_longer_than_its_value_lasts_is_noticed LateAsked;
    a_hit_that_looks_at_one_floor_is_noticed HitClosure;
    floors_raised_after_applied_are_noticed FloorsFirst;
    a_barrier_shared_with_one_already_sent_is_noticed BarrierAfterRead;
    joining_a_load_from_before_the_barrier_is_noticed JoinInOrder;
    a_restamp_with_the_old_closure_is_noticed RestampClosure;
    a_deadline_that_is_not_inherited_is_noticed DeadlineInherited;
    a_forgotten_name_that_counts_as_never_moved_is_noticed AbsentIsLow;
    forgetting_a_name_without_raising_low_is_noticed LowRaised;
    raising_as_of_to_a_later_applied_is_noticed RaiseToFirst;
    committing_as_of_a_later_applied_is_noticed CommitAppliedFirst;
    a_change_announced_over_a_newer_load_is_noticed UnknownOrder;
    an_invalidation_that_removes_doubt_is_noticed DoubtKept;
    a_projection_that_does_not_wait_is_noticed ProjectionWaits;
}
