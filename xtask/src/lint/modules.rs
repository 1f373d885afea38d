//! The module graph of the engine: which top-level module uses which other.
//!
//! Every path that starts at `crate`, `self` or `super` is followed: in `use` with its groups, in types and
//! expressions, and among the tokens of macros. A name that the crate root re-exports counts as a use of the module
//! that it comes from.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Item, ItemMod, ItemUse, Macro, UseTree, VisRestricted};

use super::Violation;
use super::picture::{Edge, MODULES};
use super::source::{self, Module};

/// Compares the modules of a library with the picture.
pub(super) fn check(folder: &Path) -> Result<Vec<Violation>> {
    let modules = source::read(&folder.join("src"))?;
    let (lib, rest) = modules.split_first().context("a library has its root")?;
    let names = RootNames::of(&lib.syntax);
    let mut violations = unknown_modules(lib, &names);
    for module in rest {
        violations.extend(check_module(module, &names, &MODULES));
    }
    Ok(violations)
}

/// Finds top-level modules without a row in the picture, and rows without a module.
fn unknown_modules(lib: &Module, names: &RootNames) -> Vec<Violation> {
    let is_module = |name: &str| matches!(names.0.get(name), Some(Origin::Module { item: None, .. }));
    let without_row = lib.syntax.items.iter().filter_map(|item| match item {
        Item::Mod(module) => Some(module.ident.to_string()),
        _ => None,
    });
    let without_row = without_row
        .filter(|name| !MODULES.iter().any(|(row, _)| row == name))
        .map(|name| format!("the module `{name}` is not in the picture: give it a row in lint/picture.rs"));
    let without_module = MODULES
        .iter()
        .filter(|(row, _)| !is_module(row))
        .map(|(row, _)| format!("the picture has a row for `{row}`, but there is no such module"));
    let texts = without_row.chain(without_module);
    texts.map(|text| Violation { file: lib.file.clone(), line: 1, text }).collect()
}

fn check_module(module: &Module, names: &RootNames, picture: &[(&str, &[Edge])]) -> Vec<Violation> {
    let Some(own) = module.path.first() else { return Vec::new() };
    let edges = picture.iter().find(|(row, _)| row == own).map_or(&[][..], |(_, edges)| edges);
    let mut finder = Finder { path: module.path.clone(), found: Vec::new() };
    finder.visit_file(&module.syntax);
    let refuse = |used: &Used| {
        let problem = names.problem(own, edges, &used.names)?;
        Some(Violation { file: module.file.clone(), line: used.line, text: format!("`{own}` {problem}") })
    };
    finder.found.iter().filter_map(refuse).collect()
}

/// What the names at the crate root stand for.
struct RootNames(BTreeMap<String, Origin>);

enum Origin {
    /// A module of the crate, or an item of one that the root re-exports.
    Module { module: String, item: Option<String> },
    /// An item of the root itself.
    Root,
    /// Something of another crate.
    Outside,
}

impl RootNames {
    fn of(lib: &syn::File) -> Self {
        let mut names = BTreeMap::new();
        for item in &lib.items {
            let name = match item {
                Item::Mod(item) => {
                    let module = item.ident.to_string();
                    names.insert(module.clone(), Origin::Module { module, item: None });
                    continue;
                }
                Item::Const(item) => &item.ident,
                Item::Enum(item) => &item.ident,
                Item::Fn(item) => &item.sig.ident,
                Item::Static(item) => &item.ident,
                Item::Struct(item) => &item.ident,
                Item::Trait(item) => &item.ident,
                Item::Type(item) => &item.ident,
                _ => continue,
            };
            names.insert(name.to_string(), Origin::Root);
        }
        for item in &lib.items {
            let Item::Use(item) = item else { continue };
            for leaf in leaves(&item.tree) {
                let path: Vec<_> =
                    leaf.path.iter().skip_while(|name| *name == "crate" || *name == "self").collect();
                let origin = match path.as_slice() {
                    [module, rest @ ..] if matches!(names.get(*module), Some(Origin::Module { .. })) => {
                        Origin::Module {
                            module: (*module).clone(),
                            item: rest.first().map(|&name| name.clone()),
                        }
                    }
                    _ => Origin::Outside,
                };
                names.insert(leaf.name, origin);
            }
        }
        Self(names)
    }

    /// Says what is wrong with the use of a path below the crate root by a module, if anything is.
    fn problem(&self, own: &str, edges: &[Edge], path: &[String]) -> Option<String> {
        let Some(first) = path.first() else { return Some("uses the crate root as a whole".to_owned()) };
        let (module, item) = match self.0.get(first) {
            Some(Origin::Outside) => return None,
            Some(Origin::Root) => {
                return Some(format!("uses `{first}` of the crate root, which puts all together"));
            }
            Some(Origin::Module { module, item: None }) => (module, path.get(1)),
            Some(Origin::Module { module, item }) => (module, item.as_ref()),
            None => return Some(format!("uses `crate::{first}`, which the crate root does not name")),
        };
        if module == own {
            return None;
        }
        match edges.iter().find(|edge| edge.module() == module) {
            Some(edge) if edge.allows(item.map(String::as_str)) => None,
            Some(_) => {
                let what =
                    item.map_or_else(|| format!("all of `{module}`"), |item| format!("`{module}::{item}`"));
                Some(format!("uses {what}, and may use only some items of it (lint/picture.rs)"))
            }
            None => {
                let allowed: Vec<_> = edges.iter().map(|edge| edge.module()).collect();
                let allowed =
                    if allowed.is_empty() { "no other module".to_owned() } else { allowed.join(", ") };
                Some(format!("uses `{module}`; it may use {allowed} (lint/picture.rs)"))
            }
        }
    }
}

/// One name that a `use` brings in.
struct Leaf {
    /// The path that it is reached by; without a last name for a glob.
    path: Vec<String>,
    /// What it is called from here on; `*` for a glob.
    name: String,
    span: Span,
}

fn leaves(tree: &UseTree) -> Vec<Leaf> {
    fn walk(tree: &UseTree, prefix: &[String], out: &mut Vec<Leaf>) {
        let with = |ident: &syn::Ident| match ident == "self" && !prefix.is_empty() {
            true => prefix.to_vec(),
            false => [prefix, &[ident.to_string()]].concat(),
        };
        match tree {
            UseTree::Path(tree) => walk(&tree.tree, &with(&tree.ident), out),
            UseTree::Name(tree) => {
                let path = with(&tree.ident);
                out.push(Leaf {
                    name: path.last().cloned().unwrap_or_default(),
                    path,
                    span: tree.ident.span(),
                });
            }
            UseTree::Rename(tree) => {
                let path = with(&tree.ident);
                out.push(Leaf { name: tree.rename.to_string(), path, span: tree.ident.span() });
            }
            UseTree::Glob(tree) => {
                let span = tree.star_token.spans[0];
                out.push(Leaf { path: prefix.to_vec(), name: "*".to_owned(), span });
            }
            UseTree::Group(tree) => tree.items.iter().for_each(|item| walk(item, prefix, out)),
        }
    }
    let mut out = Vec::new();
    walk(tree, &[], &mut out);
    out
}

/// A path below the crate root that a module uses.
#[derive(Debug)]
struct Used {
    names: Vec<String>,
    line: usize,
}

/// Collects the paths that a file uses.
struct Finder {
    /// The module that is being looked at.
    path: Vec<String>,
    found: Vec<Used>,
}

impl Finder {
    /// Notes a path as it is written; one that does not start at `crate`, `self` or `super` is another's or local.
    fn note(&mut self, written: &[String], span: Span) {
        let mut names = match written.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.path.clone(),
            _ => return,
        };
        for name in written {
            match name.as_str() {
                "crate" | "self" => {}
                "super" => {
                    names.pop();
                }
                _ => names.push(name.clone()),
            }
        }
        self.found.push(Used { names, line: span.start().line });
    }

    /// Notes the paths among the tokens of a macro, which are not parsed.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            match first {
                TokenTree::Group(group) => self.note_tokens(group.stream()),
                TokenTree::Ident(ident) => {
                    let mut path = vec![ident.to_string()];
                    while let [TokenTree::Punct(a), TokenTree::Punct(b), TokenTree::Ident(next), tail @ ..] =
                        rest
                    {
                        if (a.as_char(), b.as_char()) != (':', ':') {
                            break;
                        }
                        path.push(next.to_string());
                        rest = tail;
                    }
                    if path.len() > 1 {
                        self.note(&path, ident.span());
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.path.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.path.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for leaf in leaves(&item.tree) {
            self.note(&leaf.path, leaf.span);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let written: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let (Some(first), true) = (path.segments.first(), written.len() > 1) {
            self.note(&written, first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.note_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    /// `pub(in crate::x)` says who may look, not who is used.
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "
        pub mod cache; pub mod event_stream; pub mod rules; pub mod sources; pub mod store;
        pub use event_stream::EventStream;
        pub use store::{Invalidation as Moved, Record};
        pub use undercurrent_types as types;
        pub use undercurrent_types::Event;
        pub struct Assembled;
    ";

    /// Returns what is wrong with a file of a module, one line each.
    fn problems(module: &str, text: &str) -> Vec<String> {
        let names = RootNames::of(&source::parse(LIB).unwrap());
        let path = module.split("::").map(str::to_owned).collect();
        let module = Module { path, file: "x.rs".into(), syntax: source::parse(text).unwrap() };
        let violations = check_module(&module, &names, &MODULES);
        violations.into_iter().map(|violation| violation.text).collect()
    }

    #[test]
    fn a_use_against_the_flow_is_found() {
        let snippets = [
            "use crate::cache::Loader;",
            "use crate::{cache::Loader, types::Event};",
            "use crate::{types::{Event, Key}, cache::{self as memory}};",
            "use crate::cache;",
            "use crate::cache::*;",
            "pub use crate::cache::Loader;",
            "fn f(loader: &dyn crate::cache::Loader) {}",
            "fn f() { crate::cache::get(); }",
            "fn f() { use crate::cache::Loader; }",
            "impl crate::cache::Loader for X {}",
            "fn f() -> Vec<Option<crate::cache::Entry>> { g() }",
            "fn f() { assert!(matches!(x, [crate::cache::Entry { .. }])); }",
            "use super::super::cache::Loader;",
            "fn f() { super::super::cache::get(); }",
            "mod inner { use super::super::super::cache::Loader; }",
            "use self::super::super::cache::Loader;",
            "macro_rules! m { () => { $crate::cache::get() } }",
            "#[cfg(not(test))] use crate::cache::Loader;",
        ];
        for text in snippets {
            let found = problems("rules::matching", text);
            assert_eq!(
                found,
                ["`rules` uses `cache`; it may use no other module (lint/picture.rs)"],
                "{text}"
            );
        }
    }

    #[test]
    fn a_name_that_the_root_re_exports_counts_as_its_module() {
        assert!(problems("rules", "use crate::EventStream;")[0].contains("uses `event_stream`"));
        assert!(problems("cache", "use crate::{EventStream, Record};")[0].contains("uses `event_stream`"));
        assert!(problems("sources::local", "use crate::{EventStream, Moved};").is_empty());
        assert!(problems("sources::local", "use crate::Record;")[0].contains("`store::Record`"));
    }

    #[test]
    fn some_items_of_a_module_may_be_all_that_is_allowed() {
        assert!(problems("sources::local", "use crate::cache::{Barrier, BarrierError};").is_empty());
        for text in ["use crate::cache::Loader;", "use crate::cache;", "use crate::cache::*;"] {
            assert!(problems("sources::local", text)[0].contains("only some items"), "{text}");
        }
    }

    #[test]
    fn the_root_itself_is_used_by_nobody() {
        for text in ["use crate::Assembled;", "use crate::*;", "use super::*;", "use crate::nonsense;"] {
            assert_eq!(problems("rules", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_use_along_the_flow_is_allowed() {
        let text = "
            use std::fmt; use crate::rules::{Rule, RuleSet}; use crate::store::Record; use crate::types::Key;
            use super::cache; use self::publish::Publish; use undercurrent_types::Event; use crate::Event as E;
            mod publish { pub(in crate::event_stream) struct Publish; use super::Rule; use super::super::stream; }
            fn f(x: crate::event_stream::publish::Publish) { ::std::fmt::format(format_args!(\"{}\", Self::X)); }
            #[cfg(test)] mod tests { use crate::runtime::Config; use super::*; }
            #[cfg(test)] use crate::sources::Source;
            impl X { #[cfg(test)] fn g() { crate::sources::run(); } }
            #[test] fn h() { crate::loaders::run(); }
        ";
        let lib = format!("{LIB} pub mod stream; pub mod runtime; pub mod loaders;");
        let names = RootNames::of(&source::parse(&lib).unwrap());
        let path = vec!["event_stream".to_owned()];
        let module = Module { path, file: "x.rs".into(), syntax: source::parse(text).unwrap() };
        let found = check_module(&module, &names, &MODULES);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_place_is_named_by_its_line() {
        let names = RootNames::of(&source::parse(LIB).unwrap());
        let syntax = source::parse("\nuse crate::types::Key;\n\nuse crate::cache;\n").unwrap();
        let module = Module { path: vec!["rules".to_owned()], file: "x.rs".into(), syntax };
        assert_eq!(check_module(&module, &names, &MODULES)[0].line, 4);
    }

    #[test]
    fn rows_and_modules_have_to_agree() {
        let lib = |text: &str| Module {
            path: Vec::new(),
            file: "lib.rs".into(),
            syntax: source::parse(text).unwrap(),
        };
        let all: String = MODULES.iter().map(|(name, _)| format!("mod {name};")).collect();
        let texts = |text: &str| {
            let lib = lib(text);
            let found = unknown_modules(&lib, &RootNames::of(&lib.syntax));
            found.into_iter().map(|violation| violation.text).collect::<Vec<_>>()
        };
        assert!(texts(&all).is_empty());
        assert!(
            texts(&format!("{all} mod extra; #[cfg(test)] mod kit;"))[0]
                .contains("`extra` is not in the picture")
        );
        assert!(texts(&all.replace("mod rules;", ""))[0].contains("a row for `rules`"));
    }
}
