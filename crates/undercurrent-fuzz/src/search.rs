//! Looks for inputs that reach new places, with libFuzzer: `UNDERCURRENT_FUZZ_TARGET` names what is searched.

#![no_main]

use std::sync::LazyLock;

use undercurrent_fuzz::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("UNDERCURRENT_FUZZ_TARGET").unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| panic!("`UNDERCURRENT_FUZZ_TARGET` names no target: `{name}`"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET.run(bytes));
