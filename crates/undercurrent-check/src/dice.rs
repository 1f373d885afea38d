//! The scheduler's dice: numbers that a seed gives again.

use std::cell::{Cell, RefCell};
use std::time::Duration;

/// SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }
}

thread_local! {
    /// Of the thread: a workload on one thread rolls the same each time.
    static DICE: RefCell<Random> = const { RefCell::new(Random(0)) };
    /// Whether pauses take time, so that a workload that does not end leaves some to others.
    static UNHURRIED: Cell<bool> = const { Cell::new(false) };
}

/// Lets the pauses of this thread take time.
pub(crate) fn take_time() {
    UNHURRIED.with(|unhurried| unhurried.set(true));
}

/// Begins the dice of this thread anew.
pub fn seed(seed: u64) {
    DICE.with(|dice| *dice.borrow_mut() = Random::new(seed));
}

/// Returns a number below a bound.
pub(crate) fn roll(bound: u64) -> u64 {
    DICE.with(|dice| dice.borrow_mut().below(bound))
}

/// Says yes once in so many times.
pub(crate) fn one_in(times: u64) -> bool {
    roll(times) == 0
}

/// Lets the others run, not at all or several times.
pub(crate) async fn pause() {
    if UNHURRIED.with(Cell::get) && one_in(4) {
        tokio::time::sleep(Duration::from_millis(roll(4))).await;
    }
    for _ in 0..roll(4) {
        tokio::task::yield_now().await;
    }
}
