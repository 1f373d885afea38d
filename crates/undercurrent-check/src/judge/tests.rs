//! Histories written by hand, good and bad, for each promise.

use super::*;

fn write_to(leaf: Leaf, version: u64, begin: Time, end: Time) -> Operation {
    Operation::Write { leaf, version, begin, end }
}

fn write(version: u64, begin: Time, end: Time) -> Operation {
    write_to(0, version, begin, end)
}

fn announce(version: u64, end: Time) -> Operation {
    Operation::Announce { leaf: 0, version, end }
}

fn read_all(promise: Promise, saw: &[(Leaf, u64)], begin: Time, end: Time) -> Operation {
    let saw = saw.iter().map(|(leaf, version)| (*leaf, Seen::Version(*version))).collect();
    Operation::Read { promise, saw, begin, end }
}

fn read(promise: Promise, saw: u64, begin: Time, end: Time) -> Operation {
    read_all(promise, &[(0, saw)], begin, end)
}

fn absent(promise: Promise, begin: Time, end: Time) -> Operation {
    Operation::Read { promise, saw: vec![(0, Seen::Absent)], begin, end }
}

fn check(history: &[Operation], good: bool) {
    assert_eq!(judge(history).is_empty(), good, "{history:?}: {:?}", judge(history));
}

#[test]
fn i1_a_fresh_read_may_be_old_until_the_change_is_announced() {
    let changed = [write(1, 1, 2), announce(1, 5)];
    for (begin, saw, good) in [(3, 0, true), (4, 0, true), (6, 0, false), (6, 1, true), (3, 1, true)] {
        let mut history = changed.to_vec();
        history.push(read(Promise::Announced, saw, begin, 9));
        check(&history, good);
    }
}

#[test]
fn i1_an_announcement_counts_for_the_version_that_it_began_with() {
    check(&[write(1, 1, 2), write(2, 3, 4), announce(1, 5), read(Promise::Announced, 1, 6, 7)], true);
}

#[test]
fn i1_one_leaf_does_not_speak_for_another() {
    let writes = [write_to(0, 1, 1, 2), write_to(1, 1, 3, 4), announce(1, 5)];
    let of = |saw| [&writes[..], &[read_all(Promise::Announced, saw, 6, 7)]].concat();
    check(&of(&[(0, 1), (1, 0)]), true);
    check(&of(&[(0, 0), (1, 1)]), false);
}

#[test]
fn i2_a_synced_read_sees_what_was_written_before_it_began() {
    check(&[write(1, 1, 2), read(Promise::Written, 0, 3, 4)], false);
    check(&[write(1, 1, 5), read(Promise::Written, 0, 3, 4)], true);
    check(&[write(1, 1, 5), read(Promise::Written, 1, 3, 4)], true);
}

#[test]
fn i2_a_verified_read_sees_all_leaves_at_one_instant() {
    // Leaf 0 goes to 1 at 3, leaf 1 at 6.
    let writes = [write_to(0, 1, 3, 3), write_to(1, 1, 6, 6)];
    for (saw, good) in [([0, 0], true), ([1, 0], true), ([1, 1], true), ([0, 1], false)] {
        let saw = [(0, saw[0]), (1, saw[1])];
        let history = |promise| [&writes[..], &[read_all(promise, &saw, 2, 8)]].concat();
        check(&history(Promise::Instant), good);
        check(&history(Promise::Written), true);
    }
    check(&[write(1, 1, 2), read(Promise::Instant, 0, 3, 4)], false);
}

#[test]
fn i3_a_token_asks_for_what_was_announced_up_to_it() {
    let changed = [write(1, 1, 2), announce(1, 3), write(2, 4, 5), announce(2, 6)];
    for (token, saw, good) in [(4, 1, true), (4, 0, false), (7, 1, false), (7, 2, true), (2, 0, true)] {
        let read = read(Promise::AnnouncedBefore(token), saw, 8, 9);
        check(&[&changed[..], &[read]].concat(), good);
    }
}

#[test]
fn i4_an_age_allows_what_was_announced_within_it() {
    let changed = [write(1, 1, 2), announce(1, 10)];
    for (age, good) in [(5, false), (9, false), (15, true)] {
        check(&[&changed[..], &[read(Promise::AnnouncedBefore(20 - age), 0, 20, 21)]].concat(), good);
    }
}

#[test]
fn i4_an_age_never_asks_for_more_than_fresh_does() {
    check(&[write(1, 1, 2), announce(1, 10), read(Promise::AnnouncedBefore(99), 0, 9, 20)], true);
}

#[test]
fn i5_nothing_comes_from_the_future() {
    check(&[read(Promise::Nothing, 1, 1, 2), write(1, 3, 4)], false);
    check(&[read(Promise::Nothing, 1, 1, 4), write(1, 3, 5)], true);
}

#[test]
fn i5_nothing_is_mixed() {
    let two = |saw| [write(1, 1, 2), write(2, 3, 4), read_all(Promise::Nothing, saw, 5, 6)];
    check(&two(&[(0, 1), (0, 2)]), false);
    check(&two(&[(0, 1), (1, 0), (0, 1)]), true);
    check(&two(&[(0, 1), (1, 0), (0, 2)]), false);
}

#[test]
fn i5_what_is_not_there_has_no_value() {
    check(&[write(3, 1, 2), read(Promise::Nothing, 3, 5, 6)], false);
}

#[test]
fn i6_absence_is_held_to_the_same() {
    let writes = [write(1, 1, 1), write(2, 2, 2), write(3, 3, 3), write(4, 4, 4)];
    for (begin, good) in [(8, true), (11, false)] {
        let history = [&writes[..], &[announce(4, 10), absent(Promise::Announced, begin, 12)]].concat();
        check(&history, good);
    }
    check(&[&writes[..2], &[absent(Promise::Nothing, 5, 6)]].concat(), false);
    check(&[&writes[..], &[absent(Promise::Nothing, 5, 6)]].concat(), true);
    check(&[&writes[..], &[absent(Promise::Written, 5, 6)]].concat(), false);
}

#[test]
fn i7_what_is_old_on_error_is_for_those_who_asked() {
    let changed = [write(1, 1, 2), announce(1, 3)];
    for asked in [true, false] {
        check(&[&changed[..], &[read(Promise::OnError { asked }, 0, 8, 9)]].concat(), asked);
    }
    check(&[&changed[..], &[read(Promise::OnError { asked: true }, 2, 8, 9)]].concat(), false);
}

#[test]
fn i8_whoever_has_seen_an_event_is_not_served_what_it_made_stale() {
    let seen = [write(1, 1, 9), Operation::Visible { leaf: 0, version: 1, at: 4 }];
    check(&[&seen[..], &[read(Promise::Announced, 0, 5, 6)]].concat(), false);
    check(&[&seen[..], &[read(Promise::Announced, 0, 3, 6)]].concat(), true);
}

#[test]
fn i9_a_projection_is_answered_from_the_visible_event_or_a_later_one() {
    let seen = [write(1, 1, 20), Operation::Visible { leaf: 0, version: 1, at: 4 }, write(2, 5, 20)];
    for (saw, good) in [(0, false), (1, true), (2, true)] {
        check(&[&seen[..], &[read(Promise::Announced, saw, 5, 7)]].concat(), good);
    }
}

#[test]
fn a_violation_names_the_read_and_what_would_have_done() {
    let history = [write(1, 1, 2), announce(1, 3), read(Promise::Announced, 0, 4, 5)];
    let expected = Violation::Stale { read: 2, leaf: 0, saw: Seen::Version(0), oldest: 1 };
    assert_eq!(judge(&history), [expected]);
}
