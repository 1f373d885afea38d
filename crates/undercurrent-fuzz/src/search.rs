//! Looks for inputs that break a promise, with libFuzzer: `UNDERCURRENT_FUZZ_TARGET` names what is searched.
//!
//! A search goes on from whatever reached a new place. That is another on each run, since the hashes of a process are. So
//! with `UNDERCURRENT_FUZZ_STEADY`, which names a folder, nothing is gone on from but the inputs there: libFuzzer changes
//! them at the places that its seed says, and the same seed tries the same inputs.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};
use undercurrent_fuzz::Target;

/// An input is changed at up to so many places.
const MOST_CHANGES: usize = 5;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("UNDERCURRENT_FUZZ_TARGET").unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| panic!("`UNDERCURRENT_FUZZ_TARGET` names no target: `{name}`"))
});

/// What is gone on from, where nothing else is.
static STEADY: LazyLock<Option<Vec<Vec<u8>>>> = LazyLock::new(|| {
    let folder = std::env::var_os("UNDERCURRENT_FUZZ_STEADY")?;
    let files = std::fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<_> = files.map(|file| file.expect("the folder can be read").path()).collect();
    // A folder's own order is another on every machine.
    paths.sort_unstable();
    Some(paths.iter().map(|path| std::fs::read(path).expect("the input can be read")).collect())
});

fuzz_target!(|bytes: &[u8]| -> Corpus {
    TARGET.run(bytes);
    if STEADY.is_some() { Corpus::Reject } else { Corpus::Keep }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let Some(inputs) = &*STEADY else { return fuzzer_mutate(data, size, max_size) };
    let seed = seed as usize;
    let input = &inputs[seed % inputs.len()];
    let size = input.len().min(max_size);
    data[..size].copy_from_slice(&input[..size]);
    let changes = 1 + seed / inputs.len() % MOST_CHANGES;
    (0..changes).fold(size, |size, _| fuzzer_mutate(data, size, max_size))
});
