//! What can be left out.

use crate::order;

/// The steps of the protocol; a field that is `false` leaves one out.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// Those of the order.
    pub order: order::Steps,
    /// A script runs only where it may write.
    pub scripts_prove_that_they_may_write: bool,
    /// A script runs only in the incarnation that its connection claimed.
    pub scripts_compare_the_incarnation: bool,
    /// An answer counts only if the server has the id that was claimed.
    pub answers_compare_the_id: bool,
    /// `last` repeats the incarnation, and every script looks.
    pub last_repeats_the_incarnation: bool,
    /// A connection is to one server, and ends with it.
    pub connections_end: bool,
    /// CLAIM makes a new incarnation if another server made the one it finds.
    pub claim_compares_the_id: bool,
    /// CLAIM makes a new incarnation if the store lost a record that the node has seen.
    pub claim_compares_records: bool,
    /// A new incarnation begins above all that the node has seen.
    pub claim_goes_on_above_all: bool,
    /// An incarnation that is joined goes on above all that the node has seen.
    pub claim_raises_the_position: bool,
    /// A node never joins an incarnation again that it left.
    pub left_is_never_joined: bool,
    /// A connection is open only if the id is the same after CLAIM.
    pub claim_asks_the_id_again: bool,
    /// A new incarnation ends all leases.
    pub claim_passes_deadlines: bool,
    /// BARRIER compares the record of `applied` with the log.
    pub applied_is_compared: bool,
    /// BARRIER compares the highest record that any script showed the node.
    pub seen_is_compared: bool,
    /// READ compares the same records.
    pub read_compares_records: bool,
    /// PUBLISH compares the same records.
    pub publish_compares_records: bool,
    /// COMMIT compares the incarnation of h.
    pub commit_compares_the_incarnation: bool,
    /// COMMIT compares the record of h with the log.
    pub commit_compares_the_record: bool,
    /// Memory keeps an entry no higher than what was applied when its script was sent.
    pub kept_at_what_is_applied: bool,
    /// A load of another incarnation is not joined.
    pub join_compares_the_incarnation: bool,
    /// A hit is of the incarnation that the node is in.
    pub hit_compares_the_incarnation: bool,
    /// The answer to a barrier of another incarnation moves nothing.
    pub late_news_of_another_incarnation_is_ignored: bool,
    /// A claim whose position is below that of an answer that came meanwhile is sent again.
    pub claim_below_a_later_answer_is_sent_again: bool,
    /// Nor may a read use its position.
    pub barrier_is_of_this_incarnation: bool,
    /// The list of an answer is ignored where another was applied since.
    pub late_list_is_ignored: bool,
    /// And the read asks again.
    pub late_barrier_is_asked_again: bool,
    /// An answer from whose records some are missing raises all floors.
    pub gap_is_a_jump: bool,
    /// The node's own publish leaves `applied` where it is.
    pub own_publish_leaves_applied: bool,
    /// A lease that is over puts the scope in doubt.
    pub lapse_is_doubt: bool,
    /// And that takes a position.
    pub lapse_takes_a_position: bool,
    /// A source without a row is in doubt.
    pub no_row_is_doubt: bool,
    /// A RENEW that comes behind a doubt of its owner is known by its word.
    pub late_words_are_known: bool,
    /// A lease lasts from when it was asked for.
    pub leases_last_from_asking: bool,
}

impl Steps {
    /// The protocol.
    pub const ALL: Self = Self {
        order: order::Steps::ALL,
        scripts_prove_that_they_may_write: true,
        scripts_compare_the_incarnation: true,
        answers_compare_the_id: true,
        last_repeats_the_incarnation: true,
        connections_end: true,
        claim_compares_the_id: true,
        claim_compares_records: true,
        claim_goes_on_above_all: true,
        claim_raises_the_position: true,
        left_is_never_joined: true,
        claim_asks_the_id_again: true,
        claim_passes_deadlines: true,
        applied_is_compared: true,
        seen_is_compared: true,
        read_compares_records: true,
        publish_compares_records: true,
        commit_compares_the_incarnation: true,
        commit_compares_the_record: true,
        kept_at_what_is_applied: true,
        join_compares_the_incarnation: true,
        hit_compares_the_incarnation: true,
        late_news_of_another_incarnation_is_ignored: true,
        claim_below_a_later_answer_is_sent_again: true,
        barrier_is_of_this_incarnation: true,
        late_list_is_ignored: true,
        late_barrier_is_asked_again: true,
        gap_is_a_jump: true,
        own_publish_leaves_applied: true,
        lapse_is_doubt: true,
        lapse_takes_a_position: true,
        no_row_is_doubt: true,
        late_words_are_known: true,
        leases_last_from_asking: true,
    };
}
