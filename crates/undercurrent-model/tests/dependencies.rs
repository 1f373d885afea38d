//! Every step of filling values that are made from values is needed, and with all of them I1, I5 and I6 hold.

use undercurrent_model::check::{exhaust, refute};
use undercurrent_model::dependencies::{Bounds, Dependencies, Graph, Key, Steps};
use undercurrent_model::order;
use undercurrent_model::runs::{self, NOISE, keeping};

const SMALL: Bounds = Bounds::SMALL;

#[expect(clippy::print_stdout, reason = "shown with `--nocapture`: what was seen, and the way to what broke")]
fn holds(name: &str, model: Dependencies) {
    let report = exhaust(model, 1);
    println!("{name}: {report}");
    assert!(report.holds(), "{name}: {report}");
}

#[expect(clippy::print_stdout, reason = "shown with `--nocapture`: what was seen, and the way to what broke")]
fn is_refuted(bounds: Bounds, steps: Steps) {
    let report = refute(Dependencies { bounds, steps });
    println!("{report}");
    assert!(report.broken.is_some(), "{report}");
}

/// The log keeps one record.
const SHORT_LOG: order::Steps = keeping(1);
/// All is kept already.
const WARM: Bounds = Bounds { warm: true, ..SMALL };
/// What the tag of `m` stands for changes too.
const TAG: Bounds = Bounds { changes: [1, 0, 1], ..SMALL };
const DIAMOND: Bounds = Bounds { graph: Graph::Diamond, changes: [1, 0, 0], expiries: 1, ..SMALL };
const DYNAMIC: Bounds = Bounds { graph: Graph::Dynamic, changes: [1, 1, 0], ..SMALL };
const VERIFIED: Bounds = Bounds { verified: true, keys: &[Key::A, Key::K], changes: [1, 0, 0], ..SMALL };
const DOUBT: Bounds = Bounds { doubts: 1, keys: &[Key::A, Key::K], changes: [1, 0, 0], ..SMALL };

#[test]
fn the_protocol_holds() {
    for (name, model) in runs::dependencies(false) {
        holds(name, model);
    }
}

#[test]
fn h_taken_after_the_load_is_refuted() {
    is_refuted(Bounds { reads: 2, ..SMALL }, Steps { h_before_the_load: false, ..Steps::ALL });
}

#[test]
fn a_commit_without_the_predicate_is_refuted() {
    is_refuted(Bounds { reads: 2, ..SMALL }, Steps { commit_asks_the_predicate: false, ..Steps::ALL });
}

#[test]
fn a_commit_that_asks_for_its_own_key_is_refuted() {
    is_refuted(Bounds { reads: 2, ..SMALL }, Steps { commit_asks_the_closure: false, ..Steps::ALL });
}

#[test]
fn a_closure_of_direct_inputs_is_refuted() {
    is_refuted(Bounds { reads: 2, ..SMALL }, Steps { closure_is_transitive: false, ..Steps::ALL });
}

#[test]
fn a_mixture_is_refuted() {
    is_refuted(DIAMOND, Steps { no_mixture: false, ..Steps::ALL });
}

#[test]
fn inputs_read_twice_and_mixed_is_refuted() {
    is_refuted(DIAMOND, Steps { no_mixture: false, inputs_are_read_once: false, ..Steps::ALL });
}

#[test]
fn a_cutoff_although_an_own_name_moved_is_refuted() {
    is_refuted(Bounds { reads: 2, ..TAG }, Steps { cutoff_needs_own_unmoved: false, ..Steps::ALL });
}

#[test]
fn a_cutoff_on_inputs_as_they_stand_is_refuted() {
    is_refuted(Bounds { reads: 2, ..SMALL }, Steps { cutoff_reads_fresh_inputs: false, ..Steps::ALL });
}

#[test]
fn a_restamp_at_the_current_position_is_refuted() {
    is_refuted(WARM, Steps { restamp_at_h: false, ..Steps::ALL });
}

#[test]
fn a_restamp_that_keeps_the_old_closure_is_refuted() {
    let bounds = Bounds { processes: 1, reads: 2, keys: &[Key::K], warm: true, ..DYNAMIC };
    is_refuted(bounds, Steps { restamp_takes_current_closures: false, ..Steps::ALL });
}

#[test]
fn a_restamp_of_whatever_stands_is_refuted() {
    let bounds = Bounds {
        processes: 3,
        keys: &[Key::M],
        changes: [0, 0, 1],
        needless: [1, 1, 0, 0],
        expiries: 1,
        ..WARM
    };
    is_refuted(bounds, Steps { restamp_over_the_same: false, ..Steps::ALL });
}

#[test]
fn a_change_found_and_not_announced_is_refuted() {
    let bounds = Bounds { graph: Graph::Diamond, warm: true, needless: NOISE, ..VERIFIED };
    is_refuted(bounds, Steps { announce_change: false, ..Steps::ALL });
}

#[test]
fn a_change_announced_over_a_newer_load_is_refuted() {
    let bounds = Bounds { processes: 3, keys: &[Key::A], needless: NOISE, ..VERIFIED };
    is_refuted(bounds, Steps { unknown_order_keeps_neither: false, ..Steps::ALL });
}

#[test]
fn a_negative_entry_that_is_exempt_is_refuted() {
    is_refuted(Bounds { reads: 2, ..SMALL }, Steps { negative_alike: false, ..Steps::ALL });
}

#[test]
fn an_absent_name_that_counts_as_zero_is_refuted() {
    let order = order::Steps { absent_counts_as_low: false, ..SHORT_LOG };
    is_refuted(Bounds { reads: 2, ..TAG }, Steps { order, ..Steps::ALL });
}

#[test]
fn trimming_that_leaves_low_is_refuted() {
    let order = order::Steps { forgetting_raises_low: false, ..SHORT_LOG };
    is_refuted(Bounds { reads: 2, ..TAG }, Steps { order, ..Steps::ALL });
}

#[test]
fn trimming_by_any_record_is_refuted() {
    let order = order::Steps { only_the_last_record_removes: false, ..SHORT_LOG };
    is_refuted(Bounds { reads: 2, ..SMALL }, Steps { order, ..Steps::ALL });
}

#[test]
fn a_doubt_that_is_trimmed_is_refuted() {
    let order = order::Steps { doubt_is_not_trimmed: false, ..SHORT_LOG };
    let bounds = Bounds { keys: &[Key::A], reads: 2, needless: NOISE, ..DOUBT };
    is_refuted(bounds, Steps { order, ..Steps::ALL });
}

#[test]
fn a_doubt_that_does_not_count_is_refuted() {
    let order = order::Steps { doubt_counts: false, ..order::Steps::ALL };
    is_refuted(Bounds { reads: 2, ..DOUBT }, Steps { order, ..Steps::ALL });
}

#[test]
fn a_doubt_lost_by_an_invalidation_is_refuted() {
    let order = order::Steps { invalidation_keeps_doubt: false, ..order::Steps::ALL };
    is_refuted(Bounds { reads: 2, ..DOUBT }, Steps { order, ..Steps::ALL });
}

#[test]
fn vouching_without_a_position_is_refuted() {
    let order = order::Steps { vouching_takes_a_position: false, ..order::Steps::ALL };
    is_refuted(Bounds { reads: 2, ..DOUBT }, Steps { order, ..Steps::ALL });
}

#[test]
fn reading_an_input_twice_is_met_by_the_check_for_mixtures() {
    let steps = Steps { inputs_are_read_once: false, ..Steps::ALL };
    holds("inputs read twice", Dependencies { bounds: DIAMOND, steps });
}
