//! The checker is tested: each step of the protocol is switched off, and the checker must notice.

use undercurrent::ablation::{Step, switch_off};
use undercurrent_check::judge::judge;
use undercurrent_check::workload::{Size, run};

/// How many seeds may be needed; most steps are missed within ten.
const SEEDS: u64 = 300;

#[test]
fn with_every_step_in_place_no_promise_is_broken() {
    switch_off(None);
    for seed in 0..100 {
        let violations = judge(&run(seed, Size::default()));
        assert!(violations.is_empty(), "seed {seed}: {:?}", violations[0]);
    }
}

fn is_missed(step: Step) {
    switch_off(Some(step));
    let seed = (0..SEEDS).find(|seed| !judge(&run(*seed, Size::default())).is_empty());
    switch_off(None);
    assert!(seed.is_some(), "nothing was noticed in {SEEDS} runs without {step:?}");
}

macro_rules! missed {
    ($($name:ident $step:ident;)*) => { $(#[test] fn $name() { is_missed(Step::$step); })* };
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
    a_hit_that_looks_at_one_floor_is_noticed HitClosure;
}
