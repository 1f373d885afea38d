//! Hand-written histories: of each the judge has to say what is wrong.

use super::*;

fn at(epoch: u64, seq: u64) -> Place {
    Place { epoch, seq }
}

fn acknowledged(epoch: u64, seq: u64, id: Id) -> Told {
    Told::Acknowledged { place: at(epoch, seq), id }
}

fn delivered(epoch: u64, seq: u64, id: Id) -> Told {
    Told::Delivered { place: at(epoch, seq), id }
}

#[track_caller]
fn check(members: &[Vec<Told>], events: &[(Place, Id)], expected: &[Violation]) {
    let tail = events.last().map_or(at(9, 0), |(place, _)| *place);
    assert_eq!(judge(members, &End { tail, events: events.to_vec() }), expected);
}

#[test]
fn what_is_as_promised_is_no_violation() {
    let one = vec![
        acknowledged(7, 1, 10),
        delivered(7, 1, 10),
        delivered(7, 2, 20),
        // The server has lost something: another epoch, and the event is there once more.
        Told::Gap,
        acknowledged(9, 1, 11),
        delivered(9, 1, 11),
    ];
    let other = vec![
        delivered(7, 1, 10),
        acknowledged(7, 2, 20),
        Told::Gap,
        delivered(9, 1, 11),
        acknowledged(9, 2, 20),
    ];
    check(&[one, other], &[(at(9, 1), 11), (at(9, 2), 20)], &[]);
    check(&[vec![], vec![Told::Gap]], &[], &[]);
}

#[test]
fn a_hole_a_repeat_and_a_step_back_are_noticed() {
    for (came, id) in [(3, 30), (1, 10), (5, 50)] {
        let told = vec![delivered(7, 1, 10), delivered(7, came, id)];
        let hole = Violation::Hole { member: 0, next: at(7, 2), came: at(7, came) };
        check(&[told], &[], &[hole]);
    }
    let told = vec![delivered(7, 1, 10), delivered(9, 1, 10)];
    let hole = Violation::Hole { member: 1, next: at(7, 2), came: at(9, 1) };
    check(&[vec![], told], &[(at(9, 1), 10)], &[hole]);
}

#[test]
fn a_place_with_two_events_and_an_event_at_two_places_are_noticed() {
    let told = [vec![acknowledged(7, 1, 10)], vec![delivered(7, 1, 20)]];
    check(&told, &[], &[Violation::OtherEvent { place: at(7, 1), ids: [10, 20] }]);
    let told = [vec![acknowledged(7, 1, 10)], vec![delivered(7, 1, 10), delivered(7, 2, 10)]];
    check(&told, &[], &[Violation::Twice { id: 10, places: [at(7, 1), at(7, 2)] }]);
}

#[test]
fn what_was_acknowledged_and_is_not_there_is_noticed_within_its_epoch() {
    let told = || vec![acknowledged(7, 1, 10), acknowledged(7, 2, 20)];
    check(&[told()], &[(at(7, 1), 10)], &[Violation::Lost { id: 20, place: at(7, 2) }]);
    check(&[told()], &[(at(9, 1), 10)], &[]);
    let all = [10, 20].map(|id| Violation::Lost { id, place: at(7, id / 10) });
    let end = End { tail: at(7, 0), events: Vec::new() };
    assert_eq!(judge(&[told()], &end), all, "a stream that is empty is missing all");
}
