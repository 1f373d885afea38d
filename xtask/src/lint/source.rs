//! The source files of a crate as syntax, without what is compiled for tests only.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use syn::punctuated::Punctuated;
use syn::{Attribute, ImplItem, Item, ItemMod, Meta, Token};

/// One module of a crate in a file of its own.
pub(super) struct Module {
    /// Its names below the crate root, which has none.
    pub(super) path: Vec<String>,
    /// Where it is written.
    pub(super) file: PathBuf,
    /// What is in it.
    pub(super) syntax: syn::File,
}

/// Reads a library from its `src` folder, following `mod` from `lib.rs` on; test modules are left out.
pub(super) fn read(src: &Path) -> Result<Vec<Module>> {
    let mut modules = Vec::new();
    read_module(src, src.join("lib.rs"), Vec::new(), &mut modules)?;
    Ok(modules)
}

/// Parses a file and takes out what is compiled for tests only.
pub(super) fn parse(text: &str) -> syn::Result<syn::File> {
    let mut file = syn::parse_file(text)?;
    if is_for_tests(&file.attrs) {
        file.items.clear();
    }
    take_tests_out(&mut file.items);
    Ok(file)
}

fn take_tests_out(items: &mut Vec<Item>) {
    items.retain(|item| !is_for_tests(attributes(item)));
    for item in items {
        match item {
            Item::Mod(ItemMod { content: Some((_, items)), .. }) => take_tests_out(items),
            Item::Impl(item) => item.items.retain(|item| !is_for_tests(impl_attributes(item))),
            _ => {}
        }
    }
}

fn read_module(src: &Path, file: PathBuf, path: Vec<String>, modules: &mut Vec<Module>) -> Result<()> {
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("{} can not be read", file.display()))?;
    let syntax = parse(&text).with_context(|| format!("{} does not parse", file.display()))?;
    let mut inner = Vec::new();
    find_files(&syntax.items, &path, &mut inner).with_context(|| file.display().to_string())?;
    modules.push(Module { path, file, syntax });
    for path in inner {
        let stem = src.join(path.join("/"));
        let file = [stem.with_extension("rs"), stem.join("mod.rs")].into_iter().find(|file| file.is_file());
        let file = file.with_context(|| format!("the module `{}` has no file", path.join("::")))?;
        read_module(src, file, path, modules)?;
    }
    Ok(())
}

/// Collects the paths of the modules that are written in files of their own.
fn find_files(items: &[Item], path: &[String], found: &mut Vec<Vec<String>>) -> Result<()> {
    for item in items {
        let Item::Mod(module) = item else { continue };
        if module.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
            bail!("the module `{}` has a `path` attribute: a module lies where its name says", module.ident);
        }
        let path = [path, &[module.ident.to_string()]].concat();
        match &module.content {
            Some((_, items)) => find_files(items, &path, found)?,
            None => found.push(path),
        }
    }
    Ok(())
}

/// Says whether an item is compiled for tests only.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg") && attribute.parse_args().is_ok_and(|meta| needs_test(&meta))
    })
}

fn needs_test(meta: &Meta) -> bool {
    let Meta::List(list) = meta else { return meta.path().is_ident("test") };
    let Ok(parts) = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) else {
        return false;
    };
    match list.path.get_ident() {
        Some(word) if word == "all" => parts.iter().any(needs_test),
        Some(word) if word == "any" => !parts.is_empty() && parts.iter().all(needs_test),
        _ => false,
    }
}

/// Returns the attributes of an item.
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Returns the attributes of an item of an `impl`.
fn impl_attributes(item: &ImplItem) -> &[Attribute] {
    match item {
        ImplItem::Const(item) => &item.attrs,
        ImplItem::Fn(item) => &item.attrs,
        ImplItem::Type(item) => &item.attrs,
        ImplItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::Signature;
    use syn::visit::Visit;

    #[test]
    fn only_what_needs_a_test_build_is_for_tests() {
        let cases = [
            ("#[cfg(test)] mod a;", true),
            ("#[test] fn a() {}", true),
            ("#[cfg(all(test, unix))] mod a;", true),
            ("#[cfg(any(test))] mod a;", true),
            ("#[cfg(any(test, feature = \"kit\"))] mod a;", false),
            ("#[cfg(not(test))] mod a;", false),
            ("#[cfg(unix)] mod a;", false),
            ("mod a;", false),
        ];
        for (text, expected) in cases {
            let item: Item = syn::parse_str(text).unwrap();
            assert_eq!(is_for_tests(attributes(&item)), expected, "{text}");
        }
    }

    #[test]
    fn what_is_for_tests_is_taken_out_wherever_it_stands() {
        struct Functions(Vec<String>);
        impl<'ast> Visit<'ast> for Functions {
            fn visit_signature(&mut self, signature: &'ast Signature) {
                self.0.push(signature.ident.to_string());
            }
        }
        let text = "mod a { #[cfg(test)] mod b { fn x() {} } fn c() {} } impl D { #[cfg(test)] fn e() {} fn f() {} }";
        let mut kept = Functions(Vec::new());
        kept.visit_file(&parse(text).unwrap());
        assert_eq!(kept.0, ["c", "f"]);
        assert!(parse("#![cfg(test)] fn a() {}").unwrap().items.is_empty());
    }

    #[test]
    fn files_are_found_by_their_modules_and_test_modules_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let src = folder.path();
        let write = |file: &str, text: &str| {
            let file = src.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        write("lib.rs", "mod a; mod c;");
        write("a.rs", "mod inline { mod b; } #[cfg(test)] mod tests;");
        write("a/inline/b.rs", "");
        write("c/mod.rs", "");
        let paths: Vec<_> = read(src).unwrap().into_iter().map(|module| module.path.join("::")).collect();
        assert_eq!(paths, ["", "a", "a::inline::b", "c"]);
        write("lib.rs", "mod gone;");
        assert!(read(src).is_err());
        write("lib.rs", "#[path = \"x.rs\"] mod a;");
        assert!(read(src).is_err());
    }
}
