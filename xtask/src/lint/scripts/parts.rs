//! Which files a script is put together from, as the Rust file beside the folder says.
//!
//! `scripts.rs` beside `scripts/` includes a file alone, or lists scripts in a macro `scripts!`: `NAME = "read"`, perhaps
//! with `, after "entry"`. What the definition of that macro includes by its full name is what all of the list begin with.

use std::path::Path;

use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::Item;

/// Reads how the scripts of a folder are put together: the names of the files of each, without their ending.
pub(super) fn read(folder: &Path) -> Result<Vec<Vec<String>>> {
    let file = folder.with_extension("rs");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("`{}` has to say how its scripts are put together", file.display()))?;
    listed(&text).with_context(|| file.display().to_string())
}

fn listed(text: &str) -> Result<Vec<Vec<String>>> {
    let mut alone = Vec::new();
    let mut beginning = Vec::new();
    let mut list = Vec::new();
    for item in syn::parse_file(text)?.items {
        match item {
            Item::Macro(it) if it.mac.path.is_ident("macro_rules") => {
                texts(it.mac.tokens, &mut |text| beginning.extend(included(text)));
            }
            Item::Macro(it) if it.mac.path.is_ident("scripts") => list.extend(entries(it.mac.tokens)),
            other => {
                let tokens = quoted(&other);
                texts(tokens, &mut |text| alone.extend(included(text)));
            }
        }
    }
    let alone = alone.into_iter().map(|name| vec![name]);
    let listed = list.into_iter().map(|entry| [beginning.clone(), entry].concat());
    Ok(alone.chain(listed).collect())
}

/// Returns the tokens inside the macros of an item, where its texts are.
fn quoted(item: &Item) -> TokenStream {
    struct Macros(TokenStream);
    impl<'ast> syn::visit::Visit<'ast> for Macros {
        fn visit_macro(&mut self, it: &'ast syn::Macro) {
            self.0.extend(it.tokens.clone());
        }
    }
    let mut macros = Macros(TokenStream::new());
    syn::visit::Visit::visit_item(&mut macros, item);
    macros.0
}

/// Reads `NAME = "file", after "part"` again and again: the part, if any, then the file.
fn entries(tokens: TokenStream) -> Vec<Vec<String>> {
    let mut entries: Vec<Vec<String>> = Vec::new();
    let mut is_part = false;
    for token in tokens {
        match token {
            TokenTree::Ident(word) => is_part = word == "after",
            TokenTree::Literal(literal) => {
                let name = literal.to_string().trim_matches('"').to_owned();
                match entries.last_mut().filter(|_| is_part) {
                    Some(entry) => entry.insert(entry.len() - 1, name),
                    None => entries.push(vec![name]),
                }
            }
            _ => {}
        }
    }
    entries
}

/// Calls for every text among tokens.
fn texts(tokens: TokenStream, call: &mut impl FnMut(&str)) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => texts(group.stream(), call),
            TokenTree::Literal(literal) => call(literal.to_string().trim_matches('"')),
            _ => {}
        }
    }
}

/// Returns the name in `scripts/name.lua`.
fn included(text: &str) -> Option<String> {
    Some(text.strip_prefix("scripts/")?.strip_suffix(".lua")?.to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_listed_with_what_they_begin_with() {
        let text = r#"
            macro_rules! scripts {
                ($($name:ident = $file:literal $(, after $part:literal)?)*) => { $(
                    static $name: Script = Script::new([
                        include_str!("scripts/enter.lua"),
                        $(include_str!(concat!("scripts/", $part, ".lua")),)?
                        include_str!(concat!("scripts/", $file, ".lua")),
                    ].concat());
                )* };
            }
            static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new("claim", include_str!("scripts/claim.lua")));
            scripts! {
                LAST = "last"
                READ = "read", after "entry"
                TAIL = "tail"
            }
        "#;
        let listed = listed(text).unwrap();
        assert_eq!(
            listed.iter().map(|files| files.join(" ")).collect::<Vec<_>>(),
            ["claim", "enter last", "enter entry read", "enter tail"]
        );
    }
}
