//! Libraries print nothing: they return values and errors, and say the rest with `tracing`.

use std::path::Path;

use anyhow::{Context, Result};
use proc_macro2::{Span, TokenStream, TokenTree};
use syn::Macro;
use syn::visit::Visit;

use super::Violation;
use super::source;

const PRINTING: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// Looks for printing in every crate of a folder that is a library.
pub(super) fn check(crates: &Path) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    let folders = std::fs::read_dir(crates).with_context(|| crates.display().to_string())?;
    for folder in folders {
        let src = folder?.path().join("src");
        if !src.join("lib.rs").is_file() {
            continue;
        }
        for module in source::read(&src)? {
            violations.extend(printing(&module.syntax).into_iter().map(|(name, span)| Violation {
                file: module.file.clone(),
                line: span.start().line,
                text: format!("`{name}!` in a library: return it, or say it with `tracing`"),
            }));
        }
    }
    Ok(violations)
}

fn printing(file: &syn::File) -> Vec<(String, Span)> {
    let mut finder = Finder(Vec::new());
    finder.visit_file(file);
    finder.0
}

struct Finder(Vec<(String, Span)>);

impl Finder {
    fn note(&mut self, name: &syn::Ident) {
        if PRINTING.iter().any(|printing| name == printing) {
            self.0.push((name.to_string(), name.span()));
        }
    }

    /// Looks among the tokens of another macro.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        for token in &tokens {
            if let TokenTree::Group(group) = token {
                self.note_tokens(group.stream());
            }
        }
        for pair in tokens.windows(2) {
            if let [TokenTree::Ident(name), TokenTree::Punct(mark)] = pair
                && mark.as_char() == '!'
            {
                self.note(name);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_macro(&mut self, call: &'ast Macro) {
        if let Some(last) = call.path.segments.last() {
            self.note(&last.ident);
        }
        self.note_tokens(call.tokens.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_is_found_wherever_it_hides() {
        let cases = [
            ("fn f() { println!(\"x\"); }", 1),
            ("fn f() { std::eprintln!(\"x\"); }", 1),
            ("fn f() { select! { x = y => { dbg!(x); } } }", 1),
            ("impl X { fn f() { print!(\"x\"); } }", 1),
            ("/// `println!(\"x\")`\nfn f() { tracing::info!(\"println!\"); }", 0),
            ("#[cfg(test)] mod tests { fn f() { println!(\"x\"); } }", 0),
            ("#[test] fn f() { println!(\"x\"); }", 0),
            ("fn f(print: bool) -> bool { !print && print != x }", 0),
        ];
        for (text, expected) in cases {
            assert_eq!(printing(&source::parse(text).unwrap()).len(), expected, "{text}");
        }
    }
}
