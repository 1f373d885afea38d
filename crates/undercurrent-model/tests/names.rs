//! The model names code that exists, and the code names steps of the model that exist.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns all Rust sources under a directory.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .expect("it is in the repository")
        .map(|entry| entry.expect("it can be read").path());
    let found = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("it is text")
}

/// Returns the paths in backticks that begin with a module.
fn paths_named(text: &str, modules: &[&str]) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let begins = |path: &&str| modules.iter().any(|module| path.starts_with(&format!("{module}::")));
    quoted.filter(begins).map(str::to_owned).collect()
}

/// Looks for the last part of a path in the file of the module before it.
fn exists(root: &Path, path: &str) -> bool {
    let (module, item) = path.rsplit_once("::").expect("it begins with a module");
    let file = root.join(module.replace("::", "/")).with_extension("rs");
    let text = fs::read_to_string(&file).unwrap_or_default();
    ["fn", "struct", "enum"].iter().any(|kind| {
        let declared = format!("{kind} {item}");
        text.match_indices(&declared).any(|(at, _)| {
            let next = text[at + declared.len()..].chars().next();
            next.is_some_and(|next| !next.is_alphanumeric() && next != '_')
        })
    })
}

fn check(from: &Path, to: &Path, modules: &[&str]) {
    let mut found = 0;
    for file in sources(from) {
        for path in paths_named(&read(&file), modules) {
            assert!(exists(to, &path), "`{path}` is named in {} and is not there", file.display());
            found += 1;
        }
    }
    assert!(found > 0);
}

#[test]
fn what_the_model_names_is_in_the_code() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR"));
    check(&model.join("src"), &model.join("../undercurrent/src"), &["cache", "store::dragonfly"]);
}

#[test]
fn what_the_code_names_is_in_the_model() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = model.join("../undercurrent/src");
    for module in ["cache", "store"] {
        check(&code.join(module), &model.join("src"), &["memory", "dependencies", "shared"]);
    }
}
