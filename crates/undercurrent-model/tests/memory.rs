//! Every step of the memory of a node is needed, and with all of them I1 holds.

use undercurrent_model::check::{exhaust, refute};
use undercurrent_model::memory::{Bounds, Memory, Steps};
use undercurrent_model::runs::{self, keeping};

const SMALL: Bounds = Bounds::SMALL;

#[expect(clippy::print_stdout, reason = "shown with `--nocapture`: what was seen, and the way to what broke")]
fn holds(name: &str, model: Memory) {
    let report = exhaust(model, 1);
    println!("{name}: {report}");
    assert!(report.holds(), "{name}: {report}");
}

#[expect(clippy::print_stdout, reason = "shown with `--nocapture`: what was seen, and the way to what broke")]
fn is_refuted(bounds: Bounds, steps: Steps) {
    let report = refute(Memory { bounds, steps });
    println!("{report}");
    assert!(report.broken.is_some(), "{report}");
}

#[test]
fn the_protocol_holds() {
    for (name, model) in runs::memory(false) {
        holds(name, model);
    }
}

#[test]
fn floors_raised_after_applied_are_refuted() {
    is_refuted(SMALL, Steps { floors_before_applied: false, ..Steps::ALL });
}

#[test]
fn a_barrier_shared_with_one_under_way_is_refuted() {
    is_refuted(SMALL, Steps { share_the_next_barrier: false, ..Steps::ALL });
}

#[test]
fn a_node_that_passes_over_trimmed_records_is_refuted() {
    let order = keeping(1);
    is_refuted(Bounds { noise: 1, ..SMALL }, Steps { order, jump_over_a_gap: false, ..Steps::ALL });
}

#[test]
fn applied_read_after_the_floors_is_refuted() {
    is_refuted(Bounds { noise: 1, ..SMALL }, Steps { applied_before_floors: false, ..Steps::ALL });
}

#[test]
fn a_hit_that_asks_for_one_name_is_refuted() {
    is_refuted(SMALL, Steps { hit_asks_the_closure: false, ..Steps::ALL });
}

#[test]
fn an_own_publish_that_moves_applied_is_refuted() {
    is_refuted(Bounds { own: 1, ..SMALL }, Steps { own_publish_leaves_applied: false, ..Steps::ALL });
}

#[test]
fn joining_a_load_from_before_the_barrier_is_refuted() {
    is_refuted(SMALL, Steps { join_after_barrier: false, ..Steps::ALL });
}

#[test]
fn joining_a_flight_that_asks_for_its_position_is_refuted() {
    is_refuted(SMALL, Steps { closed_takes_nobody: false, ..Steps::ALL });
}

#[test]
fn a_commit_without_the_predicate_is_refuted() {
    is_refuted(SMALL, Steps { commit_asks_the_predicate: false, ..Steps::ALL });
}

#[test]
fn keeping_what_was_refused_is_refuted() {
    is_refuted(SMALL, Steps { refused_is_not_kept: false, ..Steps::ALL });
}

#[test]
fn an_entry_kept_as_of_its_arrival_is_refuted() {
    is_refuted(SMALL, Steps { kept_at_the_position_of_commit: false, ..Steps::ALL });
}

#[test]
fn a_change_found_and_not_announced_is_refuted() {
    is_refuted(
        Bounds { changes: 1, remote: 1, noise: 1, invalidations: 0, ..SMALL },
        Steps { announce_change: false, ..Steps::ALL },
    );
}

#[test]
fn a_change_found_by_a_load_that_is_refused_and_not_announced_is_refuted() {
    // The store forgets a name meanwhile, which counts as if all names that it does not know had moved.
    let bounds = Bounds { changes: 1, remote: 1, noise: 3, invalidations: 0, readers: 1, reads: 3, ..SMALL };
    is_refuted(bounds, Steps { order: keeping(1), refusal_announces: false, ..Steps::ALL });
}

#[test]
fn a_change_announced_over_a_newer_load_is_refuted() {
    let steps = Steps { unknown_order_keeps_neither: false, ..Steps::ALL };
    is_refuted(Bounds { changes: 1, remote: 1, noise: 1, invalidations: 0, ..SMALL }, steps);
}

#[test]
fn what_only_saves_work_may_be_left_out() {
    let steps = Steps {
        late_list_is_ignored: false,
        own_publish_raises_floors: false,
        larger_as_of_stays: false,
        ..Steps::ALL
    };
    holds("what only saves work", Memory { bounds: Bounds { own: 1, ..SMALL }, steps });
}
