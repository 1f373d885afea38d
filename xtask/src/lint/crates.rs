//! The crate graph: which crates of the product a crate is built from.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Violation;
use super::picture::CRATES;

/// Compares every crate of the workspace but this one with the picture. Dependencies of tests do not count.
pub(super) fn check(root: &Path) -> Result<Vec<Violation>> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("`cargo metadata` can not be run")?;
    ensure!(output.status.success(), "`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr));
    violations(&serde_json::from_slice(&output.stdout).context("`cargo metadata` printed no JSON")?)
}

fn violations(metadata: &Value) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for package in metadata["packages"].as_array().context("`cargo metadata` printed no packages")? {
        let name = package["name"].as_str().context("a package has no name")?;
        if name == env!("CARGO_PKG_NAME") {
            continue;
        }
        let file = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
        let mut refuse = |text| violations.push(Violation { file: file.clone(), line: 1, text });
        let Some((_, allowed)) = CRATES.iter().find(|(known, _)| *known == name) else {
            refuse(format!("the crate `{name}` is not in the picture: give it a row in lint/picture.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            let ours = CRATES.iter().any(|(known, _)| *known == other);
            if ours && dependency["kind"] != "dev" && !allowed.contains(&other) {
                refuse(format!("the crate `{name}` may not be built from `{other}`"));
            }
        }
    }
    Ok(violations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(name: &str, dependencies: &Value) -> Vec<String> {
        let package = json!({"name": name, "manifest_path": "/a/Cargo.toml", "dependencies": dependencies});
        let violations = violations(&json!({ "packages": [package] })).unwrap();
        violations.into_iter().map(|violation| violation.text).collect()
    }

    #[test]
    fn a_client_built_from_the_engine_is_found() {
        let found = texts("undercurrent-client", &json!([{"name": "undercurrent", "kind": null}]));
        assert_eq!(found, ["the crate `undercurrent-client` may not be built from `undercurrent`"]);
    }

    #[test]
    fn tests_and_foreign_crates_do_not_count() {
        let dependencies = json!([{"name": "undercurrent", "kind": "dev"}, {"name": "serde", "kind": null}]);
        assert!(texts("undercurrent-client", &dependencies).is_empty());
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        assert!(texts("undercurrent-more", &json!([]))[0].contains("not in the picture"));
    }
}
