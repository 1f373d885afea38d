use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use undercurrent_types::{Name, path_text};

use super::{Denied, RootError, Workspace};

/// A root `root` with `sub/file`, beside a directory `outside` with `secret`.
struct Tree {
    _dir: TempDir,
    root: PathBuf,
    outside: PathBuf,
    workspace: Workspace,
}

fn tree() -> Tree {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().canonicalize().unwrap();
    let (root, outside) = (at.join("root"), at.join("outside"));
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(root.join("sub/file"), "x").unwrap();
    fs::write(outside.join("secret"), "x").unwrap();
    let workspace = Workspace::new(vec![root.clone()]).unwrap();
    Tree { _dir: dir, root, outside, workspace }
}

impl Tree {
    fn real(&self, path: &str) -> PathBuf {
        self.workspace.confine(&self.root.join(path)).unwrap().real
    }

    fn refusal(&self, path: impl AsRef<Path>) -> String {
        self.workspace.confine(&self.root.join(path)).unwrap_err().to_string()
    }

    fn names(&self, path: &str) -> Vec<String> {
        let confined = self.workspace.confine(&self.root.join(path)).unwrap();
        self.workspace.names_of_file(&confined).iter().map(|name| self.short(name)).collect()
    }

    fn dir_names(&self, path: &str) -> Vec<String> {
        let confined = self.workspace.confine(&self.root.join(path)).unwrap();
        self.workspace.names_of_dir(&confined).iter().map(|name| self.short(name)).collect()
    }

    fn short(&self, name: &Name) -> String {
        name.as_str().replace(&path_text(&self.root), "R")
    }

    fn watch(&self, dirs: &[&str]) {
        for dir in dirs {
            self.workspace.set_watched(self.root.join(dir).components().as_path());
        }
    }

    fn is_unwatched(&self, path: &str) -> bool {
        self.names(path).contains(&"unwatched:R".to_owned())
    }
}

#[test]
fn a_path_below_a_root_is_confined() {
    let tree = tree();
    for (given, real) in [
        ("sub/file", "sub/file"),
        ("", ""),
        ("sub/../sub/./file", "sub/file"),
        ("sub/file/below-a-file", "sub/file/below-a-file"),
        ("not/there/at/all", "not/there/at/all"),
        ("a\\b", "a\\b"),
    ] {
        assert_eq!(tree.real(given), tree.root.join(real).components().as_path(), "{given}");
    }
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    fs::write(tree.root.join(name), "x").unwrap();
    assert!(tree.workspace.confine(&tree.root.join(name)).is_ok());
}

#[test]
fn a_path_outside_every_root_is_denied_with_the_reason() {
    let tree = tree();
    let root = tree.root.display().to_string();
    for path in ["/etc/passwd", "/", "../outside/secret", "sub/../../outside/secret"] {
        let refusal = tree.workspace.confine(&tree.root.join(path)).unwrap_err();
        assert!(matches!(refusal, Denied::Outside { .. }), "{path}: {refusal}");
        let refusal = refusal.to_string();
        assert!(refusal.contains("lies below no root") && refusal.contains(&root), "{path}: {refusal}");
    }
    let beside = PathBuf::from(format!("{root}-beside"));
    assert!(matches!(tree.workspace.confine(&beside), Err(Denied::Outside { .. })));
    assert!(matches!(tree.workspace.confine(Path::new("sub/file")), Err(Denied::Relative(_))));
    let none = Workspace::new(Vec::new()).unwrap();
    let refusal = none.confine(Path::new("/etc/passwd")).unwrap_err().to_string();
    assert_eq!(refusal, "`/etc/passwd` lies below no root; no root is configured");
}

#[test]
fn a_link_out_of_a_root_is_denied() {
    let tree = tree();
    let outside = &tree.outside;
    symlink(outside.join("secret"), tree.root.join("to-file")).unwrap();
    symlink(outside, tree.root.join("to-dir")).unwrap();
    symlink("../outside/secret", tree.root.join("relative")).unwrap();
    symlink("../../outside/secret", tree.root.join("sub/up")).unwrap();
    symlink(outside.join("not-there"), tree.root.join("dangling")).unwrap();
    // Back into the root, but through a link that nobody watches.
    symlink(&tree.root, outside.join("back")).unwrap();
    symlink(outside.join("back/sub"), tree.root.join("out-and-back")).unwrap();
    for path in [
        "to-file",
        "to-dir/secret",
        "to-dir/not-there",
        "relative",
        "sub/up",
        "dangling",
        "out-and-back/file",
    ] {
        let refusal = tree.refusal(path);
        assert!(
            refusal.contains("leads through a link to") && refusal.contains("outside"),
            "{path}: {refusal}"
        );
    }
}

#[test]
fn a_root_that_has_become_a_link_out_is_denied() {
    let tree = tree();
    fs::rename(&tree.root, tree.outside.join("moved")).unwrap();
    symlink(&tree.outside, &tree.root).unwrap();
    assert!(matches!(tree.workspace.confine(&tree.root.join("secret")), Err(Denied::LinkOut { .. })));
}

#[test]
fn links_within_a_root_are_followed_and_named() {
    let tree = tree();
    symlink("sub", tree.root.join("dir-link")).unwrap();
    symlink(tree.root.join("dir-link/file"), tree.root.join("chain")).unwrap();
    symlink("circle", tree.root.join("circle")).unwrap();
    assert_eq!(tree.real("dir-link/file"), tree.root.join("sub/file"));
    assert_eq!(tree.real("dir-link/not-there"), tree.root.join("sub/not-there"));
    assert_eq!(tree.real("chain"), tree.root.join("sub/file"));
    assert!(matches!(tree.workspace.confine(&tree.root.join("circle")), Err(Denied::TooManyLinks(_))));
    tree.watch(&["", "sub"]);
    let names = tree.names("chain");
    for name in ["file:R/chain", "file:R/dir-link", "file:R/sub/file", "tag:tree:R/sub", "tag:tree:R/chain"] {
        assert!(names.contains(&name.to_owned()), "{name} in {names:?}");
    }
    assert!(!names.contains(&"unwatched:R".to_owned()));
    tree.workspace.unset_watched(&tree.root.join("sub"));
    assert!(tree.is_unwatched("chain"), "where a link leads must be watched too");
}

#[test]
fn names_hold_the_scopes_and_the_trees_up_to_the_root() {
    let tree = tree();
    tree.watch(&["", "sub"]);
    let expected = ["scope:local:R", "scope:local", "tag:tree:R/sub/file", "tag:tree:R/sub", "tag:tree:R"];
    assert_eq!(tree.names("sub/file"), expected);
    assert_eq!(tree.dir_names("sub"), ["scope:local:R", "scope:local", "tag:tree:R/sub", "tag:tree:R"]);
}

#[test]
fn what_nobody_would_report_is_unwatched() {
    let tree = tree();
    assert!(tree.is_unwatched("sub/file"), "nothing is watched");
    tree.watch(&["sub"]);
    assert!(tree.is_unwatched("sub/file"), "a directory above is not watched");
    tree.watch(&[""]);
    assert!(!tree.is_unwatched("sub/file"));
    assert!(!tree.is_unwatched("sub/not/there"), "`sub` reports that `not` appears");
    assert!(!tree.is_unwatched("sub/file/below"), "`sub` reports that `file` is replaced");
    fs::create_dir_all(tree.root.join("sub/new/deep")).unwrap();
    assert!(tree.is_unwatched("sub/new/x"), "it is there and not yet watched");
    assert!(tree.is_unwatched("sub/new/not/there"));
    assert!(tree.dir_names("sub/new").contains(&"unwatched:R".to_owned()));
    tree.workspace.unset_below(&tree.root.join("sub"));
    assert!(tree.is_unwatched("sub/file"));
}

#[test]
fn a_file_with_other_hard_links_and_the_inside_of_git_are_verified() {
    let tree = tree();
    fs::create_dir_all(tree.root.join(".git/refs")).unwrap();
    fs::write(tree.root.join(".git/HEAD"), "x").unwrap();
    tree.watch(&["", "sub", ".git", ".git/refs"]);
    assert!(tree.is_unwatched(".git/HEAD"));
    assert!(!tree.is_unwatched("sub/file"));
    fs::hard_link(tree.root.join("sub/file"), tree.outside.join("same")).unwrap();
    assert!(tree.is_unwatched("sub/file"));
}

#[test]
fn a_repository_is_watched_only_with_its_git_directory() {
    let tree = tree();
    let is_unwatched = |path: &str| {
        let repo = tree.workspace.confine(&tree.root.join(path)).unwrap();
        let names = tree.workspace.names_of_repo(&repo);
        names.contains(&repo.root.unwatched())
    };
    tree.watch(&["", "sub"]);
    assert!(is_unwatched(""), "no repository");
    fs::create_dir(tree.root.join(".git")).unwrap();
    assert!(is_unwatched(""), "its `.git` is not watched");
    tree.watch(&[".git"]);
    assert!(!is_unwatched(""));
    tree.workspace.set_refused(&tree.root.join("sub"));
    assert!(is_unwatched(""), "a part of it can not be watched");
    tree.watch(&["sub"]);
    fs::write(tree.root.join("sub/.git"), format!("gitdir: {}\n", tree.outside.display())).unwrap();
    assert!(is_unwatched("sub"), "its state lies outside the root");
    fs::write(tree.root.join("sub/.git"), "gitdir: ../.git\n").unwrap();
    assert!(!is_unwatched("sub"));
}

#[test]
fn the_nearest_repository_is_found_also_above_the_root() {
    let tree = tree();
    assert_eq!(tree.workspace.repo_of(&tree.root.join("sub/file")), None);
    let above = tree.root.parent().unwrap();
    fs::create_dir(above.join(".git")).unwrap();
    assert_eq!(tree.workspace.repo_of(&tree.root.join("sub/file")).as_deref(), Some(above));
    fs::write(tree.root.join("sub/.git"), "gitdir: elsewhere").unwrap();
    assert_eq!(tree.workspace.repo_of(&tree.root.join("sub/not/there")), Some(tree.root.join("sub")));
    assert_eq!(tree.workspace.repo_of(&tree.outside), None, "it lies below no root");
}

#[test]
fn roots_are_resolved_merged_and_named() {
    let tree = tree();
    let at = tree.root.parent().unwrap();
    fs::create_dir_all(at.join("other/root")).unwrap();
    fs::create_dir_all(at.join("other/ä b")).unwrap();
    symlink(&tree.root, at.join("alias")).unwrap();
    let given = ["root", "alias", "root/sub", "other/root", "other/ä b"].map(|path| at.join(path));
    let workspace = Workspace::new(given.to_vec()).unwrap();
    let roots: Vec<_> = workspace.roots().map(|root| (root.path.clone(), root.name.clone())).collect();
    assert_eq!(roots.len(), 3, "{roots:?}");
    assert_eq!(roots[1].0, at.join("other/ä b"));
    assert_eq!(roots[1].1, "--b");
    assert!(
        roots.iter().filter(|(_, name)| name.starts_with("root-") && name.len() == 13).count() == 2,
        "{roots:?}"
    );
    for root in workspace.roots() {
        let source: undercurrent_types::EventSource = root.source_text.parse().unwrap();
        let stream: undercurrent_types::StreamName = root.source_text.parse().unwrap();
        assert_eq!(source.as_str(), stream.as_str());
    }
}

#[test]
fn a_root_must_be_a_directory() {
    let tree = tree();
    let missing = Workspace::new(vec![tree.root.join("missing")]);
    assert!(matches!(missing, Err(RootError::Unreachable { .. })));
    let file = Workspace::new(vec![tree.root.join("sub/file")]);
    assert!(matches!(file, Err(RootError::NotADirectory { .. })));
}
