//! Every step of filling values that are made from values is needed, and with all of them I1, I5 and I6 hold.

use undercurrent_model::check::{exhaust, refute};
use undercurrent_model::dependencies::{Bounds, Dependencies, Graph, Key, Steps};
use undercurrent_model::order;

const SMALL: Bounds = Bounds::SMALL;

fn holds(bounds: Bounds, steps: Steps) {
    let report = exhaust(Dependencies { bounds, steps }, 1);
    println!("{bounds:?}: {report}");
    assert!(report.holds(), "{report}");
}

fn is_refuted(bounds: Bounds, steps: Steps) {
    let report = refute(Dependencies { bounds, steps });
    println!("{report}");
    assert!(report.broken.is_some(), "{report}");
}

#[test]
fn the_protocol_holds_in_a_chain() {
    holds(SMALL, Steps::ALL);
}
#[test]
fn the_protocol_holds_in_a_chain2() {
    holds(Bounds{reads: 2, ..SMALL}, Steps::ALL);
}
#[test]
fn the_protocol_holds_in_a_diamond() {
    holds(Bounds { graph: Graph::Diamond, expiries: 1, ..SMALL }, Steps::ALL);
}
#[test]
fn the_protocol_holds_in_a_dynamic() {
    holds(Bounds { graph: Graph::Dynamic, changes: [1,1,0], expiries: 1, ..SMALL }, Steps::ALL);
}
#[test]
fn the_protocol_holds_in_doubt() {
    holds(Bounds { doubts: 1, keys: &[Key::A, Key::K], changes: [1, 0, 0], ..SMALL }, Steps::ALL);
}
#[test]
fn the_protocol_holds_verified() {
    holds(Bounds { verified: true, keys: &[Key::A, Key::K], changes: [1, 0, 0], ..SMALL }, Steps::ALL);
}
#[test]
fn the_protocol_holds_tag() {
    holds(Bounds { changes: [1, 0, 1], ..SMALL }, Steps::ALL);
}
#[test]
fn the_protocol_holds_trim() {
    let order = order::Steps { records: 1, ..order::Steps::ALL };
    holds(Bounds { changes: [1, 0, 1], ..SMALL }, Steps { order, ..Steps::ALL});
}
