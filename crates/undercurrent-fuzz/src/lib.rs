//! Reads bytes of any kind with every decoder, and checks what they promise of them.
//!
//! A [`Target`] is a function of bytes that panics where a promise is broken: what can be read can be written and read
//! again, no bytes end the process, and what is held at once is bounded by what was given. The inputs in `corpus`, which
//! search has found to reach every place that it knows, are tried by the tests; `cargo xtask fuzz` looks for more.

mod events;
mod frames;
mod texts;

use undercurrent::store::embedded::fuzzing;

/// What any input may take, and what each of its bytes may: the largest is a stream, made of a name of one byte.
const ROOM: u64 = 256 << 10;
const ROOM_PER_BYTE: u64 = 64;

/// A decoder, with what it promises.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `corpus`.
    pub name: &'static str,
    check: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 9] = [
    Target { name: "header", check: fuzzing::header },
    Target { name: "record", check: fuzzing::record },
    Target { name: "commit", check: fuzzing::commit },
    Target { name: "control", check: fuzzing::control },
    Target { name: "checkpoint", check: fuzzing::checkpoint },
    Target { name: "replay", check: fuzzing::replay },
    Target { name: "event", check: events::check },
    Target { name: "text", check: texts::check },
    Target { name: "sse", check: frames::check },
];

impl Target {
    /// Returns the target with a name.
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.into_iter().find(|target| target.name == name)
    }

    /// Checks an input.
    ///
    /// # Panics
    ///
    /// Panics where a promise is broken, or more was held at once than the input's length explains.
    pub fn run(&self, bytes: &[u8]) {
        let held = allocation_counter::measure(|| (self.check)(bytes)).bytes_max;
        let room = ROOM + ROOM_PER_BYTE * bytes.len() as u64;
        assert!(held <= room, "{} bytes of `{}` took {held}, and may take {room}", bytes.len(), self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "3 bytes of `greedy` took")]
    fn what_takes_more_than_its_length_explains_is_noticed() {
        let check = |_: &[u8]| drop(std::hint::black_box(vec![0_u8; 1 << 20]));
        Target { name: "greedy", check }.run(b"abc");
    }
}
