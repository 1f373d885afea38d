use undercurrent_model::check::exhaust;
use undercurrent_model::memory::{Bounds, Memory, Steps};

#[test]
fn the_protocol_holds() {
    for bounds in [
        Bounds::SMALL,
        Bounds { noise: 1, ..Bounds::SMALL },
        Bounds { own: 1, ..Bounds::SMALL },
        Bounds { changes: 1, remote: 1, expiries: 1, reads: 1, ..Bounds::SMALL },
    ] {
        let report = exhaust(Memory { bounds, steps: Steps::ALL }, 1);
        println!("{bounds:?} {report}");
    }
}
