//! The checker is tested: each step of the protocol is switched off, and the checker must notice.

use undercurrent::ablation::{Step, switch_off};
use undercurrent_check::judge::judge;
use undercurrent_check::plans::PLANS;
use undercurrent_check::streams::{self, plans::Over};
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

#[test]
fn with_every_step_in_place_streams_keep_their_promises() {
    switch_off(None);
    for plan in &streams::plans::PLANS {
        let seeds = if plan.over == Over::Http { 2 } else { 16 };
        for seed in 0..seeds {
            let history = streams::workload::run(plan, seed, streams::workload::Size::default());
            let violations = streams::judge::judge(&history);
            assert!(violations.is_empty(), "seed {seed} of `{}`: {:?}", plan.name, violations[0]);
        }
    }
}

#[test]
fn a_seed_of_streams_in_memory_gives_the_same_history_again() {
    let run = || streams::workload::run(&streams::plans::PLANS[0], 7, streams::workload::Size::default());
    let first = run();
    assert!(first.len() > 200, "{} operations", first.len());
    assert_eq!(first, run());
}

fn is_missed(step: Step) {
    let needs_events = step == Step::ProjectionWaits;
    let plans = || PLANS.iter().filter(|plan| !plan.threads && plan.events == needs_events);
    let broken = |seed, plan: &_| !judge(&run(plan, seed, Size::default())).is_empty();
    is_noticed(step, |seed| plans().any(|plan| broken(seed, plan)));
}

fn is_missed_in_streams(step: Step) {
    let plans = || streams::plans::PLANS.iter().filter(|plan| !plan.threads);
    let size = streams::workload::Size::default();
    let broken =
        |seed, plan: &_| !streams::judge::judge(&streams::workload::run(plan, seed, size)).is_empty();
    is_noticed(step, |seed| plans().any(|plan| broken(seed, plan)));
}

fn is_noticed(step: Step, broken: impl Fn(u64) -> bool) {
    switch_off(Some(step));
    let found = (0..SEEDS).find(|seed| broken(*seed));
    switch_off(None);
    assert!(found.is_some(), "nothing was noticed in {SEEDS} seeds without {step:?}");
    println!("noticed by seed {found:?}");
}

macro_rules! missed {
    ($($name:ident $by:ident $step:ident;)*) => {
        $(#[test] fn $name() { $by(Step::$step); })*

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
    sharing_a_question_from_before_the_read_is_noticed is_missed AskAfterBegin;
    committing_without_the_predicate_is_noticed is_missed CommitPredicate;
    committing_with_the_own_key_only_is_noticed is_missed CommitClosure;
    a_closure_of_direct_inputs_only_is_noticed is_missed ClosureTransitive;
    restamping_with_the_position_after_the_checks_is_noticed is_missed RestampAtH;
    a_cutoff_although_an_own_name_moved_is_noticed is_missed CutoffOwnUnmoved;
    a_cutoff_on_old_inputs_is_noticed is_missed CutoffInputsFresh;
    a_change_found_and_not_announced_is_noticed is_missed AnnounceChange;
    a_mixture_is_noticed is_missed NoMixture;
    reading_an_input_twice_is_noticed is_missed ReadOnce;
    exempting_what_is_not_there_is_noticed is_missed NegativeAlike;
    ignoring_doubt_is_noticed is_missed DoubtCounts;
    joining_a_load_of_what_is_in_doubt_is_noticed is_missed DoubtAsked;
    joining_a_load_that_took_longer_than_its_value_lasts_is_noticed is_missed LateAsked;
    a_hit_that_looks_at_one_floor_is_noticed is_missed HitClosure;
    floors_raised_after_applied_are_noticed is_missed FloorsFirst;
    a_barrier_shared_with_one_already_sent_is_noticed is_missed BarrierAfterRead;
    joining_a_load_from_before_the_barrier_is_noticed is_missed JoinInOrder;
    a_restamp_with_the_old_closure_is_noticed is_missed RestampClosure;
    a_deadline_that_is_not_inherited_is_noticed is_missed DeadlineInherited;
    a_forgotten_name_that_counts_as_never_moved_is_noticed is_missed AbsentIsLow;
    forgetting_a_name_without_raising_low_is_noticed is_missed LowRaised;
    raising_as_of_to_a_later_applied_is_noticed is_missed RaiseToFirst;
    committing_as_of_a_later_applied_is_noticed is_missed CommitAppliedFirst;
    a_change_announced_over_a_newer_load_is_noticed is_missed UnknownOrder;
    an_invalidation_that_removes_doubt_is_noticed is_missed DoubtKept;
    a_projection_that_does_not_wait_is_noticed is_missed ProjectionWaits;
    an_expected_seq_that_is_not_compared_is_noticed is_missed_in_streams ExpectedCompared;
    an_id_that_is_published_again_is_noticed is_missed_in_streams IdsKnown;
    ids_that_a_restart_forgets_are_noticed is_missed_in_streams IdsRestored;
    a_repeat_acknowledged_before_its_event_is_noticed is_missed_in_streams RepeatWaits;
    a_page_of_what_is_not_visible_is_noticed is_missed_in_streams VisibleOnly;
    a_live_event_taken_over_a_hole_is_noticed is_missed_in_streams LiveInOrder;
    a_live_event_given_twice_is_noticed is_missed_in_streams LiveOnce;
}
