//! Every step that a shared store adds is needed, or is named as one that is not, and with all of them I1 holds.

use undercurrent_model::check::{exhaust, refute};
use undercurrent_model::order;
use undercurrent_model::runs::{self, keeping};
use undercurrent_model::shared::{Bounds, Kind, Old, Shared, Snapshot, Steps};

#[expect(clippy::print_stdout, reason = "shown with `--nocapture`: what was seen, and the way to what broke")]
fn holds(name: &str, model: Shared) {
    let report = exhaust(model, 1);
    println!("{name}: {report}");
    assert!(report.holds(), "{name}: {report}");
}

#[expect(clippy::print_stdout, reason = "shown with `--nocapture`: what was seen, and the way to what broke")]
fn is_refuted(bounds: Bounds, steps: Steps) {
    let report = refute(Shared { bounds, steps });
    println!("{report}");
    assert!(report.broken.is_some(), "{report}");
}

const SMALL: Bounds = Bounds::SMALL;
/// A replica is promoted.
const PROMOTED: Bounds = Bounds { nodes: 1, reads: 2, ..SMALL };
/// And then the first server again.
const BACK: Bounds = Bounds { promotions: 2, ..PROMOTED };
const DRAGONFLY: Bounds = Bounds { kind: Kind::Dragonfly, ..BACK };
/// What others can see of it, and not what a node knew.
const LOST: Bounds = Bounds { known: false, ..DRAGONFLY };
/// Nothing happens to the server.
const STAYS: Bounds = Bounds { promotions: 0, noise: 1, ..PROMOTED };
const FLUSHED: Bounds = Bounds { flushes: 1, ..STAYS };
const LEASE: Bounds = Bounds { lease: true, ticks: 1, outages: 1, promotions: 0, ..PROMOTED };
/// A node takes a claim in that begins below what it has seen, where one does.
const FALLING: Steps = Steps { claim_below_a_later_answer_is_sent_again: false, ..Steps::ALL };
/// The log keeps one record.
const SHORT_LOG: order::Steps = keeping(1);

#[test]
fn the_protocol_holds() {
    for (name, model) in runs::shared(false) {
        holds(name, model);
    }
}

// Where a script runs.

#[test]
fn a_script_that_runs_on_a_replica_is_refuted() {
    is_refuted(PROMOTED, Steps { scripts_prove_that_they_may_write: false, ..Steps::ALL });
}

#[test]
fn a_script_that_compares_no_incarnation_is_refuted() {
    is_refuted(FLUSHED, Steps { scripts_compare_the_incarnation: false, ..Steps::ALL });
}

#[test]
fn last_evicted_unnoticed_is_refuted() {
    let bounds = Bounds { evictions: [0, 1], ..STAYS };
    is_refuted(bounds, Steps { last_repeats_the_incarnation: false, ..Steps::ALL });
}

#[test]
fn an_answer_whatever_the_id_of_the_server_is_refuted() {
    is_refuted(BACK, Steps { answers_compare_the_id: false, ..Steps::ALL });
}

#[test]
fn a_connection_that_reconnects_by_itself_is_refuted_where_answers_compare_no_id() {
    let bounds = Bounds { restarts: 1, snapshot: Snapshot::Older, ..STAYS };
    let steps = Steps { connections_end: false, answers_compare_the_id: false, ..Steps::ALL };
    is_refuted(bounds, steps);
    let steps = Steps { answers_compare_the_id: false, ..Steps::ALL };
    holds("a connection that ends, and compares no id", Shared { bounds, steps });
}

// CLAIM.

#[test]
fn a_claim_that_makes_no_incarnation_is_refuted() {
    let steps = Steps { claim_compares_the_id: false, ..Steps::ALL };
    is_refuted(PROMOTED, steps);
    is_refuted(Bounds { restarts: 1, snapshot: Snapshot::Older, ..STAYS }, steps);
}

#[test]
fn a_position_that_falls_at_a_claim_is_refuted() {
    is_refuted(FLUSHED, Steps { claim_raises_the_position: false, ..FALLING });
}

#[test]
fn an_incarnation_that_begins_below_what_was_seen_is_refuted() {
    is_refuted(FLUSHED, Steps { claim_goes_on_above_all: false, ..FALLING });
}

#[test]
fn a_claim_that_compares_no_records_is_refuted() {
    let bounds = Bounds { nodes_publish: true, noise: 1, ..DRAGONFLY };
    is_refuted(bounds, Steps { claim_compares_records: false, ..Steps::ALL });
}

#[test]
fn joining_an_incarnation_again_is_refuted() {
    let bounds = Bounds { old: Old::Primary, changes: 2, ..DRAGONFLY };
    is_refuted(bounds, Steps { left_is_never_joined: false, ..Steps::ALL });
}

// Nonces.

#[test]
fn nonces_that_are_not_compared_are_refuted() {
    let steps = Steps { applied_is_compared: false, seen_is_compared: false, ..Steps::ALL };
    is_refuted(Bounds { noise: 1, ..DRAGONFLY }, steps);
}

#[test]
fn a_barrier_that_compares_only_the_highest_record_is_refuted() {
    let bounds = Bounds { readers: 2, reads: 1, noise: 1, ..DRAGONFLY };
    is_refuted(bounds, Steps { applied_is_compared: false, ..Steps::ALL });
}

#[test]
fn a_barrier_that_compares_only_what_is_applied_is_refuted() {
    let bounds = Bounds { nodes_publish: true, ..DRAGONFLY };
    is_refuted(bounds, Steps { seen_is_compared: false, ..Steps::ALL });
}

#[test]
fn a_read_that_compares_no_records_is_refuted() {
    is_refuted(DRAGONFLY, Steps { read_compares_records: false, ..Steps::ALL });
}

#[test]
fn a_publish_that_compares_no_records_is_refuted() {
    let bounds = Bounds { nodes_publish: true, noise: 1, ..DRAGONFLY };
    is_refuted(bounds, Steps { publish_compares_records: false, ..Steps::ALL });
}

#[test]
fn a_commit_that_does_not_compare_the_record_of_h_is_refuted() {
    let bounds = Bounds { warm: false, noise: 2, ..LOST };
    is_refuted(bounds, Steps { order: SHORT_LOG, commit_compares_the_record: false, ..Steps::ALL });
}

#[test]
fn an_entry_kept_above_what_is_applied_is_refuted() {
    let bounds = Bounds { warm: false, noise: 1, ..LOST };
    is_refuted(bounds, Steps { kept_at_what_is_applied: false, ..Steps::ALL });
}

#[test]
fn a_late_barrier_whose_position_is_used_is_refuted() {
    let bounds = Bounds { readers: 2, reads: 1, noise: 1, ..LOST };
    is_refuted(bounds, Steps { late_barrier_is_asked_again: false, ..Steps::ALL });
    is_refuted(bounds, Steps { late_list_is_ignored: false, ..Steps::ALL });
}

#[test]
fn a_redis_needs_no_nonces() {
    let steps = Steps {
        applied_is_compared: false,
        seen_is_compared: false,
        read_compares_records: false,
        publish_compares_records: false,
        claim_compares_records: false,
        commit_compares_the_record: false,
        ..Steps::ALL
    };
    holds("a Redis without nonces", Shared { bounds: Bounds { changes: 2, ..BACK }, steps });
}

// Incarnations.

#[test]
fn a_commit_of_another_incarnation_is_refuted() {
    let bounds = Bounds { changes: 2, ..PROMOTED };
    is_refuted(bounds, Steps { commit_compares_the_incarnation: false, ..Steps::ALL });
}

#[test]
fn a_hit_of_another_incarnation_is_refuted() {
    is_refuted(FLUSHED, Steps { hit_compares_the_incarnation: false, ..Steps::ALL });
}

#[test]
fn joining_a_load_of_another_incarnation_is_refuted_where_positions_fall() {
    let bounds = Bounds { readers: 2, reads: 1, changes: 2, noise: 0, ..FLUSHED };
    let steps = Steps { join_compares_the_incarnation: false, ..Steps::ALL };
    is_refuted(
        bounds,
        Steps { join_compares_the_incarnation: false, claim_raises_the_position: false, ..FALLING },
    );
    holds("a load of another incarnation", Shared { bounds, steps });
}

#[test]
fn a_claim_below_what_was_answered_meanwhile_is_refuted() {
    let bounds = Bounds { reads: 4, noise: 4, cuts: 1, slow_claims: true, ..FLUSHED };
    is_refuted(bounds, FALLING);
}

/// What a late barrier says of another incarnation, with nothing else that would tell.
const LATE: Steps =
    Steps { late_news_of_another_incarnation_is_ignored: false, late_list_is_ignored: false, ..Steps::ALL };

#[test]
fn a_late_barrier_applied_across_incarnations_is_refuted_where_nonces_are_not_compared() {
    let bounds = Bounds { readers: 2, reads: 1, noise: 2, ..PROMOTED };
    is_refuted(bounds, Steps { applied_is_compared: false, seen_is_compared: false, ..LATE });
}

#[test]
fn a_late_barrier_applied_across_incarnations_is_met_by_nonces() {
    let bounds = Bounds { readers: 2, reads: 1, noise: 1, ..PROMOTED };
    holds("a late barrier of another incarnation", Shared { bounds, steps: LATE });
}

#[test]
fn a_barrier_of_another_incarnation_is_refuted_where_positions_fall() {
    let steps = Steps { barrier_is_of_this_incarnation: false, ..FALLING };
    let bounds = Bounds { readers: 2, ..FLUSHED };
    is_refuted(bounds, Steps { claim_raises_the_position: false, ..steps });
}

#[test]
fn what_another_step_meets_may_be_left_out() {
    let steps = Steps { barrier_is_of_this_incarnation: false, ..Steps::ALL };
    let bounds = Bounds { readers: 2, reads: 1, ..FLUSHED };
    holds("a barrier of another incarnation", Shared { bounds, steps });
    let steps = Steps { claim_asks_the_id_again: false, connections_end: false, ..Steps::ALL };
    let bounds = Bounds { slow_claims: true, ..BACK };
    holds("a connection that goes on, and a claim that asks the id once", Shared { bounds, steps });
}

// The order of a shared store.

#[test]
fn an_own_publish_that_moves_applied_is_refuted() {
    let bounds = Bounds { nodes_publish: true, ..STAYS };
    is_refuted(bounds, Steps { own_publish_leaves_applied: false, ..Steps::ALL });
}

#[test]
fn a_node_that_passes_over_trimmed_records_is_refuted() {
    is_refuted(STAYS, Steps { order: SHORT_LOG, gap_is_a_jump: false, ..Steps::ALL });
}

#[test]
fn trimming_that_leaves_low_is_refuted() {
    let order = order::Steps { forgetting_raises_low: false, ..SHORT_LOG };
    is_refuted(STAYS, Steps { order, ..Steps::ALL });
}

#[test]
fn retiring_that_leaves_low_is_refuted() {
    let order = order::Steps { forgetting_raises_low: false, ..order::Steps::ALL };
    is_refuted(Bounds { retirements: 1, ..STAYS }, Steps { order, ..Steps::ALL });
}

#[test]
fn a_trimmed_record_that_removes_a_name_in_doubt_is_refuted() {
    // Of names that are no scopes, which have no row that could say it too.
    let (bounds, steps) = (Bounds { noise: 1, ..LEASE }, Steps { no_row_is_doubt: false, ..Steps::ALL });
    holds("a log of one record", Shared { bounds, steps: Steps { order: SHORT_LOG, ..steps } });
    let order = order::Steps { doubt_is_not_trimmed: false, ..SHORT_LOG };
    is_refuted(bounds, Steps { order, ..steps });
}

// The lease of a source.

#[test]
fn a_lapse_without_doubt_is_refuted() {
    is_refuted(LEASE, Steps { lapse_is_doubt: false, ..Steps::ALL });
}

#[test]
fn a_lapse_without_a_position_is_refuted() {
    is_refuted(LEASE, Steps { lapse_takes_a_position: false, ..Steps::ALL });
}

#[test]
fn a_renewal_without_a_position_is_refuted() {
    let order = order::Steps { vouching_takes_a_position: false, ..order::Steps::ALL };
    is_refuted(LEASE, Steps { order, ..Steps::ALL });
}

#[test]
fn leases_that_outlive_an_incarnation_are_refuted() {
    is_refuted(
        Bounds { promotions: 1, ticks: 0, ..LEASE },
        Steps { claim_passes_deadlines: false, ..Steps::ALL },
    );
}

#[test]
fn a_renewal_that_comes_behind_a_doubt_and_ends_it_is_refuted() {
    let bounds = Bounds { delays: 1, ticks: 0, ..LEASE };
    is_refuted(bounds, Steps { late_words_are_known: false, ..Steps::ALL });
}

#[test]
fn a_lease_that_lasts_from_when_it_was_heard_of_is_refuted() {
    is_refuted(Bounds { delays: 1, ..LEASE }, Steps { leases_last_from_asking: false, ..Steps::ALL });
}

#[test]
fn a_source_without_a_row_that_counts_as_vouched_for_is_refuted() {
    is_refuted(Bounds { flushes: 1, ticks: 0, ..LEASE }, Steps { no_row_is_doubt: false, ..Steps::ALL });
}
