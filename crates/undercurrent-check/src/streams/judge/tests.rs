//! Histories by hand: right ones, and each wrong in one way.

use super::*;

fn place(seq: u64) -> Place {
    Place { epoch: 1, seq }
}

fn append(id: Id, answer: Answer, begin: Time, end: Time) -> Operation {
    Operation::Append { stream: 0, id, expected: None, answer, begin, end }
}

fn new(id: Id, seq: u64, begin: Time, end: Time) -> Operation {
    append(id, Answer::New(place(seq)), begin, end)
}

fn expecting(expected: u64, id: Id, answer: Answer, begin: Time, end: Time) -> Operation {
    Operation::Append { stream: 0, id, expected: Some(expected), answer, begin, end }
}

fn page(after: Option<u64>, saw: &[(u64, Id)], at_tail: bool, begin: Time, end: Time) -> Operation {
    let saw = saw.iter().map(|(seq, id)| (place(*seq), *id)).collect();
    Operation::Page { stream: 0, after: after.map(place), saw, at_tail, begin, end }
}

fn tail(seq: u64, begin: Time, end: Time) -> Operation {
    Operation::Tail { stream: 0, tail: place(seq), begin, end }
}

fn opened(after: u64) -> Operation {
    Operation::Opened { reader: 7, stream: 0, after: place(after) }
}

fn delivered(seq: u64, id: Id, at: Time) -> Operation {
    Operation::Delivered { reader: 7, place: place(seq), id, at }
}

/// Two events, 10 at 1 and 20 at 2.
fn two() -> Vec<Operation> {
    vec![new(10, 1, 1, 2), new(20, 2, 3, 4)]
}

fn check(more: &[Operation], expected: Option<&str>) {
    let history = [&two()[..], more].concat();
    let found = judge(&history);
    let name = found.first().map(|violation| format!("{violation:?}"));
    match expected {
        None => assert_eq!(found, [], "{more:?}"),
        Some(expected) => assert!(name.is_some_and(|name| name.starts_with(expected)), "{more:?}: {found:?}"),
    }
}

#[test]
fn what_was_acknowledged_is_read_and_in_one_order() {
    check(&[page(None, &[(1, 10), (2, 20)], true, 5, 6)], None);
    check(&[page(Some(1), &[(2, 20)], true, 5, 6), tail(2, 7, 8)], None);
    check(&[page(None, &[(1, 10)], false, 5, 6)], None);
    check(&[page(None, &[(1, 20)], false, 5, 6)], Some("OtherEvent"));
    check(&[page(None, &[(1, 10), (2, 10)], false, 5, 6)], Some("OtherEvent"));
    check(&[new(30, 2, 2, 9)], Some("OtherEvent"));
}

#[test]
fn nothing_acknowledged_is_lost() {
    check(&[page(None, &[(1, 10)], true, 5, 6)], Some("Lost"));
    check(&[page(Some(1), &[], true, 5, 6)], Some("Lost"));
    check(&[tail(1, 5, 6)], Some("Lost"));
    // It began before the second was acknowledged.
    check(&[page(None, &[(1, 10)], true, 3, 6), tail(1, 3, 6)], None);
}

#[test]
fn what_one_reader_saw_a_later_one_sees() {
    let unanswered = append(30, Answer::Unknown, 5, 6);
    let saw = page(Some(2), &[(3, 30)], true, 7, 8);
    check(&[unanswered.clone(), saw.clone(), tail(3, 9, 10)], None);
    check(&[unanswered.clone(), saw.clone(), tail(2, 9, 10)], Some("Lost"));
    check(&[unanswered.clone(), tail(3, 7, 8), page(Some(2), &[], true, 9, 10)], Some("Lost"));
    check(&[unanswered, tail(2, 7, 8)], None);
}

#[test]
fn who_asks_after_an_answer_comes_behind_it() {
    check(&[new(30, 3, 5, 6), new(40, 4, 7, 8)], None);
    check(&[new(30, 4, 5, 6), new(40, 3, 7, 8)], Some("OutOfOrder"));
    // At the same time, either may be first.
    check(&[new(30, 4, 5, 8), new(40, 3, 6, 7)], None);
    check(&[append(30, Answer::Unknown, 5, 6), tail(3, 7, 8), new(40, 3, 9, 10)], Some("OutOfOrder"));
}

#[test]
fn nothing_is_there_twice() {
    let again = |seq, begin, end| append(20, Answer::Again(place(seq)), begin, end);
    check(&[again(2, 5, 6)], None);
    check(&[again(3, 5, 6)], Some("Twice"));
    check(&[new(20, 3, 5, 6)], Some("Twice"));
    check(&[append(30, Answer::Again(place(3)), 5, 6)], Some("FromNowhere"));
    check(&[append(30, Answer::Unknown, 5, 6), append(30, Answer::Again(place(3)), 7, 8)], None);
    check(&[page(None, &[(1, 10), (2, 20), (3, 10)], true, 5, 6)], Some("Twice"));
}

#[test]
fn pages_and_subscriptions_have_no_holes() {
    let more = [new(30, 3, 5, 6), new(40, 4, 7, 8)];
    let after = |last: &[Operation]| [&more[..], last].concat();
    check(&after(&[page(Some(1), &[(2, 20), (4, 40)], true, 9, 10)]), Some("Hole"));
    check(&after(&[page(Some(1), &[(3, 30)], false, 9, 10)]), Some("Hole"));
    check(&after(&[page(None, &[(2, 20)], false, 9, 10)]), Some("Hole"));
    check(&after(&[opened(1), delivered(2, 20, 9), delivered(3, 30, 10)]), None);
    check(&after(&[opened(1), delivered(2, 20, 9), delivered(4, 40, 10)]), Some("Hole"));
    check(&after(&[opened(1), delivered(2, 20, 9), delivered(2, 20, 10)]), Some("Hole"));
    check(&after(&[opened(1), delivered(1, 10, 9)]), Some("Hole"));
    let other_epoch = Operation::Delivered { reader: 7, place: Place { epoch: 2, seq: 3 }, id: 30, at: 10 };
    check(&after(&[opened(1), delivered(2, 20, 9), other_epoch]), Some("Hole"));
}

#[test]
fn a_subscription_reaches_what_was_there() {
    let reached = Operation::Reached { reader: 7, since: 9 };
    check(&[opened(0), delivered(1, 10, 5), delivered(2, 20, 6), reached.clone()], None);
    check(&[opened(0), delivered(1, 10, 5), reached.clone()], Some("Lost"));
    check(&[opened(2), reached], None);
    check(&[opened(2), Operation::Missed { reader: 7 }], Some("Missed"));
}

#[test]
fn an_expected_seq_is_compared_and_set() {
    check(&[expecting(2, 30, Answer::New(place(3)), 5, 6)], None);
    check(&[expecting(1, 30, Answer::New(place(3)), 5, 6)], Some("Unexpected"));
    check(&[expecting(3, 30, Answer::Elsewhere(Some(2)), 5, 6)], None);
    check(&[expecting(2, 30, Answer::Elsewhere(Some(2)), 5, 6)], Some("Unexpected"));
    check(&[expecting(3, 30, Answer::Elsewhere(Some(1)), 5, 6)], Some("Unexpected"));
    check(&[expecting(3, 30, Answer::Elsewhere(Some(1)), 3, 6)], None);
    // The stream was said to be at an event that was asked for only later.
    let early = expecting(2, 30, Answer::Elsewhere(Some(3)), 5, 6);
    check(&[new(40, 3, 4, 7), early.clone()], None);
    check(&[new(40, 3, 7, 8), early.clone()], Some("Unexpected"));
    check(&[early.clone(), new(40, 3, 7, 8)], Some("Unexpected"));
    // What it was at before a crash may have been undone.
    check(&[early, Operation::Crashed { at: 7 }, new(40, 3, 8, 9)], None);
    // Two that expect the same can not both be right.
    check(
        &[expecting(2, 30, Answer::New(place(3)), 5, 8), expecting(2, 40, Answer::New(place(3)), 6, 7)],
        Some("OtherEvent"),
    );
}

#[test]
fn only_what_was_asked_for_and_not_refused_is_seen() {
    let refused = append(30, Answer::Refused, 5, 6);
    let seen = page(Some(2), &[(3, 30)], true, 9, 10);
    check(&[seen.clone()], Some("FromNowhere"));
    check(&[refused.clone(), seen.clone()], Some("FromNowhere"));
    check(&[expecting(5, 30, Answer::Elsewhere(None), 5, 6), seen.clone()], Some("FromNowhere"));
    check(&[refused, append(30, Answer::Unknown, 7, 8), seen.clone()], None);
    check(&[append(30, Answer::Unknown, 11, 12), seen], Some("FromNowhere"));
}

#[test]
fn streams_do_not_speak_for_each_other() {
    let other = Operation::Tail { stream: 1, tail: Place::default(), begin: 5, end: 6 };
    check(&[other], None);
    // That a stream is empty can be said in several ways.
    let empty = |place| Operation::Tail { stream: 1, tail: place, begin: 5, end: 6 };
    check(&[empty(place(0)), Operation::Tail { stream: 1, tail: Place::default(), begin: 7, end: 8 }], None);
}
