//! The forms of keys that are known to be secret.
//!
//! Each is a form that its maker documents, or that scanners agree on; a form that ordinary text may have is left out.
//! A pattern never crosses a quote, so what it finds in JSON lies in one string.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::packed::Searcher;
use regex::{Captures, Regex};

/// The kind of each secret, with what it looks like.
///
/// Sources: GitHub "About authentication to GitHub: token formats"; AWS IAM "Unique identifiers"; Slack "Token types";
/// Google Cloud "API keys"; Stripe "API keys"; Anthropic and OpenAI, keys as they issue them; GitLab "Token overview: token
/// prefixes"; npm "About access tokens"; PyPI "Using a token"; RFC 7519 (JWT), RFC 7468 (PEM), RFC 6750 (bearer), RFC 3986
/// (a password in a URL).
const PATTERNS: [Pattern; 14] = [
    Pattern::of(
        "github",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}",
    ),
    Pattern::of("aws", &["AKIA", "ASIA"], r"(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    Pattern::of("slack", &["xox"], r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    Pattern::of("google", &["AIza"], r"AIza[0-9A-Za-z_-]{35}"),
    Pattern::of("stripe", &["k_live_", "k_test_"], r"[rs]k_(?:live|test)_[0-9A-Za-z]{16,}"),
    Pattern::of("anthropic", &["sk-"], r"sk-ant-[A-Za-z0-9_-]{20,}"),
    Pattern::of("openai", &["sk-"], r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_]{20,}[A-Za-z0-9_-]*"),
    Pattern::of("gitlab", &["glpat-"], r"glpat-[A-Za-z0-9_-]{20,}"),
    Pattern::of("npm", &["npm_"], r"npm_[A-Za-z0-9]{36}\b"),
    Pattern::of("pypi", &["pypi-"], r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}"),
    Pattern::of("jwt", &["eyJ"], r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    Pattern {
        kind: "private_key",
        words: &["-----BEGIN"],
        before: "",
        secret: r#"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[^-"]*(?:-----END [A-Z ]{0,20}PRIVATE KEY-----)?"#,
        after: "",
    },
    Pattern {
        kind: "bearer",
        words: &["Bearer", "bearer", "BEARER"],
        before: r"\b(?:Bearer|bearer|BEARER) +",
        secret: r"[A-Za-z0-9._~+/-]{20,}=*",
        after: "",
    },
    Pattern {
        kind: "url_password",
        words: &["://"],
        before: r#"\b[a-z][a-z0-9+.-]{1,20}://[^/\s:@"\\]{0,100}:"#,
        secret: r#"[^/\s@"\\]{1,200}"#,
        after: "@",
    },
];

/// What a secret looks like, and what stands around it.
struct Pattern {
    kind: &'static str,
    /// Each such secret has one of these in it or before it.
    words: &'static [&'static str],
    before: &'static str,
    secret: &'static str,
    after: &'static str,
}

impl Pattern {
    /// A word of its own, which in JSON may follow an escaped line break or tab.
    const fn of(kind: &'static str, words: &'static [&'static str], secret: &'static str) -> Self {
        Self { kind, words, before: r"(?:\b|\\[nrtbf])", secret, after: "" }
    }
}

/// All of them in one, each secret in the group of its kind.
static ANY: LazyLock<Regex> = LazyLock::new(|| {
    let all = PATTERNS
        .map(|Pattern { kind, before, secret, after, .. }| format!("{before}(?<{kind}>{secret}){after}"));
    Regex::new(&all.join("|")).expect("the patterns are right")
});

/// Look for the words of all patterns at once, many bytes at a time, since hardly any text has one. The short words have
/// one of their own: what is looked at first is as long as the shortest word. `None` on a machine that can not.
static WORDS: LazyLock<[Option<Searcher>; 2]> = LazyLock::new(|| {
    let (short, long): (Vec<&str>, Vec<_>) =
        PATTERNS.iter().flat_map(|pattern| pattern.words).partition(|word| word.len() < 4);
    [short, long].map(Searcher::new)
});

/// Says whether a text has what every secret has, so that it is worth a closer look.
fn may_be_in(text: &str) -> bool {
    WORDS.iter().any(|words| words.as_ref().is_none_or(|words| words.find(text).is_some()))
}

/// Replaces what is secret in a text by marks that say its kind, and returns how often.
pub(super) fn take_out(text: &str) -> (Cow<'_, str>, u64) {
    if !may_be_in(text) {
        return (Cow::Borrowed(text), 0);
    }
    let mut count = 0;
    let without = ANY.replace_all(text, |found: &Captures<'_>| {
        count += 1;
        mark(found)
    });
    (without, count)
}

/// Says whether a text has a secret.
pub(super) fn is_in(text: &str) -> bool {
    may_be_in(text) && ANY.is_match(text)
}

/// Returns what was found with a mark in the place of the secret.
fn mark(found: &Captures<'_>) -> String {
    let whole = found.get_match();
    let secret = PATTERNS.iter().find_map(|pattern| Some((pattern.kind, found.name(pattern.kind)?)));
    let (kind, secret) = secret.expect("each pattern has a group of its kind");
    let (begin, end) = (secret.start() - whole.start(), secret.end() - whole.start());
    format!("{}[redacted:{kind}]{}", &whole.as_str()[..begin], &whole.as_str()[end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    /// Made up, and put together here so that no scanner takes this file for a leak.
    fn examples() -> Vec<(&'static str, String)> {
        let many = |n: usize| "aB3dE6gH9j".repeat(n);
        vec![
            ("github", format!("gh{}_{}", "p", many(4))),
            ("github", format!("github_{}_{}", "pat", many(6))),
            ("aws", format!("AK{}{}", "IA", "ABCDEFGH23456789")),
            ("slack", format!("xo{}-{}", "xb", many(3))),
            ("google", format!("AI{}{}", "za", &many(4)[..35])),
            ("stripe", format!("sk_{}_{}", "live", many(2))),
            ("anthropic", format!("sk-{}-api03-{}", "ant", many(3))),
            ("openai", format!("sk-{}-{}", "proj", many(4))),
            ("gitlab", format!("gl{}-{}", "pat", many(2))),
            ("npm", format!("np{}_{}", "m", &many(4)[..36])),
            ("pypi", format!("pypi-{}{}", "AgEIcHlwaS5vcmc", many(6))),
            ("jwt", format!("ey{}.eyJ{}.{}", "Jabcdefghij", many(2), many(2))),
            (
                "private_key",
                format!("-----BEGIN RSA {} KEY-----\\n{}\\n-----END RSA {0} KEY-----", "PRIVATE", many(5)),
            ),
        ]
    }

    #[test]
    fn every_kind_is_found_and_named_wherever_it_stands() {
        for (kind, secret) in examples() {
            for around in ["", " ", "\"", "\\n", "\n", "=", ": ", "\\t"] {
                let text = format!("{around}{secret}{around}");
                let (without, count) = take_out(&text);
                assert_eq!((&*without, count), (&*format!("{around}[redacted:{kind}]{around}"), 1));
            }
        }
    }

    #[test]
    fn only_the_secret_part_goes_where_the_rest_is_of_use() {
        let (without, count) =
            take_out("postgres://user:p4ss%20word@db/x and Authorization: Bearer abcdefghijklmnopqrstuv==");
        assert_eq!(
            without,
            "postgres://user:[redacted:url_password]@db/x and Authorization: Bearer [redacted:bearer]"
        );
        assert_eq!(count, 2);
    }

    proptest! {
        #[test]
        fn whatever_a_pattern_finds_has_a_word_of_it(at in 0..PATTERNS.len(), seed: u64) {
            let Pattern { before, secret, after, .. } = &PATTERNS[at];
            // Word boundaries have no text.
            let plain = |text: &str| text.replace(r"(?:\b|\\[nrtbf])", "").replace(r"\b", "");
            let form = format!("{}{}{}", plain(before), plain(secret), plain(after));
            let texts = prop::string::string_regex(&form).expect("the pattern has texts");
            let mut runner = TestRunner::new_with_rng(Config::default(), rng(seed));
            let text = texts.new_tree(&mut runner).expect("it has one").current();
            prop_assert!(ANY.is_match(&text), "{text}");
            prop_assert!(may_be_in(&text), "{text}");
        }
    }

    fn rng(seed: u64) -> TestRng {
        let seed = [seed; 4].map(u64::to_le_bytes).concat();
        TestRng::from_seed(RngAlgorithm::ChaCha, &seed)
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "task-runner-with-a-very-long-name-indeed",
            "https://example.com:8080/a@b",
            "AKIA",
            "sk-learn",
            "bearer of news",
            "0000000000000001.0000000000000061",
            "the eyJ prefix",
            "file:///home/me/x",
            "mailto:me@example.com",
            "ghp_short",
        ] {
            assert_eq!(take_out(text), (Cow::Borrowed(text), 0));
        }
    }
}
