//! Every input that search has kept is tried, and so is everything that was ever found wrong.

use std::path::{Path, PathBuf};

use undercurrent_fuzz::{TARGETS, Target};

/// What the inputs of one target may take together: they lie in the repository.
const LARGEST: u64 = 256 << 10;

fn inputs(target: &Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn every_kept_input_keeps_the_promises() {
    for target in &TARGETS {
        let inputs = inputs(target);
        assert!(inputs.len() > 3, "`{}` has hardly an input", target.name);
        for input in inputs {
            println!("{}", input.display());
            target.run(&std::fs::read(&input).unwrap());
        }
    }
}

#[test]
fn the_inputs_are_few_and_small() {
    for target in &TARGETS {
        let sizes = inputs(target).into_iter().map(|input| input.metadata().unwrap().len());
        assert!(sizes.sum::<u64>() <= LARGEST, "the inputs of `{}` are too large", target.name);
    }
}
